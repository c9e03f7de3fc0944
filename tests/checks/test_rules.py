"""Validation of data sets: errors, warnings, statistics and the report."""

import os
import struct
import zlib
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as stn
from PIL import Image

from recam.checks import palettes, rules
from recam.checks.labels import FEW_IMAGES
from recam.checks.report import cooccurrence_table, write_report
from recam.core.errors import UserError
from recam.io.images import read_image

TRAIN = "ImageSets/Segmentation/train.txt"
VAL = "ImageSets/Segmentation/val.txt"
IDS = ("2007_000032", "2007_000033", "2007_000034", "2007_000035", "0042")
NEW = "2008_000001"  # the one image of val: 60 x 40, with all classes
REPLACE = "replace or remove it"
NO_MASKS = "some images of the split have no mask"


@pytest.fixture
def clean(voc):
    """The images of ``voc``, enlarged, and the split val: no errors, no warnings.

    Every image and mask is 5 times as large; 2007_000035 is a hen, 60 x 40 pixels.
    """
    for path in (*voc.glob("JPEGImages/*"), *voc.glob("SegmentationClass/*")):
        with Image.open(path) as image:
            image.resize((5 * image.width, 5 * image.height), Image.Resampling.NEAREST).save(path)
    edit(voc / "labels.csv", "2007_000035,0,0,0", "2007_000035,0,0,1")
    paint(voc, "2007_000035", [3])
    Image.new("RGB", (60, 40), (9, 9, 9)).save(voc / f"JPEGImages/{NEW}.png")
    paint(voc, NEW, [1, 2, 3])
    append(voc / "labels.csv", f"{NEW},1,1,1\n")
    append(voc / VAL, f"{NEW}\n")
    return voc


def check_data(root):
    """The report without the warning about classes of few images, which six images always give."""
    report = rules.check_data(root)
    return replace(report, faults=tuple(f for f in report.faults if f.fault != FEW_IMAGES))


def edit(file, old, new):
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))


def append(file, text):
    with file.open("a") as opened:
        opened.write(text)


def paint(root, image_id, ids, *, ground=0, size=(60, 40)):
    """Write a mask with one row of pixels for each id."""
    mask = np.full((size[1], size[0]), ground, dtype=np.uint8)
    for row, value in enumerate(ids):
        mask[row] = value
    Image.fromarray(mask).save(root / f"SegmentationClass/{image_id}.png")


def repaint(root, image_id, mode, *, suffix="png", size=(60, 40), **options):
    """Replace an image of 60 x 40 pixels by one of another mode, size or format."""
    (root / f"JPEGImages/{image_id}.png").unlink()
    path = root / f"JPEGImages/{image_id}.{suffix}"
    Image.new(mode, size, 7).save(path, **options)
    return path


def findings(root, *, severity):
    """(file, fault, detail) of every fault; all have this severity."""
    faults = check_data(root).faults
    assert all(fault.severity == severity for fault in faults)
    return {(fault.file, fault.fault, fault.detail) for fault in faults}


def test_nothing_is_found_in_a_clean_set(clean):
    report = check_data(clean)
    assert report.faults == ()
    assert report.verdict() == "No errors, no warnings."


def test_a_set_without_masks_is_clean(clean):
    for mask in (clean / "SegmentationClass").iterdir():
        mask.unlink()
    assert check_data(clean).faults == ()
    (clean / "SegmentationClass").rmdir()
    assert check_data(clean).faults == ()


def test_linked_images_and_masks_are_read(clean, tmp_path):
    for folder in ("JPEGImages", "SegmentationClass"):
        (clean / folder).rename(tmp_path / folder)
        (clean / folder).mkdir()
        for file in (tmp_path / folder).iterdir():
            (clean / folder / file.name).symlink_to(file)
    report = check_data(clean)
    assert report.faults == ()
    assert report.modes == {"RGB": 6}


# Errors


@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_a_truncated_image_is_an_error(clean, suffix):
    noise = np.random.default_rng(0).integers(0, 255, (40, 60, 3), dtype=np.uint8)
    path = repaint(clean, NEW, "RGB", suffix=suffix)
    Image.fromarray(noise).save(path)
    assert check_data(clean).faults == ()
    path.write_bytes(path.read_bytes()[:-500])
    (found,) = findings(clean, severity="error")
    assert found[:2] == (f"JPEGImages/{NEW}.{suffix}", "the image cannot be read")
    assert "truncated" in found[2]


def test_a_file_that_is_no_image_is_an_error(clean):
    (clean / f"JPEGImages/{NEW}.png").write_text("no image")
    words = (
        f"JPEGImages/{NEW}.png",
        "the image cannot be read",
        f"unknown image format; {REPLACE}",
    )
    assert findings(clean, severity="error") == {words}


