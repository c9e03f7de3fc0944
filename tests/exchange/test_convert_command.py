"""``recam convert``: masks in formats of other tools, and back to the pixel."""

import json
import zipfile

import numpy as np
import pytest
from pycocotools.coco import COCO
from tool_files import grid, photo, recam, write

from recam.io.images import write_mask

CLASSES = "cat\ndog\n"
RING = grid(
    "0000000000",
    "0111110022",
    "0100010022",
    "0101010020",
    "0100010x00",
    "011111xx00",
    "0000000000",
    "2000000001",
)
NOTHING = np.zeros((8, 10), np.uint8)


@pytest.fixture
def data(tmp_path):
    """A data set with masks: a ring around a pixel, two classes, ignored pixels."""
    root = tmp_path / "data"
    write(root / "classes.txt", CLASSES)
    for number, (name, mask) in enumerate((("a", RING), ("b.1", NOTHING))):
        photo(root / f"JPEGImages/{name}.jpg", grey=90 * number)
        write_mask(root / f"SegmentationClass/{name}.png", mask, num_classes=2)
    return root


def converted(capsys, data, form, name, *options):
    out = data.parent / name
    code, text = recam(
        capsys, "convert", data / "SegmentationClass", "--to", form, "--out", out, *options
    )
    assert code == 0, text
    return out, text


def refusal(capsys, folder, *options):
    """The message of a conversion that fails; nothing may be left of it."""
    before = sorted(folder.parent.rglob("*"))
    code, text = recam(capsys, "convert", folder, *options)
    assert code == 1
    assert sorted(folder.parent.rglob("*")) == before
    assert len(text.splitlines()) == 1
    return text


@pytest.mark.parametrize(
    ("form", "name", "options"),
    [
        ("coco", "masks.json", []),
        ("coco", "masks.json", ["--rle"]),
        ("labelme", "labelme", []),
        ("cvat", "cvat", []),
    ],
)
def test_masks_come_back_byte_for_byte(data, capsys, form, name, options):
    made, _ = converted(capsys, data, form, name, *options)
    out = data.parent / "back"
    images = data / "JPEGImages"
    code, text = recam(capsys, "import", made, "--out", out, "--images", images)
    assert code == 0, text
    for mask in (data / "SegmentationClass").iterdir():
        assert (out / "SegmentationClass" / mask.name).read_bytes() == mask.read_bytes()
    assert (out / "classes.txt").read_text() == CLASSES


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools
@pytest.mark.parametrize("options", [[], ["--rle"]])
def test_pycocotools_reads_objects_areas_and_boxes(data, capsys, options):
    out, text = converted(capsys, data, "coco", "masks.json", *options)
    coco = COCO(out)
    found = np.zeros_like(RING)
    for record in coco.anns.values():
        region = coco.annToMask(record).astype(bool)
        assert record["area"] == region.sum()
        rows, columns = np.nonzero(region)
        x, y, width, height = record["bbox"]
        assert (x, y) == (columns.min(), rows.min())
        assert (x + width, y + height) == (columns.max() + 1, rows.max() + 1)
        found[region] = record["category_id"]
    np.testing.assert_array_equal(found, RING)
    assert "2 masks with 5 objects of 2 classes written to" in text


def test_ignored_pixels_are_a_crowd_of_the_category_ignore(data, capsys):
    out, _ = converted(capsys, data, "coco", "masks.json")
    document = json.loads(out.read_text())
    assert document["categories"][-1] == {"id": 255, "name": "ignore", "supercategory": ""}
    crowds = [a for a in document["annotations"] if a["iscrowd"]]
    assert [(a["category_id"], a["area"], a["bbox"]) for a in crowds] == [(255, 3, [6, 4, 2, 2])]
    assert [i["file_name"] for i in document["images"]] == ["a.jpg", "b.1.jpg"]


def test_labelme_files_name_the_image_from_their_own_place(data, capsys):
    out, _ = converted(capsys, data, "labelme", "labelme")
    document = json.loads((out / "a.json").read_text())
    assert document["imagePath"] == "../data/JPEGImages/a.jpg"
    assert (document["imageHeight"], document["imageWidth"]) == (8, 10)
    square = [[4.0, 3.0], [4.0, 4.0], [3.0, 4.0], [3.0, 3.0]]
    assert {"cat", "dog", "__ignore__"} == {shape["label"] for shape in document["shapes"]}
    assert square in [shape["points"] for shape in document["shapes"]]
    assert (out / "labels.txt").read_text() == "__ignore__\n_background_\ncat\ndog\n"


