"""Data sets in VOC layout: reading, writing, and the message for each error."""

import re

import numpy as np
import pytest
from PIL import Image

from recam.core.errors import UserError
from recam.data.layout import (
    Scene,
    find_image,
    load_weak_split,
    read_classes,
    read_labels,
    require_classes,
    write_scenes,
)
from recam.io.images import read_image, read_mask

IDS = ("2007_000032", "2007_000033", "2007_000034", "2007_000035", "0042")


def refusal(call, *args, **kwargs):
    """The message of the UserError that the call raises."""
    with pytest.raises(UserError) as caught:
        call(*args, **kwargs)
    return str(caught.value)


def rewrite(file, old, new):
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))


def test_ids_stay_strings(voc):
    assert load_weak_split(voc, "train").ids == IDS


def test_images_are_found_in_the_order_of_the_split(voc):
    assert [path.name for path in load_weak_split(voc, "train").images] == [f"{i}.png" for i in IDS]


def test_labels_are_those_of_the_table(voc):
    split = load_weak_split(voc, "train")
    assert split.classes == ("cat", "dog", "hen")
    assert split.labels.dtype == bool
    assert split.labels.astype(int).tolist() == [
        [1, 0, 0],
        [0, 1, 0],
        [1, 1, 0],
        [0, 0, 0],
        [0, 0, 1],
    ]


def test_the_order_of_the_rows_does_not_matter(voc):
    header, *rows = (voc / "labels.csv").read_text().splitlines()
    before = load_weak_split(voc, "train").labels
    (voc / "labels.csv").write_text("\n".join([header, *reversed(rows)]) + "\n")
    np.testing.assert_array_equal(load_weak_split(voc, "train").labels, before)


def test_a_split_may_name_some_of_the_images(voc):
    (voc / "ImageSets/Segmentation/val.txt").write_text("0042\n2007_000033\n")
    split = load_weak_split(voc, "val")
    assert split.ids == ("0042", "2007_000033")
    assert split.labels.astype(int).tolist() == [[0, 0, 1], [0, 1, 0]]


def test_masks_are_not_needed(voc):
    for mask in (voc / "SegmentationClass").iterdir():
        mask.unlink()
    assert len(load_weak_split(voc, "train").ids) == 5


def test_blank_lines_and_windows_line_ends_are_no_error(voc):
    (voc / "classes.txt").write_bytes(b"cat\r\ndog\r\n\r\nhen\r\n")
    (voc / "ImageSets/Segmentation/train.txt").write_bytes(b"0042\r\n\r\n")
    split = load_weak_split(voc, "train")
    assert (split.classes, split.ids) == (("cat", "dog", "hen"), ("0042",))


def test_a_byte_order_mark_is_not_part_of_a_name(voc):
    for name in ("classes.txt", "ImageSets/Segmentation/train.txt"):
        (voc / name).write_bytes(b"\xef\xbb\xbf" + (voc / name).read_bytes())
    split = load_weak_split(voc, "train")
    assert (split.classes[0], split.ids[0]) == ("cat", IDS[0])


@pytest.mark.parametrize("name", ["classes.txt", "ImageSets/Segmentation/train.txt"])
def test_text_in_another_encoding_is_refused(voc, name):
    (voc / name).write_bytes("Vögel\n".encode("latin-1"))
    words = refusal(load_weak_split, voc, "train")
    assert words.startswith(f"{voc / name}: line 1: expected text in UTF-8, got another encoding")


def test_a_class_with_a_control_character_is_refused(voc):
    (voc / "classes.txt").write_bytes(b"cat\ndog\x0e\nhen\n")
    words = refusal(load_weak_split, voc, "train")
    assert words.startswith(f"{voc / 'classes.txt'}: line 2: 'dog\\x0e' has a control character")


def test_an_id_that_reads_like_a_missing_value_is_an_id(voc):
    rewrite(voc / "labels.csv", "0042", "NA")
    (voc / "JPEGImages/0042.png").rename(voc / "JPEGImages/NA.png")
    rewrite(voc / "ImageSets/Segmentation/train.txt", "0042", "NA")
    assert load_weak_split(voc, "train").ids[-1] == "NA"