def test_an_empty_file_is_an_error(clean):
    (clean / f"JPEGImages/{NEW}.png").write_bytes(b"")
    (found,) = findings(clean, severity="error")
    assert found[:2] == (f"JPEGImages/{NEW}.png", "the image cannot be read")


def test_an_image_of_absurd_size_is_an_error(clean):
    path = clean / f"JPEGImages/{NEW}.png"
    content = bytearray(path.read_bytes())
    content[16:24] = struct.pack(">II", 20_000, 20_000)  # width and height in the first chunk
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    path.write_bytes(content)
    (found,) = findings(clean, severity="error")
    assert found[:2] == (f"JPEGImages/{NEW}.png", "the image cannot be read")
    assert "400000000 pixels" in found[2]


@pytest.mark.parametrize(
    ("mode", "words"),
    [
        ("I", "expected values from 0 to 65535, got 70000 to 70000; convert it to 8 or 16 bits"),
        ("F", "expected floating-point values from 0 to 1, got 70000 to 70000; convert it to 8 or"),
        ("LAB", "expected RGB, CMYK, grey or a palette, got mode LAB; convert it"),
    ],
)
def test_an_image_without_a_rule_for_its_values_is_an_error(clean, mode, words):
    (clean / f"JPEGImages/{NEW}.png").unlink()
    Image.new(mode, (60, 40), 70_000 if mode != "LAB" else 7).save(clean / f"JPEGImages/{NEW}.tif")
    (found,) = findings(clean, severity="error")
    assert found[:2] == (f"JPEGImages/{NEW}.tif", "the image cannot be read")
    assert found[2].startswith(words)


def test_a_missing_image_is_an_error(clean):
    (clean / "JPEGImages/0042.png").unlink()
    words = (TRAIN, "the split lists an image without a file", "0042")
    assert findings(clean, severity="error") == {words}


def test_a_link_to_nothing_is_a_missing_image(clean):
    (clean / "JPEGImages/0042.png").unlink()
    (clean / "JPEGImages/0042.png").symlink_to("nowhere.png")
    words = (TRAIN, "the split lists an image without a file", "0042")
    assert findings(clean, severity="error") == {words}


def test_a_folder_without_images_lacks_them_all(clean):
    (clean / "JPEGImages").rename(clean / "photographs")
    report = check_data(clean)
    words = "the split lists an image without a file"
    assert {f.detail for f in report.errors if f.fault == words} == {*IDS, NEW}
    assert report.sizes == {}
    assert "Modes" not in report.markdown()


def test_an_image_without_a_row_is_an_error(clean):
    edit(clean / "labels.csv", "0042,0,0,1\n", "")
    words = (TRAIN, "the split lists an image without a row in labels.csv", "0042")
    assert findings(clean, severity="error") == {words}


def test_an_image_listed_twice_is_an_error_and_counts_once(clean):
    append(clean / TRAIN, "0042\n0042\n")
    words = (TRAIN, "the split lists an image twice", "0042")
    assert findings(clean, severity="error") == {words}
    assert check_data(clean).splits.loc["train", "images"] == 5


def test_two_rows_of_an_image_are_errors_and_the_first_counts(clean):
    append(clean / "labels.csv", "0042,1,1,0\n")
    assert findings(clean, severity="error") == {("labels.csv", "an image has two rows", "0042")}
    assert check_data(clean).classes["images_train"].to_list() == [2, 2, 2]


def test_two_files_of_an_image_are_errors(clean):
    Image.new("RGB", (40, 40)).save(clean / "JPEGImages/0042.jpg")
    words = ("JPEGImages/0042.jpg", "another file has the same id", "0042.png")
    assert words in findings(clean, severity="error")


@pytest.mark.parametrize("value", ["2", "-1", "0.5", "yes", ""])
def test_a_label_that_is_neither_0_nor_1_is_an_error(clean, value):
    edit(clean / "labels.csv", "2007_000033,0,1,0", f"2007_000033,0,{value},0")
    detail = f"line 3, image 2007_000033, class dog: '{value}'"
    assert findings(clean, severity="error") == {
        ("labels.csv", "a label is neither 0 nor 1", detail)
    }
    assert check_data(clean).splits.loc["train", "labelled"] == 4


