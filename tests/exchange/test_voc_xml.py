"""PASCAL VOC XML, as labelImg, CVAT and VOC's devkit write it."""

import numpy as np
import pytest
from PIL import Image
from tool_files import (
    boxes_in,
    grid,
    imported,
    labels_in,
    mask_in,
    photo,
    refusal,
    turned_photo,
    write,
)

LABELIMG = """\
<annotation>
\t<folder>photos</folder>
\t<filename>{name}</filename>
\t<path>/home/somebody/photos/{name}</path>
\t<source>
\t\t<database>{database}</database>
\t</source>
\t<size>
\t\t<width>10</width>
\t\t<height>8</height>
\t\t<depth>3</depth>
\t</size>
\t<segmented>0</segmented>
{objects}
</annotation>
"""
OBJECT = """\
\t<object>
\t\t<name>{name}</name>
\t\t<pose>Unspecified</pose>
\t\t<truncated>0</truncated>
\t\t<difficult>{difficult}</difficult>
\t\t<bndbox>
\t\t\t<xmin>{box[0]}</xmin>
\t\t\t<ymin>{box[1]}</ymin>
\t\t\t<xmax>{box[2]}</xmax>
\t\t\t<ymax>{box[3]}</ymax>
\t\t</bndbox>
\t</object>
"""


def thing(name, *, box=(2, 1, 5, 4), difficult=0):
    return OBJECT.format(name=name, box=box, difficult=difficult)


def annotated(*objects, name="a.jpg", database="Unknown"):
    return LABELIMG.format(name=name, database=database, objects="".join(objects))


@pytest.fixture
def save(tmp_path):
    """Write ``a.xml`` beside ``a.jpg``; return its folder."""
    root = tmp_path / "photos"
    photo(root / "a.jpg")

    def saved(text, name="a.xml"):
        write(root / name, text)
        return root

    return saved


def test_objects_become_labels_and_boxes_difficult_ones_too(save, capsys):
    part = "<part><name>head</name></part></object>"
    text = annotated(thing("dog").replace("</object>", part), thing("cat", difficult=1))
    out, said = imported(capsys, save(text))
    assert labels_in(out) == {"a": {"cat", "dog"}}
    assert (out / "classes.txt").read_text() == "cat\ndog\n"
    assert boxes_in(out) == ["a,dog,2.0,1.0,5.0,4.0", "a,cat,2.0,1.0,5.0,4.0"]
    assert said.endswith(f"PASCAL VOC XML: 1 images, 2 classes, 0 masks, 2 boxes written to {out}")


def test_boxes_of_vocs_own_database_count_from_one(save, capsys):
    out, _ = imported(capsys, save(annotated(thing("dog"), database="The VOC2007 Database")))
    assert boxes_in(out) == ["a,dog,1.0,0.0,5.0,4.0"]


def test_boxes_are_cut_at_the_border_and_those_beyond_are_noted(save, capsys):
    beyond = thing("cat", box=(12, 1, 14, 4))
    out, text = imported(capsys, save(annotated(thing("dog", box=(-3, 2, 40, 9)), beyond)))
    assert boxes_in(out) == ["a,dog,0.0,2.0,10.0,8.0"]
    assert labels_in(out) == {"a": {"cat", "dog"}}
    assert "objects without a box in the image: 1" in text


def test_images_without_annotation_are_noted(save, capsys, tmp_path):
    photo(tmp_path / "photos/b.jpg")
    _, text = imported(capsys, save(annotated(thing("dog"))))
    assert f"images without annotation are not used: 1, first: {tmp_path / 'photos/b.jpg'}" in text


@pytest.fixture
def devkit(tmp_path):
    """CVAT's "PASCAL VOC 1.1" of two images: XML, colour masks, lists of several tasks."""
    root = tmp_path / "task"
    for number, name in enumerate(("a", "b")):
        photo(root / f"JPEGImages/{name}.jpg", grey=90 * number)
        text = annotated(*([thing("cat")] if name == "a" else []), name=f"{name}.jpg")
        write(root / f"Annotations/{name}.xml", text)
    mask = np.zeros((8, 10, 3), np.uint8)
    mask[2:4] = (10, 20, 30)
    (root / "SegmentationClass").mkdir()
    Image.fromarray(mask).save(root / "SegmentationClass/b.png")
    write(root / "labelmap.txt", "# label:color_rgb:parts:actions\nbackground:0,0,0::\n")
    with (root / "labelmap.txt").open("a") as file:
        file.write("dog:10,20,30::\ncat:40,50,60::\n")
    write(root / "ImageSets/Main/default.txt", "a\nb\n")
    write(root / "ImageSets/Main/cat_default.txt", "a  1\nb -1\n")
    write(root / "ImageSets/Segmentation/default.txt", "b\n")
    return root