@pytest.mark.parametrize("suffix", [".jpg", ".jpeg", ".JPG", ".png", ".PNG"])
def test_images_may_have_the_usual_suffixes(tmp_path, suffix):
    (tmp_path / f"0042{suffix}").touch()
    assert find_image(tmp_path, "0042").suffix == suffix


@pytest.mark.parametrize("name", ["classes.txt", "labels.csv", "ImageSets/Segmentation/train.txt"])
def test_a_missing_file_is_named(voc, name):
    (voc / name).unlink()
    words = refusal(load_weak_split, voc, "train")
    assert words == f"{voc / name}: not found; run the download step or add the file"


def test_a_class_listed_twice_is_refused(voc):
    (voc / "classes.txt").write_text("cat\ndog\ncat\n")
    words = refusal(load_weak_split, voc, "train")
    assert words == (
        f"{voc / 'classes.txt'}: line 3: class 'cat' is listed twice; list each class once"
    )


@pytest.mark.parametrize("count", [0, 255])
def test_a_number_of_classes_that_does_not_fit_is_refused(tmp_path, count):
    file = tmp_path / "classes.txt"
    file.write_text("".join(f"class {i}\n" for i in range(count)))
    assert refusal(read_classes, file) == (
        f"{file}: expected 1 to 254 classes, got {count}; list one name per line"
    )


def test_an_image_listed_twice_is_refused(voc):
    file = voc / "ImageSets/Segmentation/train.txt"
    file.write_text("0042\n0042\n")
    words = refusal(load_weak_split, voc, "train")
    assert words == f"{file}: line 2: image 0042 is listed twice; list each image once"


def test_an_empty_split_is_refused(voc):
    file = voc / "ImageSets/Segmentation/train.txt"
    file.write_text("\n")
    words = refusal(load_weak_split, voc, "train")
    assert words == f"{file}: the split is empty; list at least one image id"


def test_an_image_without_a_row_of_labels_is_refused(voc):
    rewrite(voc / "labels.csv", "2007_000033,0,1,0\n", "")
    rewrite(voc / "labels.csv", "0042,0,0,1\n", "")
    assert refusal(load_weak_split, voc, "train") == (
        f"{voc / 'labels.csv'}: expected a row for each image of split train, 2 are missing "
        "(first: 2007_000033); add the rows or remove these ids from the split"
    )


def test_a_missing_image_is_named(voc):
    (voc / "JPEGImages/2007_000034.png").unlink()
    assert refusal(load_weak_split, voc, "train") == (
        f"{voc / 'JPEGImages'}: expected the image 2007_000034.jpg, .png, .tif or of another "
        "usual ending, found none; add it or remove the id from the split"
    )


def test_two_rows_for_an_image_are_refused(voc):
    with (voc / "labels.csv").open("a") as file:
        file.write("0042,1,0,0\n")
    words = refusal(load_weak_split, voc, "train")
    assert words == f"{voc / 'labels.csv'}: line 7: image 0042 has two rows; keep one"


@pytest.mark.parametrize("value", ["2", "-1", "0.5", "yes", "", "1.0", "TRUE", "0,0"])
def test_a_label_that_is_neither_0_nor_1_is_refused(voc, value):
    rewrite(voc / "labels.csv", "2007_000033,0,1,0", f'2007_000033,0,"{value}",0')
    assert refusal(load_weak_split, voc, "train") == (
        f"{voc / 'labels.csv'}: line 3: image 2007_000033, class dog: expected 0 or 1, got "
        f"'{value}'; correct it"
    )


def test_columns_in_another_order_are_refused(voc):
    rewrite(voc / "labels.csv", "id,cat,dog,hen", "id,dog,cat,hen")
    assert refusal(load_weak_split, voc, "train") == (
        f"{voc / 'labels.csv'}: expected one column for each of the 3 classes of classes.txt in "
        "its order, got 3 columns (dog, cat, hen, ...); make both files agree"
    )