def test_every_invalid_row_is_reported(clean):
    edit(clean / "labels.csv", "2007_000033,0,1,0", "2007_000033,x,1,y")
    edit(clean / "labels.csv", "0042,0,0,1", "0042,0,0,z")
    append(clean / "labels.csv", "2007_000035,0,0,1\n")
    assert findings(clean, severity="error") == {
        ("labels.csv", "a label is neither 0 nor 1", "line 3, image 2007_000033, class cat: 'x'"),
        ("labels.csv", "a label is neither 0 nor 1", "line 3, image 2007_000033, class hen: 'y'"),
        ("labels.csv", "a label is neither 0 nor 1", "line 6, image 0042, class hen: 'z'"),
        ("labels.csv", "an image has two rows", "2007_000035"),
    }


@pytest.mark.parametrize("name", ["classes.txt", "labels.csv"])
def test_without_its_tables_no_report_is_possible(clean, name):
    (clean / name).unlink()
    with pytest.raises(UserError, match=f"{name}: not found"):
        check_data(clean)


@pytest.mark.parametrize("table", ["", "id,cat\n0042,1\n", "image,cat,dog,hen\n0042,1,0,0\n"])
def test_a_table_that_does_not_fit_the_classes_is_refused(clean, table):
    (clean / "labels.csv").write_text(table)
    with pytest.raises(UserError, match=r"labels\.csv: "):
        check_data(clean)


def test_a_split_of_no_image_is_an_error(clean):
    (clean / TRAIN).write_text("\n")
    report = check_data(clean)
    assert [(f.file, f.fault) for f in report.errors] == [(TRAIN, "the split is empty")]
    assert report.splits.loc["train"].to_list()[:3] == [0, 0, 0]
    assert report.classes["images_train"].to_list() == [0, 0, 0]
    assert report.classes["images_val"].to_list() == [1, 1, 1]
    assert {f.fault for f in report.warnings} == {
        "the image is in no split",
        "the image of a row is in no split",
    }


def test_no_split_is_an_error(clean):
    for split in (TRAIN, VAL):
        (clean / split).unlink()
    (clean / "ImageSets/Segmentation/.hidden.txt").write_text("0042\n")
    report = check_data(clean)
    assert [(f.file, f.fault) for f in report.errors] == [
        ("ImageSets/Segmentation", "no split found")
    ]
    assert report.markdown().startswith("1 error, 12 warnings of 2 kinds.\n")


def test_a_split_that_is_no_text_is_an_error(clean):
    (clean / TRAIN).write_bytes(b"V\xf6gel\n")
    report = check_data(clean)
    assert [(f.file, f.fault) for f in report.errors] == [(TRAIN, "the split cannot be read")]
    assert list(report.splits.index) == ["val"]


def test_a_class_of_no_image_gives_a_warning(clean):
    append(clean / "classes.txt", "cow\n")
    header, *rows = (clean / "labels.csv").read_text().splitlines()
    table = "\n".join([f"{header},cow", *(f"{row},0" for row in rows)])
    (clean / "labels.csv").write_text(table + "\n")
    words = ("classes.txt", "no image of any split is labelled with the class", "cow")
    assert findings(clean, severity="warning") == {words}


@pytest.mark.parametrize("content", [b"no mask", None])
def test_a_mask_that_cannot_be_read_is_an_error(clean, content):
    path = clean / "SegmentationClass/0042.png"
    path.write_bytes(path.read_bytes()[:-30] if content is None else content)
    (found,) = findings(clean, severity="error")
    assert found[:2] == ("SegmentationClass/0042.png", "the mask cannot be read")


def test_a_mask_that_links_to_nothing_is_an_error(clean):
    (clean / "SegmentationClass/0042.png").unlink()
    (clean / "SegmentationClass/0042.png").symlink_to("nowhere.png")
    words = ("SegmentationClass/0042.png", "the mask cannot be read", "No such file or directory")
    assert findings(clean, severity="error") == {words}


@pytest.mark.parametrize("mode", ["RGB", "I;16", "1"])
def test_a_mask_in_colours_is_an_error(clean, mode):
    Image.new(mode, (60, 40)).save(clean / f"SegmentationClass/{NEW}.png")
    words = (
        f"SegmentationClass/{NEW}.png",
        "the mask is no palette or grey image of class ids; export ids instead of colours",
        f"mode {mode}",
    )
    assert findings(clean, severity="error") == {words}


@pytest.mark.parametrize(
    ("form", "options", "words"),
    [
        ("JPEG", {}, "a JPEG image; save it as PNG"),
        ("PNG", {"exif": b"Exif\0\0II*\0\x08\0\0\0\1\0\x12\1\3\0\1\0\0\0\6\0\0\0\0\0\0\0"}, "EXIF"),
    ],
)
def test_a_mask_whose_ids_are_not_certain_is_an_error(clean, form, options, words):
    path = clean / f"SegmentationClass/{NEW}.png"
    Image.new("L", (60, 40), 1).save(path, form, **options)
    (found,) = findings(clean, severity="error")
    assert found[:2] == (f"SegmentationClass/{NEW}.png", "the mask cannot be read")
    assert words in found[2]


