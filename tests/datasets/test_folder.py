"""A folder of the user's own images and labels: accepted layouts, and messages for errors."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import ExifTags, Image

from recam.core.errors import UserError
from recam.data.boxes import read_boxes
from recam.data.layout import load_weak_split
from recam.datasets import folder
from recam.datasets.collection import link_collection
from recam.datasets.label_table import read_label_table
from recam.io.images import read_image, read_mask

WIDE = "id,cat,dog\nIMG_1,1,0\n0042,1,1\n2007_000032,0,0\n"


@pytest.fixture
def photos(tmp_path):
    """Three photographs in JPEGImages and a table of labels."""
    root = tmp_path / "photos"
    (root / "JPEGImages").mkdir(parents=True)
    for number, name in enumerate(("IMG_1.jpg", "0042.PNG", "2007_000032.jpeg")):
        Image.new("RGB", (12 + number, 8), (50, 50, 50)).save(root / "JPEGImages" / name)
    (root / "labels.csv").write_text(WIDE)
    return root


def collect(photos, **options):
    return folder.collect(str(photos), originals=photos.parent / "originals", **options)


def named(collection):
    """Image -> names of its classes."""
    return {
        image_id: [c for c, is_in in zip(collection.classes, row, strict=True) if is_in]
        for image_id, row in collection.labels.items()
    }


def refusal(photos, **options):
    with pytest.raises(UserError) as caught:
        collect(photos, **options)
    return str(caught.value)


LABELS = {"IMG_1": ["cat"], "0042": ["cat", "dog"], "2007_000032": []}


@pytest.mark.parametrize(
    "text",
    [
        WIDE,
        WIDE.replace(",", ";"),
        WIDE.replace("\n", "\r\n"),
        "\ufeff" + WIDE,
        WIDE.replace("IMG_1", "IMG_1.jpg"),
        WIDE.replace(",1", ", 1 ").replace("id,cat", "id, cat "),
        "id,labels\nIMG_1,cat\n0042,cat;dog\n2007_000032,\n",
        "id,labels\nIMG_1,cat\n0042, cat | dog \n2007_000032,\n",
        "id;labels\nIMG_1;cat\n0042;dog,cat\n2007_000032;\n",
        'id,labels\nIMG_1,cat\n0042,"dog,cat"\n2007_000032,""\n',
        "ID,Labels\nIMG_1.jpg,cat,\n\n0042,cat;dog;,\n2007_000032,background,\n,,\n",
        "id\tlabels\nJPEGImages/IMG_1.jpg\tcat\n0042.PNG\tcat、dog\nC:\\x\\2007_000032\t\n",
        "id,labels\nIMG_1,cat\n0042,\u200bcat;dog\u00a0\n2007_000032,_background_\n",
        "id,background,cat,dog\nIMG_1,1,1,0\n0042,1,1,1\n2007_000032,1,0,0\n",
    ],
)
def test_tables_as_spreadsheets_write_them(photos, text):
    (photos / "labels.csv").write_bytes(text.encode())
    collection = collect(photos)
    assert collection.classes == ("cat", "dog")
    assert named(collection) == LABELS


@given(
    st.dictionaries(
        st.text("abc019_-", min_size=1, max_size=6),
        st.sets(st.sampled_from(["cat", "traffic light", "Hund", "x-1"]), max_size=4),
        min_size=1,
        max_size=8,
    ).filter(lambda rows: any(rows.values()))
)
def test_both_forms_of_the_table_say_the_same(tmp_path_factory, rows):
    root = tmp_path_factory.mktemp("photos")
    classes = sorted(set().union(*rows.values()))
    lines = [",".join(["id", *classes])]
    lines += [",".join([i, *(str(int(c in names)) for c in classes)]) for i, names in rows.items()]
    (root / "labels.csv").write_text("\n".join(lines) + "\n")
    wide = read_label_table(root, {})
    lines = ["id,labels", *(f"{i},{';'.join(sorted(names))}" for i, names in rows.items())]
    (root / "labels.csv").write_text("\n".join(lines) + "\n")
    listed = read_label_table(root, {})
    assert wide[0] == listed[0] == tuple(classes)
    assert wide[1].keys() == listed[1].keys() == rows.keys()
    for image_id, names in rows.items():
        assert {c for c, is_in in zip(classes, wide[1][image_id], strict=True) if is_in} == names
        np.testing.assert_array_equal(wide[1][image_id], listed[1][image_id])


def test_without_lists_all_labelled_images_are_to_train_on(photos):
    Image.new("RGB", (5, 5)).save(photos / "JPEGImages/unlabelled.jpg")
    assert collect(photos).splits == {"train": ("IMG_1", "0042", "2007_000032")}


def test_lists_of_ones_own_are_taken(photos):
    (photos / "ImageSets/Segmentation").mkdir(parents=True)
    (photos / "ImageSets/Segmentation/train.txt").write_text("IMG_1\n")
    (photos / "ImageSets/Segmentation/val.txt").write_text("0042\n")
    collection = collect(photos)
    assert collection.splits == {"train": ("IMG_1",), "val": ("0042",)}
    assert list(collection.images) == ["IMG_1", "0042"]


@pytest.mark.parametrize("place", ["images", "."])
def test_images_may_lie_elsewhere(photos, place):
    for image in (photos / "JPEGImages").iterdir():
        (photos / place).mkdir(exist_ok=True)
        image.rename(photos / place / image.name)
    (photos / "JPEGImages").rmdir()
    assert named(collect(photos)) == LABELS


def test_classes_txt_decides_the_order(photos):
    (photos / "classes.txt").write_text("dog\ncat\n")
    collection = collect(photos)
    assert collection.classes == ("dog", "cat")
    assert named(collection) == {"IMG_1": ["cat"], "0042": ["dog", "cat"], "2007_000032": []}


def test_classes_txt_of_label_editors_counts_from_background(photos):
    for head in ("__ignore__\n_background_\n", "_background_\n", "\ufeffbackground\r\n"):
        (photos / "classes.txt").write_text(f"{head}dog\ncat\n")
        assert collect(photos).classes == ("dog", "cat")


@pytest.mark.parametrize("text", ["cat\ndog\nbackground\n", "unlabeled\ncat\ndog\n", "void\ncat\n"])
def test_words_for_no_class_elsewhere_in_classes_txt_are_refused(photos, text):
    (photos / "classes.txt").write_text(text)
    assert "in masks background is 0, ignored pixels are 255, and line n is class n" in refusal(
        photos
    )


def test_spellings_are_classes_of_their_own_if_classes_txt_lists_them(photos):
    (photos / "labels.csv").write_text("id,labels\nIMG_1,a\n0042,A;None\n2007_000032,\n")
    (photos / "classes.txt").write_text("A\na\nNone\n")
    assert named(collect(photos)) == {"IMG_1": ["a"], "0042": ["A", "None"], "2007_000032": []}


def test_another_spelling_than_that_of_classes_txt_is_refused_with_the_right_one(photos):
    (photos / "labels.csv").write_text("id,labels\nIMG_1,traffic_light\n")
    (photos / "classes.txt").write_text("Traffic light\n")
    assert refusal(photos).endswith("got 'traffic_light'; write 'Traffic light'")


def test_numbers_as_names_are_the_values_of_masks_or_refused(photos):
    rows = "".join(f"{i},{n}\n" for i, n in (("IMG_1", "2;10"), ("0042", "1"), ("2007_000032", "")))
    (photos / "labels.csv").write_text(f"id,labels\n{rows}")
    assert collect(photos).classes == ("1", "2", "10")
    (photos / "SegmentationClass").mkdir()
    assert "class '10' would be 3 in masks" in refusal(photos)


def test_names_of_files_in_other_unicode_forms_are_the_same_ids(photos):
    (photos / "JPEGImages/IMG_1.jpg").rename(photos / "JPEGImages/Vo\u0308gel.jpg")
    (photos / "labels.csv").write_text("id,labels\nV\u00f6gel,cat\n", encoding="utf-8")
    assert collect(photos).images == {"V\u00f6gel": photos / "JPEGImages/Vo\u0308gel.jpg"}


@pytest.mark.parametrize(
    "line", ["0042", "0042.PNG", "JPEGImages/0042.PNG", "x\\0042.PNG", " 0042 "]
)
def test_splits_list_ids_or_files(photos, line):
    (photos / "ImageSets/Segmentation").mkdir(parents=True)
    (photos / "ImageSets/Segmentation/train.txt").write_bytes(f"{line}\r\n\nIMG_1\r".encode())
    assert collect(photos).splits == {"train": ("0042", "IMG_1")}


def test_an_image_listed_by_id_and_by_file_is_listed_twice(photos):
    (photos / "ImageSets/Segmentation").mkdir(parents=True)
    (photos / "ImageSets/Segmentation/train.txt").write_text("0042\n\n0042.PNG\n")
    assert "train.txt: line 3: image 0042 is listed twice; list it once" in refusal(photos)


def test_the_only_list_of_cvat_is_the_split_train(photos):
    (photos / "ImageSets/Segmentation").mkdir(parents=True)
    (photos / "ImageSets/Segmentation/default.txt").write_text("0042\n")
    assert collect(photos).splits == {"train": ("0042",)}
    (photos / "ImageSets/Segmentation/val.txt").write_text("IMG_1\n")
    assert set(collect(photos).splits) == {"default", "val"}


def test_a_folder_one_level_off_is_named(photos):
    words = refusal(photos / "JPEGImages")
    assert words.endswith(f"or set download.source to {photos}, which has one")


def test_nothing_is_copied_or_changed(photos):
    before = {p: (p.stat().st_mtime_ns, p.stat().st_size) for p in photos.rglob("*")}
    link_collection(photos.parent / "data", collect(photos))
    assert {p: (p.stat().st_mtime_ns, p.stat().st_size) for p in photos.rglob("*")} == before
    assert not (photos.parent / "originals").exists()
    split = load_weak_split(photos.parent / "data", "train")
    assert split.ids == ("IMG_1", "0042", "2007_000032")
    assert [path.resolve() for path in split.images] == [
        photos / "JPEGImages" / name for name in ("IMG_1.jpg", "0042.PNG", "2007_000032.jpeg")
    ]
    assert list((photos.parent / "data/SegmentationClass").iterdir()) == []


def save_turned(path, orientation):
    """An image of 4x2 pixels with a white left half as stored, and an EXIF rotation."""
    pixels = np.zeros((2, 4, 3), np.uint8)
    pixels[:, :2] = 255
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    Image.fromarray(pixels).save(path, exif=exif, quality=100, subsampling=0)


def test_a_line_of_text_in_place_of_an_id_or_a_class_is_shortened(photos):
    table = "id,labels\nIMG_1,cat\n0042,\n2007_000032,\n"
    (photos / "labels.csv").write_text(f"{table}{'x' * 5000},cat\n")
    words = refusal(photos)
    assert len(words.replace(str(photos), "")) < 300
    assert "no image file for xxx" in words
    (photos / "labels.csv").write_text(table.replace("cat", "x" * 5000, 1))
    words = refusal(photos)
    assert len(words.replace(str(photos), "")) < 300
    assert "is longer than 200 bytes" in words


def test_a_cell_may_list_many_classes(photos):
    names = [f"class of number {number}" for number in range(30)]
    table = f"id,labels\nIMG_1,{';'.join(names)}\n0042,\n2007_000032,\n"
    (photos / "labels.csv").write_text(table)
    assert collect(photos).classes == tuple(sorted(names))


@pytest.mark.parametrize(
    ("orientation", "white"),  # side that is white after rotation
    [(3, "right"), (6, "top"), (8, "bottom"), (2, "right")],
)
def test_images_with_an_exif_rotation_are_rotated_upright(photos, orientation, white):
    save_turned(photos / "JPEGImages/IMG_1.jpg", orientation)
    upright = read_image(collect(photos).images["IMG_1"])[..., 0] > 127
    expected = np.zeros_like(upright)
    expected[{"right": np.s_[:, 2:], "top": np.s_[:2], "bottom": np.s_[2:]}[white]] = True
    np.testing.assert_array_equal(upright, expected)


def test_only_rotated_or_too_large_images_are_copied(photos):
    Image.new("RGB", (300, 150)).save(photos / "JPEGImages/IMG_1.jpg")
    collection = collect(photos, longest_side=100)
    assert collection.images["0042"] == photos / "JPEGImages/0042.PNG"
    assert read_image(collection.images["IMG_1"]).shape == (50, 100, 3)
    assert collection.images["IMG_1"].is_relative_to(photos.parent / "originals")


def test_the_mask_of_a_shrunk_image_shrinks_with_it(photos):
    (photos / "SegmentationClass").mkdir()
    Image.new("RGB", (40, 20)).save(photos / "JPEGImages/IMG_1.jpg")
    mask = np.zeros((20, 40), np.uint8)
    mask[:, 20:] = 2
    Image.fromarray(mask).save(photos / "SegmentationClass/IMG_1.png")
    masks = collect(photos, longest_side=10).masks
    assert read_mask(masks["IMG_1"]).tolist() == [[0] * 5 + [2] * 5] * 5
    assert masks.keys() == {"IMG_1"}


def write_boxes(photos, *rows):
    (photos / "SegmentationClass").mkdir()
    head = "id,class,x_min,y_min,x_max,y_max"
    (photos / "SegmentationClass/boxes.csv").write_text("\n".join([head, *rows]) + "\n")


def test_boxes_are_read_and_linked(photos, tmp_path):
    write_boxes(photos, "0042,dog,1,2,3,4")
    found = collect(photos)
    assert found.boxes["0042"][1].tolist() == [[1, 2, 3, 4]]
    link_collection(tmp_path / "data", found)
    written = read_boxes(tmp_path / "data/SegmentationClass/boxes.csv", found.classes)
    assert written["0042"][1].tolist() == [[1, 2, 3, 4]]


def test_the_boxes_of_a_shrunk_image_shrink_with_it(photos):
    write_boxes(photos, "IMG_1,cat,2,2,12,8", "0042,cat,1,2,3,4")
    Image.new("RGB", (24, 16)).save(photos / "JPEGImages/IMG_1.jpg")
    found = collect(photos, longest_side=13)
    assert found.boxes["IMG_1"][0] == pytest.approx(np.array([[2, 2, 12, 8]]) * 13 / 24, rel=0.04)
    assert found.boxes["0042"][0].tolist() == [[1, 2, 3, 4]]


def test_boxes_of_a_foreign_image_are_refused(photos):
    write_boxes(photos, "0043.PNG,dog,1,2,3,4")
    assert "boxes.csv: expected ids of labels.csv, got '0043'" in refusal(photos)


def test_a_mask_of_another_size_is_left_for_the_check_to_find(photos):
    (photos / "SegmentationClass").mkdir()
    Image.new("RGB", (40, 20)).save(photos / "JPEGImages/IMG_1.jpg")
    Image.new("L", (7, 7)).save(photos / "SegmentationClass/IMG_1.png")
    masks = collect(photos, longest_side=10).masks
    assert masks["IMG_1"] == photos / "SegmentationClass/IMG_1.png"


def test_an_unreadable_image_is_left_for_the_check_to_find(photos):
    (photos / "JPEGImages/IMG_1.jpg").write_bytes(b"no image")
    assert collect(photos).images["IMG_1"] == photos / "JPEGImages/IMG_1.jpg"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "labels.csv: not found; save the table of labels there as CSV"),
        ("", "expected a CSV table with commas, got an empty file"),
        ('""\n', "expected the column 'id' and either one 0/1 column per class"),
        ("image,cat\nIMG_1,1\n", "expected the column 'id' and either one 0/1 column per class"),
        ("id\nIMG_1\n", "or the column 'labels', got 'id'"),
        (WIDE + "0042,1,0\n", "line 5: image 0042 has two rows, also line 3; keep one"),
        (WIDE + "0042.jpg,1,0\n", "line 5: image 0042 has two rows, also line 3; keep one"),
        (
            WIDE.replace("IMG_1,1", "IMG_1,yes"),
            "image IMG_1, class cat: expected 0 or 1, got 'yes'",
        ),
        (WIDE.replace("IMG_1,1", "IMG_1,"), "image IMG_1, class cat: expected 0 or 1, got ''"),
        (WIDE + "IMG_9,1,0\n", "no image file for IMG_9 (1 of 4 rows have none); correct the id"),
        (WIDE + ",1,0\n", "line 5: the row has no id; add it or delete the row"),
        ("id,cat\n", "labels.csv: expected a row for each image, got none"),
        ("id,labels\n42,cat\n", "no image file for 42 (1 of 1 rows have none); write '0042' if 0"),
        ("id,labels,notes\nIMG_1,cat,\n", "expected no column beside 'id' and 'labels', got 'not"),
        ("id,labels\nIMG_1,cat\n0042,Cat\n", "line 3: class 'Cat' is spelled 'cat' in line 2"),
        ("id,cat,CAT\nIMG_1,1,0\n", "class 'CAT' is spelled 'cat' in line 1; use one spelling"),
        ("id,labels\nIMG_1,cat\n0042,void\n", "line 3: expected names of classes, 'void' is a wo"),
        ("id,labels\nIMG_1,cat;nan\n", "line 2: expected names of classes such as cat;dog, 'nan'"),
        ('id,labels\nIMG_1,"1,0"\n', "'1,0' is a number; correct it, or list it in classes.txt"),
        ("id,labels\nIMG_1,\"['cat', 'dog']\"\n", "is a list in one cell; correct it"),
        ("id,labels\nIMG_1,True\n", "'True' is a truth value; correct it"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(photos, text, words):
    (photos / "labels.csv").unlink()
    if text is not None:
        (photos / "labels.csv").write_text(text)
    assert words in refusal(photos)


def test_a_table_in_another_encoding_is_refused(photos):
    (photos / "labels.csv").write_bytes("id,Vögel\nIMG_1,1\n".encode("latin-1"))
    assert "expected text in UTF-8" in refusal(photos)


def test_a_class_that_is_not_in_classes_txt_is_refused(photos):
    (photos / "classes.txt").write_text("cat\nbird\n")
    assert "expected the classes of classes.txt, got 'dog'" in refusal(photos)


def test_an_image_of_a_list_without_labels_is_refused(photos):
    (photos / "ImageSets/Segmentation").mkdir(parents=True)
    (photos / "ImageSets/Segmentation/train.txt").write_text("IMG_1\nIMG_2\n")
    assert (
        "expected a row for each image of ImageSets/Segmentation/train.txt, 1 of 2 have none "
        "(first: line 2, 'IMG_2')" in refusal(photos)
    )


def test_two_images_of_one_id_are_refused(photos):
    Image.new("RGB", (5, 5)).save(photos / "JPEGImages/IMG_1.png")
    assert "has the same id as IMG_1.jpg; rename one of them" in refusal(photos)


def test_a_folder_without_images_is_refused(photos):
    for image in (photos / "JPEGImages").iterdir():
        image.unlink()
    assert "in JPEGImages, in images or in the folder itself, found none; move" in refusal(photos)


def test_sub_folders_with_images_are_named_where_no_others_are(photos):
    (photos / "JPEGImages").rename(photos / "cat")
    assert "found none (sub-folders are not searched: cat/); move" in refusal(photos)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("IMG_1.jpg", "img_1.jpg", "; write 'img_1' if img_1.jpg is meant"),
        ("IMG_1.jpg", "IMG_1.heic", "; convert IMG_1.heic to .jpg or .png"),
    ],
)
def test_a_file_of_a_similar_name_is_named(photos, old, new, words):
    (photos / "JPEGImages" / old).rename(photos / "JPEGImages" / new)
    assert refusal(photos).endswith(words)


@pytest.mark.parametrize("suffix", [".webp", ".bmp", ".tif", ".TIFF", ".gif", ".Jpg", ".jfif"])
def test_every_usual_ending_is_an_image_in_any_case(photos, suffix):
    image = photos / "JPEGImages/IMG_1.jpg"
    image.rename(image.with_suffix(suffix))
    (photos / "labels.csv").write_text(WIDE.replace("IMG_1", f"IMG_1{suffix}"))
    link_collection(photos.parent / "data", collect(photos))
    first = load_weak_split(photos.parent / "data", "train").images[0]
    assert (first.name, first.resolve().name) == (f"IMG_1{suffix.lower()}", f"IMG_1{suffix}")


def test_the_ending_of_a_mask_has_any_case(photos):
    (photos / "SegmentationClass").mkdir()
    Image.new("L", (12, 8)).save(photos / "SegmentationClass/IMG_1.PNG", "PNG")
    link_collection(photos.parent / "data", collect(photos))
    assert (photos.parent / "data/SegmentationClass/IMG_1.png").is_file()


def test_hidden_files_of_a_mac_are_not_read(photos):
    (photos / "ImageSets/Segmentation").mkdir(parents=True)
    (photos / "ImageSets/Segmentation/train.txt").write_text("IMG_1\n")
    for path in [path for path in photos.rglob("*") if path.is_file()]:
        path.with_name(f"._{path.name}").write_bytes(b"\0\5\x16\7\xff")
    assert collect(photos).splits == {"train": ("IMG_1",)}


def test_auto_is_no_folder(tmp_path):
    with pytest.raises(UserError, match="expected the folder of your images, got auto"):
        folder.collect("auto", originals=tmp_path)
