"""Clothing Co-Parsing in its real layout, only small: classes, splits, masks, and bad input."""

import logging
from dataclasses import replace
from itertools import chain
from zipfile import ZipFile

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from recam.core.errors import UserError
from recam.data.layout import load_weak_split
from recam.datasets.collection import link_collection
from recam.datasets.fetch import Archive
from recam.datasets.garments import CLASSES, COMMIT, GARMENTS, LABELS
from recam.datasets.street import ARCHIVE, PUBLISHED, Published, collect
from recam.io.images import read_mask

NULL, BAG, COAT, HAIR, HAT, JEANS, SHIRT, SHOES, SKIN, SUIT = map(
    LABELS.index,
    ("null", "bag", "coat", "hair", "hat", "jeans", "shirt", "shoes", "skin", "suit"),
)
WIDTH, HEIGHT = 30, 40  # of a photograph: two pixels are more than 1/1000, one is less
# Label numbers of bands of rows, or tags: 0001 to 0007 are masked, 0008 to 0012 tagged.
BANDS = {
    "0001": (NULL, SHIRT, JEANS, SHOES),
    "0002": (NULL, COAT, JEANS, SHOES),
    "0003": (HAIR, SUIT, SKIN, BAG),
    "0004": (HAIR, SKIN, SHOES, NULL),  # no garment
    "0005": (HAT, SHIRT, JEANS, SHOES),
    "0006": (NULL, SHIRT, SHIRT, BAG),
    "0007": (HAT, COAT, JEANS, SHOES),
}
TAGS = {
    "0008": (NULL, HAIR, SHIRT, BAG, BAG),
    "0009": (NULL, SUIT),
    "0010": (NULL, SKIN, SHOES),  # no garment
    "0011": (JEANS,),
    "0012": (NULL, HAT),
}
SMALL = Published(
    masked=7, tagged=5, val=2, val_small=1, small=(1, 1), tune=(1, 1), twins=("0002", "0012")
)
# No server listens here, so no test can download anything.
NOWHERE = Archive(url=ARCHIVE.url.replace("https://github.com", "http://localhost:9"), md5=None)


def save(file, **variables):
    file.parent.mkdir(parents=True, exist_ok=True)
    savemat(file, variables, do_compression=True)