def test_an_archive_for_cvat_has_labels_list_and_masks(data, capsys):
    out, _ = converted(capsys, data, "cvat", "up.zip", "--images", data / "JPEGImages")
    with zipfile.ZipFile(out) as archive:
        assert archive.namelist() == [
            "ImageSets/Segmentation/default.txt",
            "JPEGImages/a.jpg",
            "JPEGImages/b.1.jpg",
            "SegmentationClass/a.png",
            "SegmentationClass/b.1.png",
            "labelmap.txt",
        ]
        assert archive.read("ImageSets/Segmentation/default.txt") == b"a\nb.1\n"
    assert {path.name for path in data.parent.iterdir()} == {"data", "up.zip"}


def test_classes_are_those_of_the_table_of_predict_or_of_the_experiment(data, capsys, tmp_path):
    folder = tmp_path / "results/seed0/recam/pseudo"
    write_mask(folder / "a.png", RING)
    code, text = recam(capsys, "convert", folder, "--to", "coco", "--out", tmp_path / "p.json")
    assert code == 0, text
    write(folder / "classes.csv", "value,class,colour\n0,background,#0\n1,hen,#1\n2,fox,#2\n")
    _, text = recam(
        capsys,
        "convert",
        folder,
        "--to",
        "coco",
        "--out",
        tmp_path / "q.json",
        "--images",
        data / "JPEGImages",
    )
    names = [c["name"] for c in json.loads((tmp_path / "q.json").read_text())["categories"]]
    assert names == ["hen", "fox", "ignore"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--to", "cvat", "--rle"], "--rle: expected with --to coco, got --to cvat"),
        (["--to", "coco", "--images", "gone"], "gone: expected a folder of images"),
        (["--to", "coco", "--classes", "gone.txt"], "gone.txt: not found"),
    ],
)
def test_contradicting_options_and_missing_files_are_refused(data, capsys, options, message):
    folder = data / "SegmentationClass"
    assert message in refusal(capsys, folder, *options, "--out", data.parent / "new")


def test_masks_without_images_classes_or_a_fitting_size_are_refused(data, capsys, tmp_path):
    folder, out = data / "SegmentationClass", tmp_path / "new.json"
    write_mask(folder / "c.png", NOTHING)
    words = ["--to", "coco", "--out", out]
    assert "1 have none (first: c.png)" in refusal(capsys, folder, *words)
    photo(data / "JPEGImages/c.jpg", size=(4, 4))
    assert "the upright image has 4x4" in refusal(capsys, folder, *words)
    photo(data / "JPEGImages/c.jpg")
    write_mask(folder / "c.png", NOTHING + np.uint8(3))
    assert "mask id 3 is beyond the classes" in refusal(capsys, folder, *words)
    (data / "classes.txt").unlink()
    assert "give the list of classes by --classes" in refusal(capsys, folder, *words)
    assert "expected masks as PNG files" in refusal(capsys, data / "JPEGImages", *words)
    assert "expected a folder of masks" in refusal(capsys, data / "gone", *words)


def test_labelme_and_coco_need_the_images(data, capsys, tmp_path):
    write_mask(tmp_path / "masks/a.png", RING)
    words = ["--to", "labelme", "--classes", data / "classes.txt", "--out", tmp_path / "new"]
    (data / "JPEGImages").rename(tmp_path / "photos")
    assert "give their folder by --images" in refusal(capsys, tmp_path / "masks", *words)
    code, _ = recam(capsys, "convert", tmp_path / "masks", *words, "--images", tmp_path / "photos")
    assert code == 0


def test_a_path_in_use_is_not_overwritten(data, capsys, tmp_path):
    path = write(tmp_path / "mine.json", "{}")
    text = refusal(capsys, data / "SegmentationClass", "--to", "coco", "--out", path)
    assert "expected a new or empty place, got one in use" in text


def test_masks_in_sub_folders_are_noted(data, capsys):
    masks = data / "SegmentationClass"
    (masks / "trip").mkdir()
    (masks / "overlays").mkdir()
    for folder in ("trip", "overlays"):
        (masks / folder / "a.png").write_bytes(next(masks.glob("*.png")).read_bytes())
    code, text = recam(capsys, "convert", masks, "--to", "cvat", "--out", data / "cvat")
    assert code == 0
    assert text.startswith(f"note: {masks / 'trip'}: masks in sub-folders are not converted")
