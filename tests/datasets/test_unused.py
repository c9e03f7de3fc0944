"""Files of the user that no step reads: each is listed with its reason."""

import pytest
from PIL import Image

from recam.datasets.folder import list_folder
from recam.datasets.unused import unused_files
from recam.steps.own_folder import warnings_of_folder


@pytest.fixture
def photos(tmp_path):
    """Two photographs with labels, one of them with a mask."""
    (tmp_path / "JPEGImages").mkdir()
    (tmp_path / "SegmentationClass").mkdir()
    for name in ("IMG_1", "IMG_2"):
        Image.new("RGB", (40, 30)).save(tmp_path / f"JPEGImages/{name}.jpg")
    Image.new("L", (40, 30)).save(tmp_path / "SegmentationClass/IMG_1.png")
    (tmp_path / "labels.csv").write_text("id,labels\nIMG_1,cat\nIMG_2,dog\n")
    return tmp_path


def unused(root, **options):
    found = unused_files(root, list_folder(str(root)), **options)
    return [(entry.file, entry.detail) for entry in found]


def test_a_folder_of_which_all_is_used_has_none(photos):
    assert unused(photos) == []


@pytest.mark.parametrize(
    ("file", "detail"),
    [
        ("SegmentationClass/IMG_2_mask.png", "rename it to IMG_2.png"),
        ("SegmentationClass/mask_img_2.PNG", "rename it to IMG_2.png"),
        ("SegmentationClass/IMG_2.jpg.png", "rename it to IMG_2.png"),
        ("SegmentationClass/IMG_2.bmp", "convert it to IMG_2.png"),
        ("SegmentationClass/IMG_2_label.tif", "convert it to IMG_2.png"),
        ("SegmentationClass/IMG_22.png", "no image in use has this name"),
        ("SegmentationClass/notes.txt", ""),
        ("JPEGImages/IMG_3.jpg", ""),
        ("JPEGImages/IMG_3.heic", ""),
        ("IMG_4.jpg", "JPEGImages"),
        ("labels.xlsx", ""),
        ("ImageSets/Main/train.txt", None),
    ],
)
def test_every_file_that_is_not_used_is_listed(photos, file, detail):
    (photos / file).parent.mkdir(parents=True, exist_ok=True)
    (photos / file).touch()
    expected = ("ImageSets/Main/", "1 file") if detail is None else (file, detail)
    assert unused(photos) == [expected]


def test_a_sub_folder_is_listed_once(photos):
    (photos / "cat").mkdir()
    for name in ("a.jpg", "b.png", "notes.txt"):
        (photos / "cat" / name).touch()
    assert unused(photos) == [("cat/", "2 images")]
    assert unused(photos, also_used=[photos / "cat"]) == []


def test_hidden_files_are_counted_and_not_read(photos):
    for name in (".DS_Store", "JPEGImages/Thumbs.db", "SegmentationClass/._IMG_1.png"):
        (photos / name).write_bytes(b"\0\xff")
    assert unused(photos) == [(".DS_Store", "3, first: .DS_Store")]


def test_images_that_become_copies_give_warnings_of_what_changes(photos):
    exif = Image.Exif()
    exif[274] = 6
    Image.new("CMYK", (40, 30)).save(photos / "JPEGImages/IMG_1.jpg", exif=exif)
    faults = warnings_of_folder(str(photos), longest_side=None)
    assert [(fault.file, fault.severity) for fault in faults] == [
        ("JPEGImages/IMG_1.jpg", "warning")
    ] * 2
    assert [words.fault[:25] for words in faults] == [
        "the image is CMYK and is ",
        "the image has an EXIF rot",
    ]
