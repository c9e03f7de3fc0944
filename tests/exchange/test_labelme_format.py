"""labelme JSON, as labelme 5 writes it."""

import base64

import numpy as np
import pytest
from tool_files import (
    SQUARE,
    base64_png,
    boxes_in,
    grid,
    imported,
    labelled,
    labels_in,
    mask_in,
    photo,
    refusal,
    shape,
    write,
)


@pytest.fixture
def save(tmp_path):
    """Write ``a.json`` beside ``a.jpg``; return its folder."""
    root = tmp_path / "photos"
    photo(root / "a.jpg")

    def saved(record, name="a.json"):
        write(root / name, record)
        return root

    return saved


def test_polygons_become_labels_masks_and_boxes_later_ones_on_top(save, capsys):
    over = shape("dog", [[2, 1], [6, 1], [6, 3], [2, 3]])
    out, text = imported(capsys, save(labelled(SQUARE, over)))
    assert labels_in(out) == {"a": {"cat", "dog"}}
    np.testing.assert_array_equal(
        mask_in(out, "a")[:4, :7], grid("0000000", "0122220", "0122220", "0000000")
    )
    assert boxes_in(out) == ["a,cat,1.0,1.0,4.0,3.0", "a,dog,2.0,1.0,6.0,3.0"]
    assert text.endswith(f"labelme JSON: 1 images, 2 classes, 1 masks, 2 boxes written to {out}")


def test_shapes_of_one_group_have_one_box(save, capsys):
    right = shape("cat", [[6, 1], [8, 1], [8, 5], [6, 5]], group_id=1)
    out, _ = imported(capsys, save(labelled(SQUARE | {"group_id": 1}, right)))
    assert boxes_in(out) == ["a,cat,1.0,1.0,8.0,5.0"]


def test_circles_and_masks_cover_their_pixels(save, capsys):
    circle = shape("cat", [[2.5, 2.5], [2.5, 4.0]], "circle")
    crop = np.array([[0, 1], [1, 1]], np.uint8) * 255
    drawn = shape("dog", [[8, 6], [9, 7]], "mask", mask=base64_png(crop))
    out, _ = imported(capsys, save(labelled(circle, drawn)))
    np.testing.assert_array_equal(
        mask_in(out, "a"),
        grid(
            "0000000000",
            "0111000000",
            "0111000000",
            "0111000000",
            *["0000000000"] * 2,
            "0000000002",
            "0000000022",
        ),
    )
    assert boxes_in(out) == ["a,cat,1.0,1.0,4.0,4.0", "a,dog,8.0,6.0,10.0,8.0"]


def test_a_rectangle_is_a_box_and_its_image_gets_no_mask(save, capsys):
    rectangle = shape("dog", [[6, 5], [5, 2]], "rectangle")
    turned = shape("dog", [[6, 1], [8, 3], [6, 5], [4, 3]], "oriented_rectangle")
    out, text = imported(capsys, save(labelled(SQUARE, rectangle, turned)))
    assert boxes_in(out)[1:] == ["a,dog,5.0,2.0,6.0,5.0", "a,dog,4.0,1.0,8.0,5.0"]
    assert not list(out.rglob("SegmentationClass/*.png"))
    assert "images with rectangles get boxes and no mask: 1" in text


def test_lines_and_points_are_noted(save, capsys):
    others = [shape("cat", [[1, 1], [2, 2]], k) for k in ("line", "linestrip", "points")]
    out, text = imported(capsys, save(labelled(SQUARE, shape("dog", [[1, 1]], "point"), *others)))
    assert labels_in(out) == {"a": {"cat"}}
    assert "lines and points are not used: 4, first:" in text


def test_ignored_pixels_are_255_and_no_class(save, capsys):
    ignored = shape("__ignore__", [[0, 0], [1, 0], [1, 8], [0, 8]])
    out, _ = imported(capsys, save(labelled(SQUARE, ignored)))
    assert labels_in(out) == {"a": {"cat"}}
    assert (mask_in(out, "a")[:, 0] == 255).all()


def test_labels_txt_gives_the_order_of_classes(save, capsys):
    root = save(labelled(SQUARE))
    write(root / "labels.txt", "__ignore__\n_background_\ndog\ncat\n")
    out, _ = imported(capsys, root)
    assert (out / "classes.txt").read_text() == "dog\ncat\n"
    assert mask_in(out, "a").max() == 2


