"""Datumaro, which reads files for CVAT, finds the masks that were converted."""

import shutil

import numpy as np
import pytest
from pycocotools import mask as cocomask
from tool_files import grid, photo, recam, write

from recam.io.images import read_mask, write_mask

datumaro = pytest.importorskip("datumaro")
pytestmark = pytest.mark.filterwarnings("ignore")  # of datumaro and its packages

CLASSES = ("cat", "dog")
MASK = grid("0111110022", "0100010022", "0101010020", "0100010x00", "011111xx01")


@pytest.fixture
def data(tmp_path):
    root = tmp_path / "data"
    write(root / "classes.txt", "".join(f"{name}\n" for name in CLASSES))
    photo(root / "JPEGImages/a.png", size=(10, 5))
    write_mask(root / "SegmentationClass/a.png", MASK, num_classes=2)
    return root


def found(folder, form):
    """The mask of the only image, drawn from datumaro's annotations."""
    dataset = datumaro.Dataset.import_from(str(folder), form)
    kinds = datumaro.AnnotationType
    names = [label.name for label in dataset.categories()[kinds.label]]
    values = {"background": 0, **{name: n for n, name in enumerate(CLASSES, 1)}, "ignore": 255}
    mask = np.zeros_like(MASK)
    (item,) = list(dataset)
    for annotation in item.annotations:
        if annotation.type == kinds.polygon:
            drawn = cocomask.merge(cocomask.frPyObjects([annotation.points], *mask.shape))
            mask[cocomask.decode(drawn) > 0] = values[names[annotation.label]]
        elif annotation.type == kinds.mask:
            mask[np.asarray(annotation.image) > 0] = values[names[annotation.label]]
    return mask


def test_datumaro_reads_masks_for_cvat(data, capsys, tmp_path):
    out = tmp_path / "cvat"
    recam(capsys, "convert", data / "SegmentationClass", "--to", "cvat", "--out", out)
    np.testing.assert_array_equal(found(out, "voc_segmentation"), MASK)


@pytest.mark.parametrize("options", [[], ["--rle"]])
def test_datumaro_reads_coco(data, capsys, tmp_path, options):
    out = tmp_path / "coco/annotations/instances_default.json"
    recam(capsys, "convert", data / "SegmentationClass", "--to", "coco", "--out", out, *options)
    shutil.copytree(data / "JPEGImages", tmp_path / "coco/images/default")
    np.testing.assert_array_equal(found(tmp_path / "coco", "coco"), MASK)


@pytest.mark.parametrize("form", ["coco_instances", "voc_segmentation"])
def test_files_of_datumaro_are_imported(data, capsys, tmp_path, form):
    """CVAT writes its exports by datumaro."""
    made, written, back = tmp_path / "cvat", tmp_path / "written", tmp_path / "back"
    masks = data / "SegmentationClass"
    recam(capsys, "convert", masks, "--to", "cvat", "--out", made, "--images", data / "JPEGImages")
    dataset = datumaro.Dataset.import_from(str(made), "voc_segmentation")
    dataset.export(str(written), form, save_media=True)
    code, text = recam(capsys, "import", written, "--out", back)
    assert code == 0, text
    np.testing.assert_array_equal(read_mask(back / "SegmentationClass/a.png"), MASK)
