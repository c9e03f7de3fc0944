"""COCO 2014 in its real layout, only small: splits, labels, masks, and messages about errors."""

import hashlib
import json
import re
from zipfile import ZipFile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recam.core.errors import UserError
from recam.datasets.coco14 import ARCHIVES, COUNTS, collect, mask_ids
from recam.datasets.fetch import Archive
from recam.io.images import read_mask

SPANS = [(1, 11), (13, 25), (27, 28), (31, 44), (46, 65), (67, 67), (70, 70), (72, 82), (84, 90)]
CATEGORIES = [number for first, last in SPANS for number in range(first, last + 1)]
NAMES = {number: f"thing {number}" for number in CATEGORIES} | {10: "traffic light"}

TRAIN, VAL = "COCO_train2014_", "COCO_val2014_"
TRAIN_JSON, VAL_JSON = (f"annotations/instances_{part}.json" for part in ("train2014", "val2014"))
SMALL = {"classes": 80, "train": 3, "train_all": 4, "val": 2, "val_labelled": 1}
# No server listens here, so no test can download anything.
NOWHERE = {
    name: Archive(url=archive.url.replace("images.cocodataset.org", "localhost:9"), md5="0" * 32)
    for name, archive in ARCHIVES.items()
}
REMEDY = "; download the annotations of COCO 2014 again"


def box(left, top, right, bottom):
    """A polygon that covers the pixels [top:bottom, left:right]."""
    return [[left, top, right, top, right, bottom, left, bottom]]


def annotation(number, image, category, segmentation, *, area=1.0, crowd=0):
    return {
        "segmentation": segmentation,
        "area": area,
        "iscrowd": crowd,
        "image_id": image,
        "bbox": [0.0, 0.0, 1.0, 1.0],
        "category_id": category,
        "id": number,
    }


def listing(part, sizes, annotations):
    """The annotation file of a part; ``sizes`` are (width, height) by image id."""
    return {
        "info": {"description": "COCO 2014 Dataset", "year": 2014},
        "images": [
            {
                "license": 5,
                "file_name": f"COCO_{part}_{number:012d}.jpg",
                "coco_url": f"http://images.cocodataset.org/{part}/COCO_{part}_{number:012d}.jpg",
                "height": height,
                "width": width,
                "date_captured": "2013-11-14 16:28:13",
                "id": number,
            }
            for number, (width, height) in sizes.items()
        ],
        "licenses": [{"url": "http://creativecommons.org/licenses/by/2.0/", "id": 4}],
        "annotations": annotations,
        "categories": [  # in no order
            {"supercategory": "any", "id": number, "name": NAMES[number]}
            for number in reversed(CATEGORIES)
        ],
    }