def test_a_missing_column_is_refused(voc):
    (voc / "labels.csv").write_text("id,cat,dog\n0042,0,1\n")
    words = refusal(read_labels, voc / "labels.csv", ("cat", "dog", "hen"))
    assert "expected one column for each of the 3 classes" in words
    assert "got 2 columns (cat, dog, ...)" in words


def test_a_first_column_of_another_name_is_refused(voc):
    rewrite(voc / "labels.csv", "id,", "image,")
    words = refusal(load_weak_split, voc, "train")
    assert (
        words == f"{voc / 'labels.csv'}: expected 'id' as the first column, got 'image'; rename it"
    )


def test_a_row_longer_than_the_header_is_refused(voc):
    (voc / "labels.csv").write_text("id,cat,dog,hen\na,1,0,0\nb,1,0,0,1\n")
    words = refusal(load_weak_split, voc, "train")
    assert f"{voc / 'labels.csv'}: line 3: expected 4 cells as in the header, got 5" in words


def test_the_same_classes_pass(tmp_path):
    require_classes(("cat", "dog"), ("cat", "dog"), source=tmp_path)


@pytest.mark.parametrize("expected", [("dog", "cat"), ("cat",)])
def test_a_checkpoint_of_other_classes_is_refused(tmp_path, expected):
    words = refusal(require_classes, ("cat", "dog"), expected, source=tmp_path / "model.pt")
    assert words == (
        f"{tmp_path / 'model.pt'}: expected a checkpoint for the {len(expected)} classes of the "
        f"data set ({', '.join(expected)}, ...), got one for 2 classes (cat, dog, ...); "
        "train on this data set"
    )


@pytest.fixture
def scenes():
    """Three scenes, of both classes, of one, and of none."""
    masks = (
        np.array([[1, 2], [0, 255]], dtype=np.uint8),
        np.array([[0, 2], [2, 2]], dtype=np.uint8),
        np.zeros((2, 2), dtype=np.uint8),
    )
    return [
        Scene(image=np.full((2, 2, 3), 10 * number, dtype=np.uint8), mask=mask)
        for number, mask in enumerate(masks)
    ]


@pytest.fixture
def written(tmp_path, scenes):
    """The folder of these scenes: two to train, one to validate."""
    splits = {"train": scenes[:2], "val": scenes[2:]}
    list(write_scenes(tmp_path, splits, ("ring", "cross")))
    return tmp_path


def test_written_scenes_come_back(written, scenes):
    splits = {name: load_weak_split(written, name) for name in ("train", "val")}
    assert splits["train"].ids == ("train_0000", "train_0001")
    assert splits["val"].ids == ("val_0000",)
    assert splits["train"].classes == ("ring", "cross")
    assert splits["train"].labels.tolist() == [[True, True], [False, True]]
    assert splits["val"].labels.tolist() == [[False, False]]
    for path, scene in zip((*splits["train"].images, *splits["val"].images), scenes, strict=True):
        np.testing.assert_array_equal(read_image(path), scene.image)


def test_written_masks_come_back(written, scenes):
    for name, scene in zip(("train_0000", "train_0001", "val_0000"), scenes, strict=True):
        mask = read_mask(written / f"SegmentationClass/{name}.png")
        np.testing.assert_array_equal(mask, scene.mask)


def test_each_id_is_yielded_once_its_files_are_written(tmp_path, scenes):
    for image_id in write_scenes(tmp_path, {"train": scenes}, ("ring", "cross")):
        with Image.open(tmp_path / f"JPEGImages/{image_id}.png") as image:
            assert image.size == (2, 2)
        assert (tmp_path / f"SegmentationClass/{image_id}.png").is_file()


def test_the_list_of_classes_comes_last(tmp_path, scenes):
    writing = iter(write_scenes(tmp_path, {"train": scenes}, ("ring", "cross")))
    next(writing)
    assert not (tmp_path / "labels.csv").exists()
    assert not (tmp_path / "classes.txt").exists()


def test_the_table_of_labels_can_be_read_by_people(written):
    text = (written / "labels.csv").read_text()
    assert text == "id,ring,cross\ntrain_0000,1,1\ntrain_0001,0,1\nval_0000,0,0\n"
    assert re.fullmatch(r"ring\ncross\n", (written / "classes.txt").read_text())