def test_masks_of_0_and_255_are_an_error(clean):
    for path in (clean / "SegmentationClass").iterdir():
        with Image.open(path) as image:
            paint(clean, path.stem, [255, 255], size=image.size)
    (found,) = check_data(clean).errors
    assert "only 0 and 255, which is ignored; write objects as the number of" in found.fault
    assert found.detail == "6 of 6 masks"


def test_a_mask_of_another_size_is_an_error(clean):
    paint(clean, NEW, [1, 2, 3], size=(40, 60))
    assert findings(clean, severity="error") == {
        (
            f"SegmentationClass/{NEW}.png",
            "the mask and its image differ in size",
            "mask 40 x 60, image 60 x 40",
        )
    }


def test_a_mask_with_an_id_beyond_the_classes_is_an_error(clean):
    paint(clean, NEW, [1, 2, 3, 254, 4, 255])
    assert findings(clean, severity="error") == {
        (
            f"SegmentationClass/{NEW}.png",
            "the mask has ids beyond the classes",
            "4, 254; expected 0 to 3 or 255",
        )
    }


def test_all_faults_are_found_at_once(clean):
    append(clean / TRAIN, "0042\nnowhere\n")
    (clean / f"JPEGImages/{NEW}.png").write_text("no image")
    paint(clean, "2007_000032", [9])
    assert len(check_data(clean).errors) == 5  # nowhere has neither file nor row


# Warnings


def test_an_image_without_labels_gives_a_warning_in_each_split(clean):
    edit(clean / "labels.csv", f"{NEW},1,1,1", f"{NEW},0,0,0")
    (clean / f"SegmentationClass/{NEW}.png").unlink()
    append(clean / VAL, "\n".join(IDS[2:]))
    (clean / TRAIN).write_text("\n".join(IDS[:2]))
    report = check_data(clean)
    assert report.errors == ()
    (unlabelled,) = [f for f in report.warnings if f.fault == "the image has no labels"]
    assert (unlabelled.file, unlabelled.detail) == (f"JPEGImages/{NEW}.png", "in val")
    (bare,) = [f for f in report.warnings if f.fault == NO_MASKS]
    assert (bare.file, bare.detail) == (VAL, f"1 of 4, first: {NEW}")


def test_a_class_that_its_mask_does_not_show_gives_a_warning(clean):
    paint(clean, NEW, [2, 255])
    words = "the mask does not show a labelled class"
    assert findings(clean, severity="warning") == {
        (f"SegmentationClass/{NEW}.png", words, "cat, hen")
    }


def test_a_class_of_the_mask_that_is_not_in_the_labels_gives_a_warning(clean):
    paint(clean, "2007_000035", [1, 3])
    words = "the mask shows a class without its label"
    assert findings(clean, severity="warning") == {
        ("SegmentationClass/2007_000035.png", words, "cat")
    }


def paletted(root, image_id, colours):
    """Give a mask of ``paint`` a palette, in the order of its ids."""
    path = root / f"SegmentationClass/{image_id}.png"
    with Image.open(path) as mask:
        mask.putpalette([channel for colour in colours for channel in colour])
        mask.save(path)


BLACK, RED, GREEN, OLIVE = (0, 0, 0), (128, 0, 0), (0, 128, 0), (128, 128, 0)


def test_a_palette_in_another_order_gives_a_warning(clean):
    paletted(clean, NEW, [BLACK, GREEN, RED, OLIVE])  # PASCAL VOC's colours, of which two changed
    (warning,) = findings(clean, severity="warning")
    assert warning[:2] == (f"SegmentationClass/{NEW}.png", palettes.RENUMBERED)
    assert "id 1 has the colour of id 2, id 2 has the colour of id 1" in warning[2]


def test_palettes_that_agree_give_no_warning(clean):
    shown = [image_id for image_id in IDS if (clean / f"SegmentationClass/{image_id}.png").exists()]
    for image_id in (*shown, NEW):
        paletted(clean, image_id, [BLACK, GREEN, RED, OLIVE])
    assert findings(clean, severity="warning") == set()


def test_a_palette_of_one_colour_gives_no_warning(clean):
    paletted(clean, NEW, [BLACK, BLACK, BLACK, BLACK])
    assert findings(clean, severity="warning") == set()


@pytest.mark.parametrize(("ids", "found"), [([], "0"), ([255, 255], "0 and 255")])
def test_a_mask_without_classes_gives_a_warning_where_there_are_labels(clean, ids, found):
    paint(clean, NEW, ids)
    words = "the mask shows no class although its image has labels"
    detail = f"only {found}; expected 1 to 3 for the classes"
    assert findings(clean, severity="warning") == {(f"SegmentationClass/{NEW}.png", words, detail)}


