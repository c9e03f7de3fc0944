"""`voc12`: PASCAL VOC 2012 and the augmented training list (Everingham et al., IJCV 2015).

The splits `train` and `val` have 1,464 and 1,449 images. `train_aug`, of 10,582 images, adds SBD
(Hariharan et al., ICCV 2011): VOC's `train` and both of SBD's lists, without VOC's `val`. The
ground truth is VOC's own, or SBD's if VOC has none.

Image-level labels are the objects of VOC's XML annotations. Objects marked difficult count as
present, as in the label table in common use; parts such as `head` are not objects.
"""

import hashlib
import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from jaxtyping import Bool, UInt8
from scipy.io import loadmat
from scipy.io.matlab import MatReadError

from recam.core.errors import UserError
from recam.core.localisation import Boxes
from recam.data.layout import IMAGES, MASKS, find_image, read_split
from recam.datasets.collection import Collection, folder_of
from recam.datasets.fetch import Archive, unpacked
from recam.datasets.places import nearest
from recam.io.images import write_mask
from recam.runtime.progress import progress

CLASSES = (
    *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa"),
    *("train", "tvmonitor"),
)
COUNTS = {"train": 1464, "val": 1449, "train_aug": 10582}
SBD_FOLDER = "benchmark_RELEASE/dataset"
AUGMENTED = "SegmentationClassAug"  # a common addition to the devkit: masks of both sources

logger = logging.getLogger(__name__)


def collect(
    source: str,
    *,
    originals: Path,
    archives: tuple[Archive, Archive] | None = None,
    counts: Mapping[str, int] = COUNTS,
) -> Collection:
    """Find VOC 2012 and SBD or download them into ``originals``, and read labels and splits.

    ``source`` is "auto" or a folder with VOCdevkit/VOC2012 (and SBD's benchmark_RELEASE, or the
    archives of either), which is used in place. A devkit with SegmentationClassAug needs no SBD.
    Raises UserError for a missing or invalid file and for a split of a size other than ``counts``.
    """
    voc, sbd = archives or torchvision_archives()
    given = folder_of(source)
    devkit = _devkit(given)
    if devkit is None:
        if given:
            _require_something(given, voc, sbd)
        devkit = unpacked(voc, given=given, folder=originals) / "VOCdevkit/VOC2012"
    logger.info("VOC 2012: %s", devkit)
    splits = {split: read_split(devkit, split) for split in ("train", "val")}
    masks = _masks(devkit, splits)
    masks = _more_masks(devkit, given, sbd, originals=originals, without=masks) | masks
    splits["train_aug"] = tuple(sorted(masks.keys() - set(splits["val"])))
    _require_sizes(splits, counts, devkit)
    labels = {i: xml_labels(devkit / f"Annotations/{i}.xml") for i in masks}
    _compare(labels, main_labels(devkit / "ImageSets/Main"))
    return Collection(
        classes=CLASSES,
        splits=splits,
        images={i: find_image(devkit / IMAGES, i) for i in masks},
        labels=labels,
        masks=masks,
        boxes={i: xml_boxes(devkit / f"Annotations/{i}.xml") for i in masks},
    )


def torchvision_archives() -> tuple[Archive, Archive]:
    """The archives of VOC 2012 and SBD, with the URLs and checksums listed by torchvision."""
    from torchvision.datasets import SBDataset  # noqa: PLC0415 slow, and used only here
    from torchvision.datasets.voc import DATASET_YEAR_DICT  # noqa: PLC0415

    voc = DATASET_YEAR_DICT["2012"]
    return Archive(url=voc["url"], md5=voc["md5"]), Archive(url=SBDataset.url, md5=SBDataset.md5)


def read_annotation(path: Path) -> tuple[tuple[str, ElementTree.Element], ...]:
    """The name and element of each object, difficult or not, of a VOC annotation.

    Raises UserError for a missing or invalid file and for an unknown class.
    """
    try:
        found = ElementTree.parse(path).findall("object")  # noqa: S314 own data
    except FileNotFoundError as error:
        raise UserError(f"{path}: not found; use the original devkit") from error
    except ElementTree.ParseError as error:
        raise UserError(
            f"{path}: expected an XML annotation, got {error}; use the original file"
        ) from error
    objects = tuple((element.findtext("name") or "", element) for element in found)
    unknown = {name for name, _ in objects}.difference(CLASSES)
    if unknown:
        raise UserError(
            f"{path}: expected objects of VOC's 20 classes, got {sorted(unknown)[0]!r}; use the "
            "original file"
        )
    return objects


def xml_labels(path: Path) -> Bool[np.ndarray, "K"]:
    """Multi-hot labels of the objects in a VOC annotation. Raises as ``read_annotation``."""
    names = {name for name, _ in read_annotation(path)}
    return np.array([name in names for name in CLASSES])