def test_flags_are_labels_where_no_file_has_a_shape(save, capsys):
    out, _ = imported(capsys, save(labelled(flags={"cat": True, "dog": False})))
    assert labels_in(out) == {"a": {"cat"}}
    assert not (out / "SegmentationClass").exists()


def test_an_embedded_image_serves_where_the_file_is_missing(save, capsys, tmp_path):
    content = (tmp_path / "photos/a.jpg").read_bytes()
    text = base64.b64encode(content).decode()
    root = save(labelled(SQUARE, imagePath="..\\elsewhere\\b.jpg", imageData=text))
    out, _ = imported(capsys, root)
    assert (out / "JPEGImages/b.jpg").read_bytes() == content


def test_an_image_path_may_lead_to_a_folder_beside(save, capsys):
    root = save(labelled(SQUARE, imagePath="..\\a.jpg"), name="json/a.json")
    out, _ = imported(capsys, root)
    assert labels_in(out) == {"a": {"cat"}}


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (labelled(SQUARE, imagePath="../../etc/passwd"), "expected an image within"),
        (labelled(SQUARE, imagePath="gone.jpg"), "expected the image 'gone.jpg'"),
        (labelled(SQUARE, imagePath="gone.jpg", imageData="?"), "expected imageData in base64"),
        (labelled(SQUARE, imageWidth=9), "annotations are for 9x8 pixels"),
        (labelled(shape("cat", [[1, 1], [2, 2]])), "expected at least 3 points x, y of a polygon"),
        (labelled(shape("cat", [[1], [2, 2], [3, 3]])), "expected at least 3 points"),
        (labelled(shape("cat", [[0, 0], [1, 1]], "mask")), "shapes[0]: expected 'mask'"),
        (
            labelled(shape("cat", [[0, 0], [2, 1]], "mask", mask=base64_png(grid("11", "11")))),
            "expected a mask of 3x2 pixels, as its points say, got 2x2",
        ),
        (labelled(shape(None, SQUARE["points"])), "shapes[0]: expected 'label', got nothing"),
        (labelled(), "expected 1 to 254 classes, got 0"),
    ],
)
def test_malformed_files_are_refused_with_their_place(save, capsys, record, message):
    assert message in refusal(capsys, save(record))


def test_a_label_outside_labels_txt_is_refused(save, capsys):
    root = save(labelled(SQUARE))
    write(root / "labels.txt", "dog\n")
    assert "expected every label, 'cat' is missing" in refusal(capsys, root)


def test_images_of_one_name_get_the_path_of_their_file(save, capsys, tmp_path):
    photo(tmp_path / "photos/x/a.jpg", grey=200)
    save(labelled(SQUARE), name="x/a.json")
    out, _ = imported(capsys, save(labelled(SQUARE)))
    assert set(labels_in(out)) == {"a", "x_a"}


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (labelled(shape("", SQUARE["points"])), "the class name '' is empty"),
        (labelled(shape("\ud800", SQUARE["points"])), "has a part that is no text in UTF-8"),
        (labelled(shape("cat", [[10**400, 1], [2, 2], [3, 1]])), "expected at least 3 points"),
        (labelled(shape("cat", [[1e300, 1], [2, 2], [3, 1]])), "expected at least 3 points"),
        (labelled(SQUARE | {"shape_type": ["circle"]}), "expected 1 to 254 classes, got 0"),
        (
            labelled(SQUARE) | {"imagePath": "gone.jpg", "imageData": "\u00e9"},
            "expected imageData in base64",
        ),
        (
            labelled(SQUARE) | {"imagePath": "gone.jpg", "imageData": "AAAA"},
            "a.json: imageData: not a readable image: zeros only",
        ),
    ],
)
def test_hostile_values_are_refused_with_their_place(save, capsys, record, message):
    assert message in refusal(capsys, save(record))


def test_an_image_in_a_folder_beside_counts_as_annotated(tmp_path, capsys):
    root = tmp_path / "photos"
    photo(root / "images/a.jpg")
    write(root / "labels/a.json", labelled(SQUARE) | {"imagePath": "../images/a.jpg"})
    _, text = imported(capsys, root)
    assert "without annotation" not in text


def test_two_files_of_one_image_are_refused(save, capsys):
    folder = save(labelled(SQUARE))
    (folder / "a_copy.json").write_bytes((folder / "a.json").read_bytes())
    assert "a.jpg: two JSON files name this image" in refusal(capsys, folder)