def truth(bands):
    return np.repeat(np.array(bands, np.uint8), HEIGHT // 4)[:, None].repeat(WIDTH, axis=1)


def pixel_level(root, image_id="0001"):
    return root / f"annotations/pixel-level/{image_id}.mat"


def image_level(root, image_id="0008"):
    return root / f"annotations/image-level/{image_id}.mat"


def save_label_list(root, names=LABELS):
    cells = np.empty((1, len(names)), dtype=object)
    cells[0] = names
    save(root / "label_list.mat", label_list=cells)


def write_tree(root):
    save_label_list(root)
    for image_id, bands in BANDS.items():
        save(pixel_level(root, image_id), groundtruth=truth(bands))
    for image_id, tags in TAGS.items():  # a row or a column of doubles: both are in use
        save(image_level(root, image_id), tags=np.array([tags], float).reshape(1, -1))
    save(image_level(root), tags=np.array(TAGS["0008"], np.uint8)[:, None])
    (root / "photos").mkdir()
    for image_id in (*BANDS, *TAGS):
        photo = Image.new("RGB", (WIDTH, HEIGHT), (50, 80, int(image_id)))
        photo.save(root / f"photos/{image_id}.jpg")
    return root


@pytest.fixture
def ccp(tmp_path):
    return write_tree(tmp_path / "ccp")


@pytest.fixture
def gather(ccp, tmp_path):
    """Collect from the tree, with some arguments changed."""

    def call(source=ccp, **changed):
        usual = {"originals": tmp_path / "originals", "archive": NOWHERE, "published": SMALL}
        return collect(str(source), **(usual | changed))

    return call


@pytest.fixture
def refusal(gather, tmp_path):
    """The one sentence of a refusal, which comes before anything is written."""

    def call(*args, **kwargs):
        with pytest.raises(UserError) as caught:
            gather(*args, **kwargs)
        assert not (tmp_path / "originals").exists()
        assert "\n" not in str(caught.value)
        return str(caught.value)

    return call


def named(collection, image_id):
    return [c for c, found in zip(CLASSES, collection.labels[image_id], strict=True) if found]


def test_the_table_merges_known_labels_once():
    merged = list(chain.from_iterable(GARMENTS.values()))
    assert len(merged) == len(set(merged)) == 30
    assert set(merged) < set(LABELS)
    assert len(set(LABELS)) == 59
    assert not {"null", "skin", "hair", "shoes", "belt"} & set(merged)


def test_the_published_numbers_fit_together():
    assert PUBLISHED.masked + PUBLISHED.tagged == 2098
    left = PUBLISHED.masked - PUBLISHED.val - len(PUBLISHED.twins)
    assert PUBLISHED.small[0] + PUBLISHED.tune[0] < left


def test_splits_by_hand(gather):
    # 0004 and 0010 have no garment; 0002 and 0012 are twins; the last two masked ones are val.
    assert gather().splits == {
        "train": ("0001", "0003", "0005", "0008", "0009", "0011"),
        "train_masked": ("0001", "0003", "0005"),
        "train_small": ("0001", "0008"),
        "train_small_masked": ("0001",),
        "tune": ("0003", "0009"),
        "tune_masked": ("0003",),
        "tune_val": ("0005",),
        "val": ("0006", "0007"),
        "val_small": ("0006",),
    }


def test_the_last_masked_photographs_are_held_out_even_without_a_garment(gather):
    found = gather(published=replace(SMALL, val=4)).splits
    assert found["val"] == ("0005", "0006", "0007")  # 0004 is the fourth from the end
    assert found["train_masked"] == ("0001", "0003")


def test_small_splits_are_spread_evenly(gather):
    found = gather(published=replace(SMALL, small=(2, 2), tune=(9, 9))).splits
    assert found["train_small"] == ("0001", "0003", "0008", "0009")
    assert found["tune"] == ("0005", "0011")
    assert found["tune_val"] == ()


def test_labels_come_from_masks_and_tags(gather):
    found = gather()
    assert {image_id: named(found, image_id) for image_id in found.labels} == {
        "0001": ["top", "trousers"],
        "0003": ["coat", "bag"],
        "0005": ["top", "trousers", "hat"],
        "0006": ["top", "bag"],
        "0007": ["coat", "trousers", "hat"],
        "0008": ["top", "bag"],
        "0009": ["coat"],
        "0011": ["trousers"],
    }


def test_only_masked_photographs_have_masks(gather, ccp):
    found = gather()
    assert list(found.masks) == ["0001", "0003", "0005", "0006", "0007"]
    assert found.images["0008"] == ccp / "photos/0008.jpg"


def test_masks_by_hand(gather):
    masks = gather().masks
    top, coat, trousers, bag = (CLASSES.index(c) + 1 for c in ("top", "coat", "trousers", "bag"))
    assert read_mask(masks["0001"])[::10, 0].tolist() == [0, top, trousers, 0]
    assert read_mask(masks["0003"])[::10, 29].tolist() == [0, coat, 0, bag]
    assert read_mask(masks["0003"]).shape == (HEIGHT, WIDTH)


def test_a_stray_superpixel_is_ignored_and_no_label(gather, ccp):
    numbers = truth(BANDS["0001"])
    numbers[0, 0] = HAT  # one pixel of 1,200
    numbers[0, 5:7] = BAG  # two
    save(pixel_level(ccp), groundtruth=numbers)
    found = gather()
    assert named(found, "0001") == ["top", "trousers", "bag"]
    row = read_mask(found.masks["0001"])[0, :7].tolist()
    assert row == [255, 0, 0, 0, 0, *[CLASSES.index("bag") + 1] * 2]


def test_photographs_without_a_garment_are_counted(gather, caplog):
    with caplog.at_level(logging.INFO, logger="recam.datasets.street"):
        gather()
    assert caplog.messages == [
        "2 photographs show no garment class and are left out: 0004, 0010",
    ]


def test_photographs_are_downscaled_with_their_masks(gather, tmp_path):
    found = gather(longest_side=20)
    copy = tmp_path / "originals/JPEGImages/0001.png"
    assert found.images["0001"] == copy
    with Image.open(copy) as image:
        assert image.size == (15, 20)
    mask = read_mask(found.masks["0001"])
    assert mask.shape == (20, 15)
    assert mask[::5, 0].tolist() == [0, 1, CLASSES.index("trousers") + 1, 0]
    assert named(found, "0001") == ["top", "trousers"]


def test_every_split_loads_from_the_linked_folder(gather, tmp_path):
    found = gather()
    link_collection(tmp_path / "data", found)
    for split, ids in found.splits.items():
        assert load_weak_split(tmp_path / "data", split).ids == ids


def test_the_source_is_not_changed(gather, ccp):
    before = {file: file.read_bytes() for file in ccp.rglob("*") if file.is_file()}
    gather(longest_side=20)
    assert {file: file.read_bytes() for file in ccp.rglob("*") if file.is_file()} == before


def zipped(ccp, folder, *, top):
    folder.mkdir()
    with ZipFile(folder / NOWHERE.name, "w") as archive:
        for file in ccp.rglob("*"):
            archive.write(file, f"{top}/{file.relative_to(ccp)}")
    return folder


def test_the_archive_is_unpacked_once(gather, ccp, tmp_path):
    given = zipped(ccp, tmp_path / "given", top=f"clothing-co-parsing-{COMMIT}")
    found = gather(given)
    assert found.splits == gather().splits
    inside = tmp_path / f"originals/{COMMIT}/clothing-co-parsing-{COMMIT}/photos/0001.jpg"
    assert found.images["0001"] == inside
    (given / NOWHERE.name).write_bytes(b"")
    assert gather(given).images == found.images


def test_an_archive_of_another_commit_is_refused(gather, ccp, tmp_path):
    given = zipped(ccp, tmp_path / "given", top="clothing-co-parsing-master")
    with pytest.raises(UserError) as caught:
        gather(given)
    unpacked = tmp_path / "originals" / COMMIT
    assert str(caught.value) == (
        f"{unpacked}: expected the archive's folder clothing-co-parsing-{COMMIT}, got "
        f"clothing-co-parsing-master, which is another commit; remove it and use {COMMIT}.zip"
    )


def test_an_unreachable_archive_says_so(gather):
    with pytest.raises(UserError, match=rf"^http.*{COMMIT}\.zip: cannot be downloaded"):
        gather("auto")


def break_size(ccp):
    save(pixel_level(ccp), groundtruth=truth(BANDS["0001"])[:, 1:])


def break_number(ccp):
    numbers = truth(BANDS["0001"])
    numbers[3, 4] = 59
    save(pixel_level(ccp), groundtruth=numbers)


def break_tag(ccp):
    save(image_level(ccp), tags=np.array([[3.0, 99.0]]))


def break_fraction(ccp):
    save(image_level(ccp), tags=np.array([[3.5]]))


def truncate(ccp):
    pixel_level(ccp).write_bytes(pixel_level(ccp).read_bytes()[:150])


def rename(ccp):
    save(image_level(ccp), labels=np.array([[3.0]]))


def drop_annotation(ccp):
    image_level(ccp).unlink()


def annotate_twice(ccp):
    save(image_level(ccp, "0001"), tags=np.array([[3.0]]))


def drop_photo(ccp):
    (ccp / "photos/0001.jpg").unlink()


def break_photo(ccp):
    (ccp / "photos/0001.jpg").write_bytes(b"no photograph")


def drop_both(ccp):
    drop_photo(ccp)
    pixel_level(ccp).unlink()


def drop_label_list(ccp):
    (ccp / "label_list.mat").unlink()


def shorten_label_list(ccp):
    save_label_list(ccp, LABELS[:57])


def exchange_labels(ccp):
    save_label_list(ccp, ("null", "bag", "accessories", *LABELS[3:]))


def drop_photos(ccp):
    (ccp / "photos").rename(ccp / "images")


AGAIN = "unpack the archive of Clothing Co-Parsing again"


@pytest.mark.parametrize(
    ("damage", "file", "words"),
    [
        (
            break_size,
            "annotations/pixel-level/0001.mat",
            f"expected a mask of 30x40 pixels as its photograph, got 29x40; {AGAIN}",
        ),
        (
            break_number,
            "annotations/pixel-level/0001.mat",
            f"expected label numbers 0 to 58 in 'groundtruth', got 59; {AGAIN}",
        ),
        (
            break_tag,
            "annotations/image-level/0008.mat",
            f"expected label numbers 0 to 58 in 'tags', got 99.0; {AGAIN}",
        ),
        (
            break_fraction,
            "annotations/image-level/0008.mat",
            f"expected label numbers 0 to 58 in 'tags', got 3.5; {AGAIN}",
        ),
        (
            truncate,
            "annotations/pixel-level/0001.mat",
            "expected an intact MATLAB 5 file, got a damaged or another one (",
        ),
        (
            rename,
            "annotations/image-level/0008.mat",
            "expected the variable 'tags', got 'labels'; replace the file",
        ),
        (
            drop_annotation,
            "photos/0008.jpg",
            "expected an annotation in either annotations/pixel-level or annotations/image-level, "
            f"got neither; {AGAIN}",
        ),
        (
            annotate_twice,
            "photos/0001.jpg",
            "expected an annotation in either annotations/pixel-level or annotations/image-level, "
            f"got both; {AGAIN}",
        ),
        (drop_photo, "annotations/pixel-level/0001.mat", "expected the photograph "),
        (break_photo, "photos/0001.jpg", "not a readable image ("),
        (drop_both, "annotations/pixel-level", f"expected 7 .mat files, got 6; {AGAIN}"),
        (drop_label_list, "label_list.mat", "not found; "),
        (
            shorten_label_list,
            "label_list.mat",
            "expected 59 label names, got 57; use commit cbc8dea of clothing-co-parsing",
        ),
        (
            exchange_labels,
            "label_list.mat",
            "expected 'accessories' as the name of label 1, got 'bag'; use commit cbc8dea of "
            "clothing-co-parsing",
        ),
        (
            drop_photos,
            "photos",
            "not found; set download.source to the folder with photos, annotations and "
            "label_list.mat, or to auto",
        ),
    ],
)
def test_bad_input_is_one_sentence_with_its_file(refusal, ccp, damage, file, words):
    damage(ccp)
    assert refusal().startswith(f"{ccp / file}: {words}")
