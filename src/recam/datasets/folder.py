"""`folder`: your own images and a table of labels, used in place.

my_photos/JPEGImages/*.jpg        or images/*.jpg, or my_photos/*.jpg
my_photos/labels.csv              columns: id and one 0/1 column per class, or id and labels
my_photos/classes.txt             optional: class names in the order of their indices
my_photos/ImageSets/Segmentation/{train,val}.txt     optional: otherwise `train` has all images
my_photos/SegmentationClass/*.png optional: ground truth of some or all images
my_photos/SegmentationClass/boxes.csv   optional: boxes of some or all images
"""

from collections.abc import Container, Mapping
from dataclasses import replace
from pathlib import Path

from recam.core.errors import UserError
from recam.core.names import clean_id, quoted, reason_no_id, shown
from recam.data.boxes import read_boxes
from recam.data.layout import IMAGES, LABELS, MASKS, SPLITS, repeated_line
from recam.data.parts import BOXES
from recam.data.recognition import NAMES, recognised
from recam.datasets.collection import Collection, folder_of
from recam.datasets.copies import Files, fitting, rescaled_boxes
from recam.datasets.label_table import id_named, read_label_table
from recam.io.opening import IMAGE_SUFFIXES, has_image_suffix, is_hidden
from recam.io.tables import read_lines

CVAT = "default"  # the list of an export without subsets
NAMED = 3  # sub-folders in a message


def list_folder(source: str) -> Collection:
    """Read the table of labels and list the files of the folder ``source``; opens no image.

    Raises UserError if the folder, its table, its lists and its images do not agree.
    """
    root = folder_of(source)
    if root is None:
        raise UserError("source: expected the folder of your images, got auto; set download.source")
    _refuse_foreign(root)
    images = _images(root)
    ids_by_name = _ids_by_name(images)
    classes, labels = read_label_table(root, ids_by_name)
    missing = sorted(labels.keys() - images.keys())
    if missing:
        raise UserError(
            f"{root / LABELS}: no image file for {shown(missing[0])} ({len(missing)} of "
            f"{len(labels)} rows have none); {_remedy(root, missing[0], images)}"
        )
    splits = _splits(root, ids_by_name, labels) or {"train": tuple(labels)}
    used = list(dict.fromkeys(image_id for ids in splits.values() for image_id in ids))
    masks = _masks(root)
    boxes = {
        id_named(text, ids_by_name): of_image
        for text, of_image in read_boxes(root / MASKS / BOXES, classes).items()
    }
    foreign = [image_id for image_id in boxes if image_id not in labels]
    if foreign:
        raise UserError(
            f"{root / MASKS / BOXES}: expected ids of {LABELS}, got {quoted(foreign[0])}; correct "
            "it, without a suffix, or add the image's labels"
        )
    return Collection(
        classes=classes,
        splits=splits,
        images={image_id: images[image_id] for image_id in used},
        labels={image_id: labels[image_id] for image_id in used},
        masks={image_id: masks[image_id] for image_id in used if image_id in masks},
        boxes={image_id: boxes[image_id] for image_id in used if image_id in boxes},
    )


def collect(source: str, *, originals: Path, longest_side: int | None = None) -> Collection:
    """List the folder ``source``, and copy the images that cannot be used in place.

    Images with an EXIF rotation and images longer than ``longest_side`` pixels are copied into
    ``originals``, rotated upright and downscaled, together with their masks; boxes
    are those of the copies. Raises UserError as ``list_folder`` does.
    """
    found = list_folder(source)
    images, masks = fitting(found.images, found.masks, target=originals, longest_side=longest_side)
    boxes = {
        image_id: rescaled_boxes(of_image, image=found.images[image_id], copy=images[image_id])
        if images[image_id] != found.images[image_id]
        else of_image
        for image_id, of_image in found.boxes.items()
    }
    return replace(found, images=images, masks=masks, boxes=boxes)


def _refuse_foreign(root: Path) -> None:
    """Raise UserError for a folder without a table of labels in the format of another tool."""
    if kinds := recognised(root):
        named = " and ".join(NAMES[kind] for kind in kinds)
        raise UserError(
            f"{root}: expected {LABELS}, found {named}; run recam import {root} --out FOLDER, and "
            "set download.source to that folder"
        )