def test_a_mask_that_is_ignored_everywhere_gives_a_warning(clean):
    paint(clean, NEW, [], ground=255)
    words = "all pixels of the mask are ignored (255)"
    assert findings(clean, severity="warning") == {(f"SegmentationClass/{NEW}.png", words, "")}
    assert np.isnan(check_data(clean).splits.loc["val", "background"])
    assert check_data(clean).splits.loc["val", "ignored"] == 1


def test_a_class_without_images_in_a_split_gives_a_warning(clean):
    edit(clean / "labels.csv", f"{NEW},1,1,1", f"{NEW},1,0,1")
    paint(clean, NEW, [1, 3])
    assert findings(clean, severity="warning") == {
        (VAL, "no image of the split is labelled with a class", "dog")
    }


@pytest.mark.parametrize(
    ("mode", "suffix", "kinds"),
    [
        ("L", "jpg", ["is grey and is converted to RGB"]),
        ("1", "png", ["is grey and is converted to RGB"]),
        ("LA", "png", ["is grey and is converted to RGB", "is transparent and is put on white"]),
        ("CMYK", "jpg", ["is CMYK and is converted to RGB"]),
        ("P", "png", ["has a palette and is converted to RGB"]),
        ("RGBA", "png", ["is transparent and is put on white"]),
    ],
)
def test_images_that_are_turned_to_rgb_give_warnings(clean, mode, suffix, kinds):
    path = repaint(clean, NEW, mode, suffix=suffix)
    if mode in {"LA", "RGBA"}:
        image = Image.open(path)
        image.putalpha(Image.linear_gradient("L").resize(image.size))
        image.save(path)
    assert findings(clean, severity="warning") == {
        (f"JPEGImages/{NEW}.{suffix}", f"the image {kind}", "") for kind in kinds
    }
    assert check_data(clean).modes == {"RGB": 5, mode: 1}