def documents():
    """Both parts. Image 9 has two classes, 30 a crowd alone, 100 every class, 25 and 73 nothing."""
    crowd = {"counts": [2, 2, 2], "size": [2, 3]}
    every = [
        annotation(200 + i, 100, category, box(i % 9, i // 9, i % 9 + 1, i // 9 + 1))
        for i, category in enumerate(CATEGORIES)
    ]
    small = annotation(2, 9, 90, box(1, 1, 3, 2), area=2.0)
    large = annotation(5, 9, 1, box(0, 0, 4, 2), area=8.0)
    train = [small, *every, annotation(900, 30, 13, crowd, area=2, crowd=1), large]
    sizes = {100: (9, 9), 25: (2, 2), 9: (5, 3), 30: (3, 2)}
    val = [annotation(7, 42, 10, box(0, 0, 1, 1))]
    return {
        "train2014": listing("train2014", sizes, train),
        "val2014": listing("val2014", {73: (4, 3), 42: (2, 2)}, val),
    }


def write_tree(root, *, images=""):
    for part, document in documents().items():
        (root / images / part).mkdir(parents=True)
        for image in document["images"]:
            (root / images / part / image["file_name"]).write_bytes(b"a photograph")
        (root / "annotations").mkdir(exist_ok=True)
        (root / f"annotations/instances_{part}.json").write_text(json.dumps(document))
    return root


@pytest.fixture
def coco(tmp_path):
    return write_tree(tmp_path / "coco")


@pytest.fixture
def gather(coco, tmp_path):
    """Collect from the tree, with some arguments changed."""

    def call(source=coco, **changed):
        usual = {"originals": tmp_path / "originals", "archives": NOWHERE, "counts": SMALL}
        return collect(str(source), **({"workers": 1} | usual | changed))

    return call


def refusal(call, *args, **kwargs):
    with pytest.raises(UserError) as caught:
        call(*args, **kwargs)
    return str(caught.value)


def edit(file, change):
    """Change the content of a JSON file in place."""
    document = json.loads(file.read_text())
    change(document)
    file.write_text(json.dumps(document))


def state(folder):
    return {
        path: (path.stat().st_mtime_ns, path.is_file() and path.read_bytes())
        for path in (folder, *folder.rglob("*"))
    }


def ids(prefix, *numbers):
    return tuple(f"{prefix}{number:012d}" for number in numbers)


def test_the_counts_are_those_of_the_real_data_set():
    assert len(CATEGORIES) == COUNTS["classes"] == 80
    assert COUNTS["train_all"] + COUNTS["val"] == 123_287
    assert COUNTS["train"] == COUNTS["train_all"] - 702


def test_splits_name_images_by_their_files_in_ascending_order(gather):
    assert gather().splits == {
        "train": ids(TRAIN, 9, 30, 100),
        "train_all": ids(TRAIN, 9, 25, 30, 100),
        "val": ids(VAL, 42, 73),
        "val_labelled": ids(VAL, 42),
    }


def test_every_image_has_its_file_its_labels_and_its_mask(gather, coco, tmp_path):
    found = gather()
    named = {*found.splits["train_all"], *found.splits["val"]}
    assert set(found.images) == set(found.labels) == set(found.masks) == named
    assert found.images[f"{VAL}000000000042"] == coco / "val2014/COCO_val2014_000000000042.jpg"
    assert all(file.is_file() for file in (*found.images.values(), *found.masks.values()))
    folders = {file.parent for file in found.masks.values()}
    (folder,) = folders
    assert folder.parent == tmp_path / "originals"
    assert re.fullmatch("masks-by_area-[0-9a-f]{12}", folder.name)
    assert {file.name for file in folder.iterdir()} == {f"{i}.png" for i in named}


def test_classes_are_in_the_order_of_their_ids_and_keep_their_spaces(gather):
    assert gather().classes == tuple(NAMES[number] for number in CATEGORIES)
    assert gather().classes[9] == "traffic light"


def test_labels_are_the_annotated_classes_crowds_included(gather):
    labels = gather().labels
    assert {i: np.flatnonzero(row).tolist() for i, row in labels.items()} == {
        f"{TRAIN}000000000009": [0, 79],
        f"{TRAIN}000000000025": [],
        f"{TRAIN}000000000030": [11],  # category 13, as there is no 12
        f"{TRAIN}000000000100": list(range(80)),
        f"{VAL}000000000042": [9],
        f"{VAL}000000000073": [],
    }
    assert all(row.dtype == bool and row.shape == (80,) for row in labels.values())


def test_masks_by_hand(gather):
    masks = {i[-3:]: read_mask(file).tolist() for i, file in gather().masks.items()}
    assert masks["009"] == [[1, 1, 1, 1, 0], [1, 80, 80, 1, 0], [0, 0, 0, 0, 0]]
    assert masks["025"] == [[0, 0], [0, 0]]
    assert masks["030"] == [[0, 255, 0], [0, 255, 0]]
    assert np.ravel(masks["100"]).tolist() == [*range(1, 81), 0]
    assert masks["042"] == [[10, 0], [0, 0]]
    assert masks["073"] == [[0] * 4] * 3


def test_published_masks_have_no_ignored_pixels_and_lie_elsewhere(gather):
    usual, published = gather().masks, gather(masks="published").masks
    masks = {i[-3:]: read_mask(file).tolist() for i, file in published.items()}
    assert masks["009"] == [[1, 1, 1, 1, 0], [1, 1, 1, 1, 0], [0, 0, 0, 0, 0]]  # large came last
    assert masks["030"] == [[0, 12, 0], [0, 12, 0]]  # a crowd
    assert not {*usual.values()} & {*published.values()}


def test_the_real_categories_become_mask_ids_without_gaps():
    ids = mask_ids(CATEGORIES)
    assert (ids[1], ids[11], ids[13], ids[90]) == (1, 11, 12, 80)


@given(st.sets(st.integers(0, 10_000), max_size=254), st.randoms())
def test_mask_ids_ascend_from_1_without_gaps(categories, random):
    shuffled = sorted(categories)
    random.shuffle(shuffled)
    ids = mask_ids(shuffled)
    assert [ids[category] for category in sorted(categories)] == [*range(1, len(categories) + 1)]


def test_the_source_is_not_changed(gather, coco):
    before = state(coco)
    gather()
    assert state(coco) == before


def test_images_may_lie_below_images(gather, tmp_path):
    root = write_tree(tmp_path / "other", images="images")
    found = gather(root)
    assert found.images[f"{TRAIN}000000000009"].parent == root / "images/train2014"


def test_a_second_call_draws_only_missing_masks(gather):
    masks = gather().masks
    before = {i: file.stat() for i, file in masks.items()}
    gone = f"{TRAIN}000000000100"
    content = masks[gone].read_bytes()
    masks[gone].unlink()
    assert gather().masks == masks
    assert masks[gone].read_bytes() == content
    for image_id, file in masks.items():
        same = file.stat().st_mtime_ns == before[image_id].st_mtime_ns
        assert same == (image_id != gone)


def test_masks_of_other_annotations_lie_elsewhere(gather, coco):
    before = gather().masks[f"{VAL}000000000042"]
    edit(coco / VAL_JSON, lambda d: d["annotations"][0].update(category_id=11))
    after = gather().masks[f"{VAL}000000000042"]
    assert after.parent != before.parent
    assert (read_mask(before)[0, 0], read_mask(after)[0, 0]) == (10, 11)


def pack(root, folder):
    """Make the three archives in ``folder`` of the tree, and return their descriptions."""
    folder.mkdir()
    archives = {}
    for name, nowhere in NOWHERE.items():
        file = folder / nowhere.name
        with ZipFile(file, "w") as archive:
            for path in sorted(root.glob(f"{name}/*")):
                archive.write(path, path.relative_to(root))
        md5 = hashlib.md5(file.read_bytes(), usedforsecurity=False).hexdigest()
        archives[name] = Archive(url=nowhere.url, md5=md5)
    return archives


def test_archives_in_the_folder_are_unpacked_elsewhere(gather, coco, tmp_path):
    archives = pack(coco, tmp_path / "zips")
    before = state(tmp_path / "zips")
    found = gather(tmp_path / "zips", archives=archives)
    assert state(tmp_path / "zips") == before
    assert found.splits == gather().splits
    for file in found.images.values():
        assert file.is_relative_to(tmp_path / "originals")
        assert file.read_bytes() == b"a photograph"
    np.testing.assert_array_equal(read_mask(found.masks[f"{VAL}000000000042"]), [[10, 0], [0, 0]])


def test_folders_and_archives_may_lie_side_by_side(gather, coco, tmp_path):
    archives = pack(coco, tmp_path / "mixed")
    (coco / "annotations").rename(tmp_path / "mixed/annotations")
    (tmp_path / "mixed/annotations_trainval2014.zip").unlink()
    found = gather(tmp_path / "mixed", archives=archives)
    assert found.splits["val"] == ids(VAL, 42, 73)
    names = {file.name for file in (tmp_path / "originals").iterdir()}
    assert {name for name in names if not name.startswith("masks-")} == {"train2014", "val2014"}


def test_auto_resumes_an_earlier_download(gather, coco, tmp_path):
    archives = pack(coco, tmp_path / "originals")
    assert gather("auto", archives=archives).splits == gather().splits


@pytest.mark.parametrize("name", ["train2014", "annotations"])
def test_missing_parts_are_downloaded(gather, coco, name):
    (coco / name).rename(coco / "elsewhere")
    assert refusal(gather).startswith(f"{NOWHERE[name].url}: cannot be downloaded")


def test_a_folder_of_other_annotations_does_not_count(gather, coco):
    (coco / VAL_JSON).rename(coco / "annotations/captions_val2014.json")
    assert refusal(gather).startswith(NOWHERE["annotations"].url)


def test_a_source_that_is_no_folder_is_refused(gather, tmp_path):
    assert refusal(gather, tmp_path / "cocoa") == (
        f"source: expected auto or the path of a folder, got {tmp_path / 'cocoa'}, which does not "
        "exist; correct download.source"
    )


@pytest.mark.parametrize(
    ("name", "file", "what"),
    [
        ("classes", TRAIN_JSON, "categories"),
        ("train", TRAIN_JSON, "images in the split train"),
        ("train_all", TRAIN_JSON, "images in the split train_all"),
        ("val", VAL_JSON, "images in the split val"),
        ("val_labelled", VAL_JSON, "images in the split val_labelled"),
    ],
)
def test_another_number_is_refused_before_anything_is_drawn(
    gather, coco, tmp_path, name, file, what
):
    words = refusal(gather, counts=SMALL | {name: 99})
    assert words == f"{coco / file}: expected 99 {what}, got {SMALL[name]}{REMEDY}"
    assert not (tmp_path / "originals").exists()


@pytest.mark.parametrize("text", ["", '{"images": [{"id": 1}', "\udcff"])
def test_a_file_that_breaks_off_or_is_no_json_is_refused(gather, coco, text):
    (coco / VAL_JSON).write_bytes(text.encode(errors="surrogateescape"))
    words = refusal(gather)
    assert words.startswith(f"{coco / VAL_JSON}: expected JSON, got ")
    assert words.endswith(REMEDY)


def test_parts_of_other_categories_are_refused(gather, coco):
    edit(coco / VAL_JSON, lambda d: d["categories"][0].update(name="cart"))
    assert refusal(gather) == (
        f"{coco / VAL_JSON}: expected the categories of instances_train2014.json, got others"
        f"{REMEDY}"
    )


@pytest.mark.parametrize(
    ("change", "where", "words"),
    [
        (lambda d: d.pop("images"), "", "expected 'images' (list), got nothing"),
        (lambda d: d.update(categories={}), "", "expected 'categories' (list), got {}"),
        (
            lambda d: d["categories"][3].pop("name"),
            " categories[3]:",
            "expected 'name' (string), got nothing",
        ),
        (
            lambda d: d["images"].append(3),
            " images[2]:",
            "expected 'id' (integer), got nothing",
        ),
        (
            lambda d: d["images"][0].update(height="3"),
            " images[0]:",
            "expected 'height' (integer), got '3'",
        ),
        (
            lambda d: d["images"][0].update(width=0),
            " images[0]:",
            "expected at least 1x1 pixels, got 0x3",
        ),
        (
            lambda d: d["images"][0].update(file_name="../000000000073.jpg"),
            " images[0]:",
            "expected the file name COCO_val2014_000000000073.jpg, got ../000000000073.jpg",
        ),
        (
            lambda d: d["images"].append(d["images"][1]),
            " images[2]:",
            "image 42 is listed twice",
        ),
        (
            lambda d: d["annotations"][0].pop("id"),
            " annotations[0]:",
            "expected 'id' (integer), got nothing",
        ),
        (
            lambda d: d["annotations"][0].pop("segmentation"),
            " annotation 7:",
            "expected 'segmentation' (any type), got nothing",
        ),
        (
            lambda d: d["annotations"][0].pop("iscrowd"),
            " annotation 7:",
            "expected 'iscrowd' (integer), got nothing",
        ),
        (
            lambda d: d["annotations"][0].update(area=float("nan")),
            " annotation 7:",
            "expected 'area' (number), got nan",
        ),
        (
            lambda d: d["annotations"][0].update(category_id=12),
            " annotation 7:",
            "expected a listed category, got 12",
        ),
        (
            lambda d: d["annotations"][0].update(image_id=9),
            " annotation 7:",
            "expected a listed image, got 9",
        ),
    ],
)
def test_missing_and_invalid_fields_are_named(gather, coco, change, where, words):
    edit(coco / VAL_JSON, change)
    assert refusal(gather) == f"{coco / VAL_JSON}:{where} {words}{REMEDY}"


@pytest.mark.parametrize(
    ("segmentation", "words"),
    [
        ([[0, 0, 1, 0, 1]], "expected each polygon as numbers x, y, x, y, ..., got array('d', "),
        ([["a", 0]], "expected each polygon as numbers x, y, x, y, ..., got ['a', 0]"),
        ([0, 0, 1, 0, 1, 1], "expected each polygon as numbers x, y, x, y, ..., got 0"),
        ({"counts": [6], "size": [3, 2]}, "expected RLE of its image's size [2, 2], got [3, 2]"),
    ],
)
def test_a_malformed_segmentation_is_refused(gather, coco, segmentation, words):
    edit(coco / VAL_JSON, lambda d: d["annotations"][0].update(segmentation=segmentation))
    start = f"{coco / VAL_JSON}: annotation 7 of COCO_val2014_000000000042: {words}"
    assert refusal(gather).startswith(start)


def test_missing_images_are_counted_and_the_first_is_named(gather, coco):
    for number in (30, 100):
        (coco / f"train2014/COCO_train2014_{number:012d}.jpg").unlink()
    assert refusal(gather) == (
        f"{coco / 'train2014/COCO_train2014_000000000030.jpg'}: not found (2 of 4 images are "
        "missing); unpack the archive train2014.zip again"
    )