def _images(root: Path) -> Files:
    """Image files by id, from the first of three folders that has any; ids must be unique."""
    for folder in (root / IMAGES, root / "images", root):
        if not folder.is_dir():
            continue
        images: Files = {}
        for file in sorted(folder.iterdir()):
            if not has_image_suffix(file.name) or is_hidden(file.name):
                continue
            image_id = clean_id(file.stem)
            if reason := reason_no_id(image_id):
                raise UserError(f"{file}: its id {reason}; rename the file")
            if image_id in images:
                raise UserError(
                    f"{file}: has the same id as {images[image_id].name}; rename one of them"
                )
            images[image_id] = file
        if images:
            return images
    raise UserError(
        f"{root}: expected images ({', '.join(IMAGE_SUFFIXES)}) in {IMAGES}, in images or in the "
        f"folder itself, found none{_elsewhere(root)}; move or convert them"
    )


def _ids_by_name(images: Files) -> dict[str, str]:
    """The id of each image by its file name and by the id itself. Raises UserError."""
    names = {clean_id(file.name): image_id for image_id, file in images.items()}
    for image_id, file in images.items():
        if names.setdefault(image_id, image_id) != image_id:
            raise UserError(f"{file}: has the name {image_id} of another file as id; rename it")
    return names


def _masks(root: Path) -> Files:
    """Masks <id>.png by id, with the ending in any case."""
    files = sorted((root / MASKS).iterdir()) if (root / MASKS).is_dir() else []
    named = [file for file in files if file.suffix.lower() == ".png" and not is_hidden(file.name)]
    return {clean_id(file.stem): file for file in named if file.is_file() or file.is_symlink()}


def _elsewhere(root: Path) -> str:
    """The sub-folders that hold images, in words."""
    folders = [path for path in sorted(root.iterdir()) if path.is_dir() and _has_images(path)]
    names = ", ".join(f"{folder.name}/" for folder in folders[:NAMED])
    return f" (sub-folders are not searched: {names})" if folders else ""


def _has_images(folder: Path) -> bool:
    return any(has_image_suffix(file.name) for file in folder.iterdir())


def _remedy(root: Path, image_id: str, images: Files) -> str:
    """How to make the file of an id usable, with a file of a similar name if there is one."""
    folders = (root / IMAGES, root / "images", root)
    files = [file for folder in folders if folder.is_dir() for file in sorted(folder.iterdir())]
    names = [file.name for file in files if file.stem == image_id and file.is_file()]
    if names:
        return f"convert {names[0]} to .jpg or .png"
    alike = [other for other in images if _bare(other) == _bare(image_id)]
    if alike:
        return f"write {quoted(alike[0])} if {images[alike[0]].name} is meant"
    if "/" in image_id and (root / image_id).parent.is_dir():
        return f"move the images of sub-folders into {IMAGES}, and write ids without a folder"
    return "correct the id, which is the file name without .jpg, .jpeg or .png"


def _bare(image_id: str) -> str:
    """An id in lower case without the leading zeros that spreadsheets delete."""
    return image_id.casefold().lstrip("0")


def _splits(
    root: Path, ids_by_name: Mapping[str, str], labels: Container[str]
) -> dict[str, tuple[str, ...]]:
    """The ids of each list; the only list of CVAT, default.txt, is the split train."""
    splits: dict[str, tuple[str, ...]] = {}
    for path in sorted((root / SPLITS).glob("[!.]*.txt")):
        lines = [(number, id_named(text, ids_by_name)) for number, text in read_lines(path).items()]
        if not lines:
            raise UserError(f"{path}: the split is empty; list at least one image id")
        if repeated := repeated_line(lines):
            raise UserError(
                f"{path}: line {repeated[0]}: image {shown(repeated[1])} is listed twice; list "
                "it once"
            )
        if bare := [line for line in lines if line[1] not in labels]:
            raise UserError(
                f"{root / LABELS}: expected a row for each image of {SPLITS}/{path.name}, "
                f"{len(bare)} of {len(lines)} have none (first: line {bare[0][0]}, "
                f"{quoted(bare[0][1])}); add the rows, or correct the list: one id per line"
            )
        splits[path.stem] = tuple(image_id for _, image_id in lines)
    return {"train": splits[CVAT]} if list(splits) == [CVAT] else splits