def xml_boxes(path: Path) -> dict[int, Boxes]:
    """The boxes of the objects in a VOC annotation by class index, counted from pixel 0.

    VOC counts pixels from 1 and includes the last one. Raises UserError for an object without a
    box, too.
    """
    found: dict[int, list[list[float]]] = {}
    for name, element in read_annotation(path):
        try:
            x_min, y_min, x_max, y_max = (
                float(element.findtext(f"bndbox/{side}") or "")
                for side in ("xmin", "ymin", "xmax", "ymax")
            )
        except ValueError as error:
            raise UserError(
                f"{path}: expected a box of each object, got none of a {name}; use the original "
                "file"
            ) from error
        found.setdefault(CLASSES.index(name), []).append([x_min - 1, y_min - 1, x_max, y_max])
    return {class_index: np.array(boxes) for class_index, boxes in found.items()}


def main_labels(folder: Path) -> dict[str, Bool[np.ndarray, "K"]]:
    """Multi-hot labels by image id from VOC's lists in ``ImageSets/Main``; empty without lists.

    1 and 0 (only difficult objects) count as present, -1 as absent.
    """
    lists = [folder / f"{name}_trainval.txt" for name in CLASSES]
    if not all(path.is_file() for path in lists):
        return {}
    columns = [dict(line.split() for line in path.read_text().splitlines()) for path in lists]
    return {
        image_id: np.array([int(column[image_id]) >= 0 for column in columns])
        for image_id in columns[0].keys() & set.intersection(*map(set, columns))
    }


def _compare(labels: Mapping[str, np.ndarray], main: Mapping[str, np.ndarray]) -> None:
    both = sorted(labels.keys() & main.keys())
    other = [image_id for image_id in both if (labels[image_id] != main[image_id]).any()]
    if other:
        logger.warning(
            "labels of %d of %d images differ from ImageSets/Main (first: %s)",
            *(len(other), len(both), other[0]),
        )
    elif both:
        logger.info("labels of %d images agree with ImageSets/Main", len(both))


def _devkit(given: Path | None) -> Path | None:
    places = ("VOCdevkit/VOC2012", "VOC2012", ".")
    return nearest(given, places, holding=(IMAGES, "Annotations"))


def _sbd(given: Path | None) -> Path | None:
    places = (SBD_FOLDER, "dataset", "sbd", "SBD", ".")
    return nearest(given, places, holding=("cls", "train.txt", "val.txt"))


def _require_something(given: Path, voc: Archive, sbd: Archive) -> None:
    """Raise UserError for a folder that holds neither a part of the data nor an archive."""
    if not _sbd(given) and not any((given / archive.name).is_file() for archive in (voc, sbd)):
        raise UserError(
            f"source: expected VOCdevkit/VOC2012 or {voc.name} in {given}, found neither; correct "
            "download.source, or set it to auto to download them"
        )


def _require_sizes(
    splits: Mapping[str, tuple[str, ...]], counts: Mapping[str, int], devkit: Path
) -> None:
    for split, ids in splits.items():
        if len(ids) != counts[split]:
            raise UserError(
                f"{devkit}: expected {counts[split]} images in split {split} of VOC 2012, "
                f"got {len(ids)}; use the original devkit and SBD"
            )


def _masks(devkit: Path, splits: Mapping[str, Iterable[str]]) -> dict[str, Path]:
    return {i: devkit / MASKS / f"{i}.png" for ids in splits.values() for i in ids}


def _more_masks(
    devkit: Path, given: Path | None, sbd: Archive, *, originals: Path, without: Mapping[str, Path]
) -> dict[str, Path]:
    """The masks of SBD by id, from the devkit if it has them."""
    if (devkit / AUGMENTED).is_dir():
        return {file.stem: file for file in sorted((devkit / AUGMENTED).glob("*.png"))}
    folder = _sbd(given) or unpacked(sbd, given=given, folder=originals) / SBD_FOLDER
    place = hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:8]  # of this SBD
    return _sbd_masks(folder, without=without, target=originals / f"sbd_masks-{place}")


def _sbd_masks(folder: Path, *, without: Iterable[str], target: Path) -> dict[str, Path]:
    """Convert the masks of both of SBD's lists once to PNG in ``target``."""
    listed = {i for name in ("train", "val") for i in (folder / f"{name}.txt").read_text().split()}
    masks = {i: target / f"{i}.png" for i in sorted(listed.difference(without))}
    left = [image_id for image_id, path in masks.items() if not path.is_file()]
    for image_id in progress(left, total=len(left), what="convert SBD masks", unit="image"):
        write_mask(masks[image_id], sbd_mask(folder / f"cls/{image_id}.mat"))
    return masks


def sbd_mask(path: Path) -> UInt8[np.ndarray, "H W"]:
    """Read the mask ids 0..20 of a file in SBD's folder ``cls``. Raises UserError."""
    try:
        return loadmat(str(path))["GTcls"]["Segmentation"][0, 0].astype(np.uint8)
    except FileNotFoundError as error:
        raise UserError(f"{path}: not found; use the original SBD") from error
    except (OSError, ValueError, KeyError, IndexError, TypeError, MatReadError) as error:
        raise UserError(f"{path}: expected a mask of SBD; use the original file") from error