def test_masks_of_cvat_add_labels_and_lists_of_all_images_count(devkit, capsys):
    out, text = imported(capsys, devkit)
    assert labels_in(out) == {"a": {"cat"}, "b": {"dog"}}
    assert (out / "classes.txt").read_text() == "dog\ncat\n"
    assert (mask_in(out, "b")[2:4] == 1).all()
    assert (out / "ImageSets/Segmentation/train.txt").read_text() == "a\nb\n"
    assert "PASCAL VOC XML: 2 images, 2 classes, 1 masks, 1 boxes" in text


def test_masks_of_ids_need_a_list_of_classes(devkit, capsys):
    (devkit / "labelmap.txt").unlink()
    ids = np.full((8, 10), 2, np.uint8)
    Image.fromarray(ids).save(devkit / "SegmentationClass/b.png")
    out, text = imported(capsys, devkit)
    assert "masks are not used, since no labelmap.txt or classes.txt names their values: 1" in text
    assert labels_in(out) == {"a": {"cat"}, "b": set()}
    write(devkit / "class_names.txt", "_background_\ncat\ndog\n")
    out.rename(out.with_name("first"))
    out, _ = imported(capsys, devkit)
    assert labels_in(out) == {"a": {"cat"}, "b": {"dog"}}
    np.testing.assert_array_equal(mask_in(out, "b"), ids)


def test_names_in_lists_without_annotation_are_noted(devkit, capsys):
    write(devkit / "ImageSets/Main/default.txt", "a\nz\n")
    _, text = imported(capsys, devkit)
    assert "names in lists that have no annotation are not used: 1, first: z" in text
    assert "images in no list belong to no split: 1, first: b" in text


BOMB = """<?xml version="1.0"?>
<!DOCTYPE annotation [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>
<annotation><filename>&b;</filename></annotation>
"""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (BOMB, "a.xml: line 2: expected XML without a document type definition"),
        (BOMB.replace('"aaaaaaaaaa"', 'SYSTEM "/etc/passwd"'), "without a document type"),
        ("<annotation>\n<filename></annotation>", "a.xml: line 2: expected XML, got an error"),
        (annotated(thing("dog"), name="gone.jpg"), "expected the image 'gone.jpg'"),
        (annotated(thing("dog"), name="../../x.jpg"), "expected an image within"),
        (annotated(thing("dog", box=(1, 2, "x", 4))), "expected numbers as xmin, ymin"),
        (annotated(thing("")), "expected a name in each object"),
        (annotated(thing("dog")).replace("<width>10", "<width>20"), "are for 20x8 pixels"),
        (annotated(), "expected 1 to 254 classes, got 0"),
    ],
)
def test_malformed_files_are_refused(save, capsys, text, message):
    assert message in refusal(capsys, save(text))


def test_a_turned_image_must_be_annotated_upright(save, capsys, tmp_path):
    turned_photo(tmp_path / "photos/a.jpg", 8)
    assert "save it upright" in refusal(capsys, save(annotated(thing("dog"))))
    upright = annotated(thing("dog", box=(0, 0, 8, 10)))
    upright = upright.replace("<width>10", "<width>8").replace("<height>8", "<height>10")
    out, _ = imported(capsys, save(upright))
    assert boxes_in(out) == ["a,dog,0.0,0.0,8.0,10.0"]


def test_a_value_beyond_the_classes_is_refused(devkit, capsys):
    (devkit / "labelmap.txt").unlink()
    write(devkit / "classes.txt", "cat\n")
    Image.fromarray(grid(*["7" * 10] * 8)).save(devkit / "SegmentationClass/b.png")
    assert "mask id 7 is beyond the classes" in refusal(capsys, devkit)