@pytest.mark.parametrize("orientation", [0, 1, 3, 6, 8])
def test_an_image_that_a_viewer_would_turn_gives_a_warning(clean, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    repaint(clean, NEW, "RGB", suffix="jpg", exif=exif)
    paint(clean, NEW, [1, 2, 3], size=(60, 40) if orientation < 5 else (40, 60))
    words = "the image has an EXIF rotation and is turned upright; its mask must be upright, too"
    turned = {(f"JPEGImages/{NEW}.jpg", words, "")} if orientation > 1 else set()
    assert findings(clean, severity="warning") == turned


@pytest.mark.parametrize("suffix", ["gif", "tif", "webp"])
def test_the_first_of_several_frames_is_used_with_a_warning(clean, suffix):
    frames = [Image.new("RGB", (60, 40), colour) for colour in ("red", "blue")]
    (clean / f"JPEGImages/{NEW}.png").unlink()
    path = clean / f"JPEGImages/{NEW}.{suffix}"
    frames[0].save(path, save_all=True, append_images=frames[1:], lossless=True)
    found = {fault for _, fault, _ in findings(clean, severity="warning")}
    assert "the image has several frames, of which the first is used" in found
    assert np.allclose(read_image(path)[0, 0], [255, 0, 0], atol=3)


def test_corrupt_exif_data_do_not_make_an_image_unreadable(clean):
    repaint(clean, NEW, "RGB", exif=b"Exif\x00\x00no notes")
    assert check_data(clean).faults == ()


@pytest.mark.parametrize(
    ("size", "words"),
    [
        ((1, 1), {"the image has a side shorter than 32 pixels"}),
        ((60, 31), {"the image has a side shorter than 32 pixels"}),
        ((60, 32), set()),
        ((160, 32), set()),
        ((32, 161), {"the image has an aspect ratio above 5"}),
    ],
)
def test_small_and_elongated_images_give_warnings(clean, size, words):
    repaint(clean, NEW, "RGB", size=size)
    for mask in (clean / "SegmentationClass").iterdir():
        mask.unlink()
    name = f"{size[0]} x {size[1]}"
    expected = {(f"JPEGImages/{NEW}.png", text, name) for text in words}
    assert findings(clean, severity="warning") == expected


def test_images_and_rows_that_no_split_names_give_warnings(clean):
    edit(clean / TRAIN, "0042\n", "")
    for name in ("spare.jpg", "spare.png", ".hidden.png", "Thumbs.db"):
        (clean / "JPEGImages" / name).touch()  # not read: no split names them
    assert findings(clean, severity="warning") == {
        ("JPEGImages/0042.png", "the image is in no split", ""),
        ("JPEGImages/spare.jpg", "the image is in no split", ""),
        ("JPEGImages/spare.png", "the image is in no split", ""),
        ("labels.csv", "the image of a row is in no split", "0042"),
    }


def test_a_split_with_some_masks_gives_a_warning(clean):
    for image_id in IDS[1:]:
        (clean / f"SegmentationClass/{image_id}.png").unlink()
    assert findings(clean, severity="warning") == {(TRAIN, NO_MASKS, "4 of 5, first: 2007_000033")}
    assert check_data(clean).splits["with_mask"].to_dict() == {"train": 1, "val": 1}


def copy_image(root, old, new):
    """Replace one image, its labels and its mask by copies of another one's."""
    for folder in ("JPEGImages", "SegmentationClass"):
        content = (root / f"{folder}/{old}.png").read_bytes()
        (root / f"{folder}/{new}.png").write_bytes(content)
    row = next(r for r in (root / "labels.csv").read_text().splitlines() if r.startswith(old))
    text = (root / "labels.csv").read_text().splitlines()
    kept = [r for r in text if not r.startswith(new)]
    (root / "labels.csv").write_text("\n".join([*kept, row.replace(old, new)]) + "\n")


def test_a_copy_in_the_same_split_gives_a_warning(clean):
    (clean / "ImageSets/Segmentation/train_aug.txt").write_text("\n".join(IDS))
    copy_image(clean, "2007_000035", "0042")
    words = "the image is a copy of another one in the same split"
    detail = "same as 2007_000035 in train, train_aug"
    assert findings(clean, severity="warning") == {("JPEGImages/0042.png", words, detail)}


@pytest.mark.parametrize("split", ["train", "train_aug"])
def test_a_copy_of_a_validation_image_in_train_gives_a_warning(clean, split):
    (clean / TRAIN).rename(clean / f"ImageSets/Segmentation/{split}.txt")
    copy_image(clean, NEW, "2007_000034")
    words = "the validation image is a copy of a training image"
    detail = "same as 2007_000034"
    assert findings(clean, severity="warning") == {(f"JPEGImages/{NEW}.png", words, detail)}


def test_an_id_to_train_and_to_validate_with_gives_a_warning(clean):
    append(clean / TRAIN, f"{NEW}\n")
    words = "the image is in both a training and a validation split"
    assert findings(clean, severity="warning") == {(f"JPEGImages/{NEW}.png", words, "train, val")}


def test_an_image_of_both_kinds_of_splits_is_no_copy_of_itself(clean):
    copy = "2009_000001"
    append(clean / TRAIN, f"{NEW}\n")
    append(clean / VAL, f"{copy}\n")
    copy_image(clean, NEW, copy)
    shared = "the image is in both a training and a validation split"
    leak = "the validation image is a copy of a training image"
    assert findings(clean, severity="warning") == {
        (f"JPEGImages/{NEW}.png", shared, "train, val"),
        (
            f"JPEGImages/{copy}.png",
            "the image is a copy of another one in the same split",
            f"same as {NEW} in val",
        ),
        (f"JPEGImages/{copy}.png", leak, f"same as {NEW}"),
    }


def test_a_list_of_all_images_leaks_nothing(clean):
    (clean / "ImageSets/Segmentation/trainval.txt").write_text("\n".join([*IDS, NEW]))
    assert check_data(clean).faults == ()


# Statistics


def test_ids_stay_strings(clean):
    (clean / "JPEGImages/0042.png").unlink()
    (clean / "JPEGImages/2007_000032.png").unlink()
    assert {fault.detail for fault in check_data(clean).faults} == {"0042", "2007_000032"}


def test_splits_are_counted(clean):
    edit(clean / "labels.csv", "0042,0,0,1", "0042,0,0,0")
    paint(clean, NEW, [1, 2, 3, 255, 255, 255, 255, 255])
    table = check_data(clean).splits
    assert table[["images", "labelled", "with_mask"]].to_numpy().tolist() == [[5, 4, 5], [1, 1, 1]]
    assert table.loc["val", "ignored"] == 5 / 40
    assert table.loc["val", "background"] == 32 / 35


def test_classes_are_counted(clean):
    paint(clean, NEW, [1, 2, 2, 3, 3, 3, 255, 255, 255, 255])
    table = check_data(clean).classes
    assert list(table.index) == ["cat", "dog", "hen"]
    assert table["images_train"].to_list() == [2, 2, 2]
    assert table["images_val"].to_list() == [1, 1, 1]
    assert table["pixels_val"].to_list() == [1 / 36, 2 / 36, 3 / 36]
    # 25 times the pixels of voc's masks, but 60 in the mask of 2007_000035
    pixels = 25 * (96 + 96 + 100 + 63) + 60 * 40
    of_class = [25 * (12 + 10), 25 * (8 + 10), 25 * 9 + 60]
    expected = [count / pixels for count in of_class]
    np.testing.assert_allclose(table["pixels_train"], expected)


def test_pixels_are_unknown_without_masks(clean):
    for mask in (clean / "SegmentationClass").iterdir():
        mask.unlink()
    report = check_data(clean)
    assert report.classes[["pixels_train", "pixels_val"]].isna().to_numpy().all()
    assert "pixels" not in report.markdown()


def test_classes_that_come_together_are_counted(clean):
    append(clean / TRAIN, f"{NEW}\n")  # an image of two splits is one image
    table = check_data(clean).cooccurrence
    assert list(table.index) == list(table.columns) == ["cat", "dog", "hen"]
    assert table.to_numpy().tolist() == [[3, 2, 1], [2, 3, 1], [1, 1, 3]]


@given(stn.arrays(bool, st.tuples(st.integers(0, 30), st.integers(1, 6))))
def test_cooccurrence_is_symmetric_with_the_classes_on_its_diagonal(labels):
    classes = tuple(f"class {k}" for k in range(labels.shape[1]))
    counts = cooccurrence_table(classes, labels).to_numpy()
    np.testing.assert_array_equal(counts, counts.T)
    np.testing.assert_array_equal(np.diag(counts), labels.sum(axis=0))
    assert (counts <= np.diag(counts)).all()
    assert counts.sum() == (labels.sum(axis=1) ** 2).sum()


def test_sizes_are_those_of_images_by_area(voc):
    sizes = check_data(voc).sizes  # areas 96, 96, 100, 96, 63
    assert sizes == {"smallest": (9, 7), "median": (12, 8), "largest": (10, 10)}


# The report


def test_a_tiny_set_gives_warnings_only(voc):
    report = check_data(voc)
    assert report.errors == ()
    assert report.verdict() == "No errors, 6 warnings of 2 kinds."


def test_the_report_of_a_set(clean):
    (clean / "JPEGImages/0042.png").unlink()
    repaint(clean, NEW, "L")
    assert check_data(clean).markdown() == WORDS


WORDS = """\
1 error, 1 warning.

| split   |   images |   labelled |   with mask |   background, % |   ignored, % |
|:--------|---------:|-----------:|------------:|----------------:|-------------:|
| train   |        5 |          5 |           5 |           88.60 |         0.00 |
| val     |        1 |          1 |           1 |           92.50 |         0.00 |

Width x height: smallest 40 x 60, median 60 x 40, largest 50 x 50.

Modes: 4 RGB, 1 L.

## Classes by frequency

| class   |   images, train |   % of pixels |   images, val |   % of pixels |
|:--------|----------------:|--------------:|--------------:|--------------:|
| cat     |               2 |          4.88 |             1 |          2.50 |
| dog     |               2 |          3.99 |             1 |          2.50 |
| hen     |               2 |          2.53 |             1 |          2.50 |

Percentages exclude ignored pixels.

## Most frequent class pairs

| class   | occurs with   |   images |   % of its images |
|:--------|:--------------|---------:|------------------:|
| cat     | dog           |        2 |                67 |
| cat     | hen           |        1 |                33 |
| dog     | hen           |        1 |                33 |

## Errors (they stop the run)

The split lists an image without a file (1):

- ImageSets/Segmentation/train.txt: 0042

## Warnings

The image is grey and is converted to RGB (1):

- JPEGImages/2008_000001.png
"""


def test_faults_of_as_many_kinds_are_counted_once(clean):
    append(clean / TRAIN, "nowhere\n")  # neither file nor row
    assert check_data(clean).verdict() == "2 errors, no warnings."


def test_the_share_of_a_pair_is_that_of_the_rarer_class(clean):
    labels = ("1,0,0", "1,1,1", "1,1,1", "0,0,1", "1,1,0")  # and a hen: 4 cats, 3 dogs, 4 hens
    rows = [f"{i},{row}" for i, row in zip(IDS, labels, strict=True)]
    (clean / "labels.csv").write_text("\n".join(["id,cat,dog,hen", *rows, f"{NEW},0,0,1"]))
    text = check_data(clean).markdown()
    rows = text[text.index("of its images") :].splitlines()[2:5]
    assert [" ".join(line.split()) for line in rows] == [
        "| dog | cat | 3 | 100 |",
        "| cat | hen | 2 | 50 |",
        "| dog | hen | 2 | 67 |",
    ]


def test_ten_files_of_a_kind_are_listed(clean):
    append(clean / TRAIN, "".join(f"nowhere{n}\n" for n in range(12)))
    text = check_data(clean).markdown()
    assert text.startswith("24 errors of 2 kinds, no warnings.\n")
    assert "The split lists an image without a file (12):" in text
    assert text.count("train.txt: nowhere") == 20
    assert text.count("- and 2 more in faults.csv\n") == 2


def test_of_many_classes_the_most_frequent_and_the_rarest_are_listed(clean):
    names = [f"a|{k}" for k in range(30)]
    (clean / "classes.txt").write_text("\n".join(names))
    rows = [",".join(["id", *names])]
    for number, image_id in enumerate((*IDS, NEW)):  # class k is in the last 1 + k // 5 images
        rows.append(",".join([image_id, *(str(int(5 - number <= k // 5)) for k in range(30))]))
    (clean / "labels.csv").write_text("\n".join(rows))
    lines = check_data(clean).markdown().splitlines()
    names = [line.split()[1] for line in lines if line.startswith(r"| a\|")]
    most, rarest = names[:10], names[10:20]
    assert most == [rf"a\|{k}" for k in (*range(25, 30), *range(20, 25))]
    assert rarest == [rf"a\|{k}" for k in (*range(5, 10), *range(5))]
    assert sum(line.startswith("| (10 more in classes.csv) |") for line in lines) == 1
    assert len(names) == 30  # 10 pairs come below


def test_warnings_of_a_kind_make_one_line(clean):
    (clean / "JPEGImages/spare.jpg").touch()
    (clean / "JPEGImages/spare.png").touch()
    repaint(clean, NEW, "L", size=(60, 31))
    (clean / f"SegmentationClass/{NEW}.png").unlink()
    assert check_data(clean).warning_lines() == [
        "the image is in no split: JPEGImages/spare.jpg, and 1 more",
        f"the image is grey and is converted to RGB: JPEGImages/{NEW}.png",
        "the image has a side shorter than 32 pixels: JPEGImages/2008_000001.png (60 x 31)",
    ]


def test_a_class_of_few_images_is_in_the_report_of_a_set(clean):
    (found,) = rules.check_data(clean).warnings
    assert (found.file, found.fault) == (TRAIN, FEW_IMAGES)
    assert found.detail == "cat 2, dog 2, hen 2, of 5 images"


def test_reports_are_written(clean, tmp_path):
    (clean / "JPEGImages/0042.png").unlink()
    repaint(clean, NEW, "L")
    folder = tmp_path / "reports/check"
    report = check_data(clean)
    write_report(report, folder)
    write_report(report, folder)
    assert {path.name for path in folder.iterdir()} == {
        "report.md",
        "classes.csv",
        "cooccurrence.csv",
        "faults.csv",
    }
    assert (folder / "report.md").read_text() == WORDS
    assert (folder / "faults.csv").read_text() == (
        "kind,file,fault\n"
        f"error,{TRAIN},the split lists an image without a file: 0042\n"
        f"warning,JPEGImages/{NEW}.png,the image is grey and is converted to RGB\n"
    )
    classes = pd.read_csv(folder / "classes.csv", index_col="class")
    pd.testing.assert_frame_equal(classes, report.classes, atol=1e-6)
    assert (folder / "cooccurrence.csv").read_text() == (
        "class,cat,dog,hen\ncat,3,2,1\ndog,2,3,1\nhen,1,1,3\n"
    )


def test_errors_are_listed_first(clean, tmp_path):
    (clean / "JPEGImages/spare.png").touch()
    (clean / f"JPEGImages/{NEW}.png").write_bytes(b"")
    write_report(check_data(clean), tmp_path / "check")
    table = pd.read_csv(tmp_path / "check/faults.csv")
    assert table["kind"].to_list() == ["error", "warning"]


def test_the_report_of_a_clean_set_has_no_fault(clean, tmp_path):
    write_report(check_data(clean), tmp_path / "check")
    assert (tmp_path / "check/faults.csv").read_text() == "kind,file,fault\n"
    assert "stop the run" not in (tmp_path / "check/report.md").read_text()


def test_ids_without_a_file_cost_no_listing_of_the_images_each(clean, monkeypatch):
    append(clean / TRAIN, "".join(f"nobody_{number}\n" for number in range(50)))
    (clean / f"JPEGImages/{NEW}.png").rename(clean / f"JPEGImages/{NEW}.Png")
    listed = []
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda *path: listed.append(path) or scandir(*path))
    report = check_data(clean)
    missing = [f for f in report.errors if f.fault == "the split lists an image without a file"]
    assert len(missing) == 50
    assert len(listed) < 10  # one for the image whose ending is written in an unusual way
