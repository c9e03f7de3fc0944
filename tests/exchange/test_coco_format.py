"""COCO JSON of own data."""

import numpy as np
import pytest
from pycocotools import mask as cocomask
from tool_files import (
    annotation,
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

from recam.exchange import coco


@pytest.fixture
def document():
    """Two images; the categories have gaps and no order."""
    return {
        "info": {"description": "own data", "version": "1.0", "year": 2024},
        "licenses": [{"id": 1, "name": "", "url": ""}],
        "images": [
            {"id": 7, "file_name": "a.jpg", "width": 10, "height": 8, "license": 1},
            {"id": 9, "file_name": "sub/b.jpg", "width": 10, "height": 8, "license": 1},
        ],
        "annotations": [annotation(1, 7, 5), annotation(2, 7, 3, area=1.0)],
        "categories": [
            {"id": 5, "name": "dog", "supercategory": "animal"},
            {"id": 3, "name": "cat", "supercategory": "animal"},
        ],
    }


@pytest.fixture
def save(tmp_path, document):
    """Write the document, with its images, after changes of its keys; return its folder."""
    root = tmp_path / "coco"
    photo(root / "images/a.jpg", grey=10)
    photo(root / "images/sub/b.jpg", grey=60)

    def saved(**changes):
        write(root / "annotations/instances_default.json", document | changes)
        return root

    return saved


def test_categories_by_id_are_classes_and_small_objects_lie_on_top(save, capsys):
    out, text = imported(capsys, save())
    assert (out / "classes.txt").read_text() == "cat\ndog\n"
    assert labels_in(out) == {"a": {"cat", "dog"}, "b": set()}
    expected = np.zeros((8, 10), np.uint8)
    expected[1:3, 1:4] = 1
    np.testing.assert_array_equal(mask_in(out, "a"), expected)
    assert not mask_in(out, "b").any()
    assert boxes_in(out) == ["a,dog,1.0,1.0,4.0,3.0", "a,cat,1.0,1.0,4.0,3.0"]
    assert "images without annotations, which count as images without a class: 1" in text
    assert text.endswith(f"COCO JSON: 2 images, 2 classes, 2 masks, 2 boxes written to {out}")


def test_run_lengths_of_both_kinds_and_crowds(save, capsys):
    region = grid("0110", "0110")
    whole = np.zeros((8, 10), np.uint8)
    whole[:2, :4] = region
    packed = cocomask.encode(np.asfortranarray(whole))
    packed["counts"] = packed["counts"].decode()
    crowd = {"size": [8, 10], "counts": [0, 80]}
    annotations = [
        annotation(1, 7, 3, segmentation=packed),
        annotation(2, 7, 5, segmentation=crowd, iscrowd=1, area=80.0),
    ]
    out, _ = imported(capsys, save(annotations=annotations))
    assert labels_in(out)["a"] == {"cat", "dog"}
    np.testing.assert_array_equal(mask_in(out, "a"), np.where(whole, np.uint8(1), np.uint8(255)))
    assert boxes_in(out) == ["a,cat,1.0,1.0,4.0,3.0"]  # none around a crowd


def test_masks_that_cvat_marks_as_crowds_are_objects(save, capsys):
    keys = ("contributor", "date_created", "description", "url", "version", "year")
    brushed = annotation(1, 7, 3, segmentation={"size": [8, 10], "counts": [0, 8, 72]}, iscrowd=1)
    root = save(info=dict.fromkeys(keys, ""), annotations=[brushed])
    out, text = imported(capsys, root)
    assert (mask_in(out, "a")[:, 0] == 1).all()
    assert boxes_in(out) == ["a,cat,1.0,1.0,4.0,3.0"]
    assert "masks that CVAT marks as crowds are drawn as objects: 1" in text


def test_boxes_without_a_segmentation_give_labels_and_no_mask(save, capsys):
    annotations = [annotation(1, 7, 3, segmentation=[]), annotation(2, 9, 5)]
    out, text = imported(capsys, save(annotations=annotations))
    assert labels_in(out) == {"a": {"cat"}, "b": {"dog"}}
    assert [p.name for p in (out / "SegmentationClass").glob("*.png")] == ["b.png"]
    assert "annotations without a segmentation, whose images get no mask: 1" in text


def test_parts_outside_the_image_are_cut_off(save, capsys):
    beyond = annotation(1, 7, 3, segmentation=[[-5, -5, 5, -5, 5, 2, -5, 2]], bbox=[-5, -5, 10, 7])
    out, text = imported(
        capsys, save(annotations=[beyond, annotation(2, 7, 5, bbox=[20, 0, 3, 3])])
    )
    assert mask_in(out, "a")[:2, :5].all()
    assert boxes_in(out) == ["a,cat,0.0,0.0,5.0,2.0"]
    assert "annotations without a box in the image: 1" in text


def test_several_documents_are_splits(save, document, capsys):
    root = save(annotations=[])
    (root / "annotations/instances_default.json").unlink()
    first, second = document["images"]
    for name, images in (("instances_train2017", [first]), ("instances_val2017", [second])):
        of_split = [annotation(1, images[0]["id"], 3)]
        write(
            root / f"annotations/{name}.json",
            document | {"images": images, "annotations": of_split},
        )
    write(root / "annotations/captions_val2017.json", {"images": [], "annotations": []})
    out, text = imported(capsys, root)
    lists = out / "ImageSets/Segmentation"
    assert (lists / "train.txt").read_text() == "a\n"
    assert (lists / "val.txt").read_text() == "b\n"
    assert "files of other tasks are not used: 1" in text


def test_folders_of_roboflow_are_splits(tmp_path, document, capsys):
    root = tmp_path / "roboflow"
    for number, (split, record) in enumerate(
        zip(("train", "valid"), document["images"], strict=True)
    ):
        name = f"{number}_jpg.rf.0a1b.jpg"
        photo(root / split / name, grey=number)
        content = {"images": [record | {"file_name": name}]}
        content["annotations"] = [annotation(0, record["id"], 3)]
        write(root / split / "_annotations.coco.json", document | content)
    out, _ = imported(capsys, root)
    assert (out / "ImageSets/Segmentation/val.txt").read_text() == "1_jpg.rf.0a1b\n"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"annotations": [annotation(1, 7, 4)]}, "annotations[0]: category_id 4 is no category"),
        ({"annotations": [annotation(1, 1, 3)]}, "annotations[0]: image_id 1 is no image"),
        ({"annotations": [annotation(1, 7, 3, bbox=[1, 2])]}, "expected bbox as x, y, width"),
        ({"annotations": [annotation(1, 7, 3, segmentation=["x"])]}, "expected polygons as x, y"),
        (
            {"annotations": [annotation(1, 7, 3, segmentation=[[1, 2, 3]])]},
            "each polygon as numbers",
        ),
        (
            {"annotations": [annotation(1, 7, 3, segmentation={"size": [8, 10], "counts": [1]})]},
            "annotations[0]: expected RLE counts of 80 pixels, got 1",
        ),
        ({"annotations": [{"image_id": 7}]}, "annotations[0]: expected 'category_id', got nothing"),
        ({"categories": [{"id": 3}]}, "categories[0]: expected 'name', got nothing"),
        (
            {"categories": [{"id": 3, "name": "cat"}, {"id": 3, "name": "dog"}]},
            "category 3 is 'dog', but 'cat' elsewhere",
        ),
        ({"categories": [{"id": 3, "name": "id"}]}, "class 'id' is a column of labels.csv"),
        ({"categories": []}, "expected 1 to 254 classes, got 0"),
    ],
)
def test_malformed_records_are_refused_with_their_place(save, capsys, changes, message):
    assert message in refusal(capsys, save(**changes))


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"file_name": "gone.jpg"}, "images[0]: expected the image 'gone.jpg' in"),
        ({"file_name": "../../etc/passwd"}, "images[0]: expected an image within"),
        ({"file_name": "images/../../../a.jpg"}, "expected an image within"),
        ({"file_name": "/etc/passwd"}, "expected an image within"),
        ({"file_name": r"C:\photos\a.jpg"}, "expected an image within"),
        ({"width": 11}, "annotations are for 11x8 pixels, the upright image has 10x8"),
        ({"id": 9}, "images[1]: id 9 is already that of 'a.jpg'"),
        ({"file_name": "sub/b.jpg"}, "is listed twice"),
    ],
)
def test_images_that_are_missing_outside_or_of_another_size_are_refused(
    save, document, capsys, record, message
):
    first, second = document["images"]
    assert message in refusal(capsys, save(images=[first | record, second]))


def test_annotations_on_the_stored_pixels_of_a_turned_image_are_refused(save, capsys):
    root = save()
    turned_photo(root / "images/a.jpg", 6)
    assert "as before the EXIF rotation; save it upright" in refusal(capsys, root)


def test_malformed_json_is_refused_with_its_line(save, capsys):
    root = save()
    path = root / "annotations/instances_default.json"
    path.write_text('{"images": [],\n "annotations": [,]}')
    assert f"{path}: line 2: expected JSON" in refusal(capsys, root)


def test_a_single_file_is_a_source(save, capsys):
    root = save()
    out, _ = imported(
        capsys, root / "annotations/instances_default.json", "--images", root / "images"
    )
    assert set(labels_in(out)) == {"a", "b"}


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("instances_train2017", "train"),
        ("valid", "val"),
        ("validation_set", "val"),
        ("my-test", "test"),
        ("interval", "interval"),
        ("latest", "latest"),
        ("instances_all", "all"),
    ],
)
def test_a_split_is_a_word_of_a_documents_name(tmp_path, name, split):
    assert coco._split_of(tmp_path / f"{name}.json", tmp_path) == split
