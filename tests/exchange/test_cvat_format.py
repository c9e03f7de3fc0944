"""CVAT's "Segmentation mask 1.1": labelmap.txt, colour masks and default.txt."""

import numpy as np
import pytest
from PIL import Image
from tool_files import (
    grid,
    imported,
    labels_in,
    mask_in,
    photo,
    recam,
    refusal,
    turned_photo,
    write,
)

from recam.core.errors import UserError
from recam.core.labels import class_colours
from recam.exchange.cvat import read_labelmap, write_labelmap

LABELMAP = """\
# label:color_rgb:parts:actions
background:0,0,0::
cat:250,50,83::
traffic light:36,179,83:lamp,pole:on,off
ignore:128,128,128::
"""
COLOURS = np.array([[0, 0, 0], [250, 50, 83], [36, 179, 83]], np.uint8)
IDS = grid("1111122222", *["0000000000"] * 6, "222222222x")


def coloured(ids):
    return np.where((ids == 255)[..., None], np.uint8(128), COLOURS[np.where(ids == 255, 0, ids)])


@pytest.fixture
def export(tmp_path):
    """An export of CVAT 2 with images; masks are RGB images in the colours of the labels."""
    root = tmp_path / "task"
    write(root / "labelmap.txt", LABELMAP)
    write(root / "ImageSets/Segmentation/default.txt", "street/001\nstreet/002\n003\n")
    for number, name in enumerate(("street/001", "street/002", "003")):
        photo(root / f"JPEGImages/{name}.jpg", grey=50 * number)
    for kind in ("SegmentationClass", "SegmentationObject"):
        (root / kind / "street").mkdir(parents=True)
        Image.fromarray(coloured(IDS)).save(root / kind / "street/001.png")
        Image.fromarray(coloured(np.minimum(IDS, 1))).save(root / kind / "street/002.png")
    return root


def test_colours_become_ids_labels_and_the_only_list_the_split_train(export, capsys):
    out, text = imported(capsys, export)
    assert (out / "classes.txt").read_text() == "cat\ntraffic light\n"
    assert labels_in(out) == {
        "street_001": {"cat", "traffic light"},
        "street_002": {"cat"},
        "003": set(),
    }
    np.testing.assert_array_equal(mask_in(out, "street_001"), IDS)
    lists = out / "ImageSets/Segmentation/train.txt"
    assert lists.read_text() == "street_001\nstreet_002\n003\n"
    assert "images without a mask have no label: 1, first: 003" in text
    assert "CVAT masks with labelmap.txt: 3 images, 2 classes, 2 masks, 0 boxes" in text


def test_images_may_lie_in_another_folder(export, capsys, tmp_path):
    (export / "JPEGImages").rename(tmp_path / "photos")
    assert "expected the image 'street/001'" in refusal(capsys, export)
    out, _ = imported(capsys, export, "--images", tmp_path / "photos")
    assert len(labels_in(out)) == 3


def test_a_colour_without_a_label_is_refused(export, capsys):
    write(export / "labelmap.txt", LABELMAP.replace("ignore:128,128,128::\n", ""))
    assert "colour 128,128,128 of 1 pixels has no label in" in refusal(capsys, export)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("dog", "line 6: expected a new label as name:red,green,blue::, got 'dog'"),
        ("dog:1,2::", "line 6: expected a colour as red,green,blue from 0 to 255, got '1,2'"),
        ("dog:1,2,256::", "got '1,2,256'"),
        ("dog:250,50,83::", "line 6: 'dog' has the colour of 'cat'"),
        ("cat:1,2,3::", "line 6: expected a new label"),
    ],
)
def test_a_malformed_labelmap_is_refused_with_its_line(export, capsys, line, message):
    write(export / "labelmap.txt", LABELMAP + line + "\n")
    assert message in refusal(capsys, export)


def test_a_mask_of_another_size_is_refused(export, capsys):
    photo(export / "JPEGImages/street/001.jpg", size=(20, 16))
    assert "for 10x8 pixels, the upright image has 20x16" in refusal(capsys, export)


def test_a_mask_made_before_the_rotation_of_its_image_is_refused(export, capsys):
    turned_photo(export / "JPEGImages/street/001.jpg", 6)
    assert "as before the EXIF rotation; save it upright" in refusal(capsys, export)


def test_grey_masks_hold_places_in_the_labelmap(export, capsys):
    Image.fromarray(np.where(IDS == 255, np.uint8(3), IDS)).save(
        export / "SegmentationClass/street/001.png"
    )
    out, _ = imported(capsys, export)
    np.testing.assert_array_equal(mask_in(out, "street_001"), IDS)


def test_a_written_labelmap_has_the_colours_of_masks_and_ignore_last(tmp_path):
    write_labelmap(tmp_path, ("cat", "no: 5"))
    assert (tmp_path / "labelmap.txt").read_text() == (
        "# label:color_rgb:parts:actions\nbackground:0,0,0::\ncat:230,159,0::\nno  5:86,180,233::\n"
        "ignore:128,128,128::\n"
    )


@pytest.mark.parametrize("count", [1, 10, 20, 80, 254])
def test_every_value_of_a_mask_has_a_colour_of_its_own(tmp_path, count):
    write_labelmap(tmp_path, [f"class {n}" for n in range(count)])
    found = read_labelmap(tmp_path / "labelmap.txt")
    expected = class_colours(count)[[*range(count + 1), 255]]
    np.testing.assert_array_equal(np.array(found.colours), expected)


def test_an_archive_is_refused(export, capsys, tmp_path):
    code, text = recam(
        capsys, "import", write(tmp_path / "t.zip", "PK\3\4"), "--out", tmp_path / "o"
    )
    assert code == 1
    assert "got a ZIP archive 't.zip'; unpack it first" in text


def test_a_label_without_a_colour_has_that_of_voc(tmp_path):
    path = write(tmp_path / "labelmap.txt", "background:::\ncat:::\n")
    assert read_labelmap(path).colours == ((0, 0, 0), (128, 0, 0))
    with pytest.raises(UserError, match="line 2"):
        read_labelmap(write(path, "background:::\ncat::\n"))
