"""VOC 2012 and SBD from small trees in their exact layouts: splits, labels, masks, errors."""

import hashlib
import io
import tarfile

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from recam.core.errors import UserError
from recam.data.layout import load_weak_split
from recam.datasets import voc12
from recam.datasets.collection import link_collection
from recam.datasets.fetch import Archive
from recam.io.images import read_mask

TRAIN, VAL = ("2007_000032", "2007_000039"), ("2007_000033",)
OBJECTS = {  # image -> (class, is difficult)
    "2007_000032": [("aeroplane", 0), ("person", 1)],
    "2007_000039": [("tvmonitor", 0)],
    "2007_000033": [("aeroplane", 0)],
    "2008_000002": [("person", 1)],  # of SBD only
    "2008_000008": [("horse", 0), ("person", 0)],
    "2011_003276": [("sofa", 0)],  # in no list
}
COUNTS = {"train": 2, "val": 1, "train_aug": 4}
ADDRESS = "http://127.0.0.1:9/nothing-listens-here"
NOWHERE = (
    Archive(url=f"{ADDRESS}/VOCtrainval_11-May-2012.tar", md5="0" * 32),
    Archive(url=f"{ADDRESS}/benchmark.tgz", md5="0" * 32),
)


def annotation(image_id):
    objects = "".join(
        f"<object><name>{name}</name><difficult>{difficult}</difficult>"
        "<bndbox><xmin>2</xmin><ymin>1</ymin><xmax>4</xmax><ymax>8</ymax></bndbox>"
        "<part><name>head</name><bndbox><xmin>2</xmin></bndbox></part></object>"
        for name, difficult in OBJECTS[image_id]
    )
    return f"<annotation><filename>{image_id}.jpg</filename>{objects}</annotation>"


def make_devkit(root):
    """``root``/VOCdevkit/VOC2012 as it comes out of the archive."""
    devkit = root / "VOCdevkit/VOC2012"
    for folder in ("JPEGImages", "Annotations", "SegmentationClass", "ImageSets/Segmentation"):
        (devkit / folder).mkdir(parents=True)
    for number, image_id in enumerate(OBJECTS):
        Image.new("RGB", (10 + number, 8), (number, 0, 0)).save(
            devkit / f"JPEGImages/{image_id}.jpg"
        )
        (devkit / f"Annotations/{image_id}.xml").write_text(annotation(image_id))
    for image_id in (*TRAIN, *VAL):
        size = (10 + list(OBJECTS).index(image_id), 8)
        Image.new("P", size, 1).save(devkit / f"SegmentationClass/{image_id}.png")
    for split, ids in (("train", TRAIN), ("val", VAL), ("trainval", TRAIN + VAL)):
        lines = "".join(f"{i}\n" for i in ids)
        (devkit / f"ImageSets/Segmentation/{split}.txt").write_text(lines)
    return devkit


def make_sbd(root):
    """``root``/benchmark_RELEASE/dataset; its lists hold an image of VOC's train and one of val."""
    dataset = root / "benchmark_RELEASE/dataset"
    (dataset / "cls").mkdir(parents=True)
    listed = {"train": ("2008_000002", "2007_000032"), "val": ("2008_000008", "2007_000033")}
    for split, ids in listed.items():
        (dataset / f"{split}.txt").write_text("".join(f"{i}\n" for i in ids))
        for image_id in ids:
            number = list(OBJECTS).index(image_id)
            mask = np.zeros((8, 10 + number), np.uint8)
            mask[2:4] = 15
            content = {"Boundaries": [], "Segmentation": mask, "CategoriesPresent": [15]}
            savemat(dataset / f"cls/{image_id}.mat", {"GTcls": content})
    return dataset


@pytest.fixture
def original(tmp_path):
    """A folder with the devkit and SBD, unpacked."""
    make_devkit(tmp_path / "original")
    make_sbd(tmp_path / "original")
    return tmp_path / "original"


def collect(source, tmp_path, **changes):
    options = {"originals": tmp_path / "fetched", "archives": NOWHERE, "counts": COUNTS}
    return voc12.collect(str(source), **(options | changes))


def snapshot(folder):
    return {
        path: (path.stat().st_mtime_ns, path.read_bytes() if path.is_file() else None)
        for path in sorted(folder.rglob("*"))
    }


def refusal(call, *args, **kwargs):
    with pytest.raises(UserError) as caught:
        call(*args, **kwargs)
    return str(caught.value)


def present(collection, image_id):
    return [
        name
        for name, is_in in zip(voc12.CLASSES, collection.labels[image_id], strict=True)
        if is_in
    ]


def test_the_augmented_list_is_both_without_val(original, tmp_path):
    splits = collect(original, tmp_path).splits
    assert splits["train"] == TRAIN
    assert splits["val"] == VAL
    assert splits["train_aug"] == ("2007_000032", "2007_000039", "2008_000002", "2008_000008")


def test_published_sizes_are_asserted(original, tmp_path):
    assert voc12.COUNTS == {"train": 1464, "val": 1449, "train_aug": 10582}
    words = refusal(collect, original, tmp_path, counts=COUNTS | {"train_aug": 10582})
    assert "expected 10582 images in split train_aug of VOC 2012, got 4" in words


def test_difficult_objects_count_and_parts_do_not(original, tmp_path):
    collection = collect(original, tmp_path)
    assert present(collection, "2007_000032") == ["aeroplane", "person"]
    assert present(collection, "2008_000002") == ["person"]
    assert present(collection, "2008_000008") == ["horse", "person"]


def test_boxes_are_counted_from_pixel_0_and_end_after_the_last_one(original, tmp_path):
    found = collect(original, tmp_path)
    assert set(found.boxes) == set(found.masks)
    of_image = found.boxes["2007_000032"]
    assert {voc12.CLASSES[index]: boxes.tolist() for index, boxes in of_image.items()} == {
        "aeroplane": [[1, 0, 4, 8]],
        "person": [[1, 0, 4, 8]],
    }


def test_an_object_without_a_box_is_refused(original, tmp_path):
    path = original / "VOCdevkit/VOC2012/Annotations/2007_000039.xml"
    path.write_text(path.read_text().replace("<ymin>1</ymin>", ""))
    with pytest.raises(
        UserError, match=r"000039\.xml: expected a box of each object, got none of a"
    ):
        collect(original, tmp_path)


def test_every_image_of_a_split_has_labels_image_and_mask(original, tmp_path):
    collection = collect(original, tmp_path)
    used = {i for ids in collection.splits.values() for i in ids}
    assert collection.labels.keys() == collection.images.keys() == collection.masks.keys() == used
    assert "2011_003276" not in used


def test_masks_are_vocs_own_where_there_are_any(original, tmp_path):
    masks = collect(original, tmp_path).masks
    assert masks["2007_000032"] == original / (
        "VOCdevkit/VOC2012/SegmentationClass/2007_000032.png"
    )
    assert np.unique(read_mask(masks["2008_000002"])).tolist() == [0, 15]
    assert read_mask(masks["2008_000002"]).shape == (8, 13)


def test_originals_are_used_in_place(original, tmp_path):
    before = snapshot(original)
    collection = collect(original, tmp_path)
    link_collection(tmp_path / "data", collection)
    link = tmp_path / "data/JPEGImages/2007_000032.jpg"
    assert link.is_symlink()
    assert link.resolve() == original / "VOCdevkit/VOC2012/JPEGImages/2007_000032.jpg"
    assert snapshot(original) == before


def test_the_linked_folder_reads_as_any_data_set(original, tmp_path):
    link_collection(tmp_path / "data", collect(original, tmp_path))
    split = load_weak_split(tmp_path / "data", "train_aug")
    assert split.ids[0] == "2007_000032"
    assert split.labels[0].nonzero()[0].tolist() == [0, 14]
    assert split.images[2].name == "2008_000002.jpg"


@pytest.mark.parametrize("below", ["VOCdevkit", "VOCdevkit/VOC2012"])
def test_the_devkit_may_be_named_more_closely(original, tmp_path, below):
    (original / "benchmark_RELEASE").rename(original / below / "benchmark_RELEASE")
    assert len(collect(original / below, tmp_path).splits["train_aug"]) == 4


@pytest.mark.parametrize(
    ("source", "renamed"),
    [
        ("VOCdevkit", "VOCdevkit"),
        ("VOCdevkit/VOC2012", "VOCdevkit"),
        (".", "VOC2012_train_val"),
        (".", "pack/VOC2012_train_val"),
        ("..", "VOCdevkit"),
    ],
)
def test_a_source_one_level_off_is_used_in_place(original, tmp_path, source, renamed):
    (original / renamed).parent.mkdir(exist_ok=True)
    (original / "VOCdevkit").rename(original / renamed)
    found = collect(original / source, tmp_path)
    assert len(found.splits["train_aug"]) == 4
    assert found.images["2007_000032"].is_relative_to(original / renamed)


def test_a_source_without_any_part_is_refused_before_a_download(tmp_path):
    (tmp_path / "empty/folder").mkdir(parents=True)
    words = refusal(collect, tmp_path / "empty", tmp_path)
    assert "expected VOCdevkit/VOC2012 or VOCtrainval_11-May-2012.tar in " in words


def test_a_devkit_with_the_augmented_masks_needs_no_sbd(tmp_path):
    devkit = make_devkit(tmp_path / "original")
    (devkit / "SegmentationClassAug").mkdir()
    for image_id in (*TRAIN, *VAL, "2008_000002", "2008_000008"):
        Image.new("L", (9, 9), 3).save(devkit / f"SegmentationClassAug/{image_id}.png")
    collection = collect(tmp_path / "original", tmp_path)
    assert len(collection.splits["train_aug"]) == 4
    assert collection.masks["2008_000008"].parent.name == "SegmentationClassAug"
    assert collection.masks["2007_000033"].parent.name == "SegmentationClass"


def packed(folder, name, mode):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as tar:
        tar.add(folder / name, name)
    return buffer.getvalue()


def test_archives_of_the_real_names_are_unpacked_once(original, tmp_path):
    given = tmp_path / "given"
    given.mkdir()
    contents = {
        "VOCtrainval_11-May-2012.tar": packed(original, "VOCdevkit", "w"),
        "benchmark.tgz": packed(original, "benchmark_RELEASE", "w:gz"),
    }
    archives = []
    for name, content in contents.items():
        (given / name).write_bytes(content)
        md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
        archives.append(Archive(url=f"{ADDRESS}/{name}", md5=md5))
    first = collect(given, tmp_path, archives=tuple(archives))
    assert first.images["2007_000032"].is_relative_to(tmp_path / "fetched")
    before = snapshot(tmp_path / "fetched")
    again = collect(given, tmp_path, archives=tuple(archives))
    assert again.images == first.images
    assert snapshot(tmp_path / "fetched") == before
    assert sorted(file.name for file in given.iterdir()) == sorted(contents)


def test_torchvision_knows_both_archives():
    voc, sbd = voc12.torchvision_archives()
    assert voc.name == "VOCtrainval_11-May-2012.tar"
    assert voc.md5 == "6cd6e144f989b92b3379bac3b3de84fd"
    assert sbd.name == "benchmark.tgz"
    assert sbd.md5 == "82b4d87ceb2ed10f6038a1cba92111cb"


def test_vocs_own_table_calls_difficult_objects_present(tmp_path):
    for name in voc12.CLASSES:
        sign = {"person": 0, "horse": 1}.get(name, -1)
        (tmp_path / f"{name}_trainval.txt").write_text(f"2008_000008  {sign}\n")
    (labels,) = voc12.main_labels(tmp_path).values()
    assert [n for n, is_in in zip(voc12.CLASSES, labels, strict=True) if is_in] == [
        "horse",
        "person",
    ]


@pytest.mark.parametrize(("sign", "said"), [(1, "agree with"), (-1, "differ from")])
def test_labels_are_compared_with_vocs_own_table(original, tmp_path, caplog, sign, said):
    main = original / "VOCdevkit/VOC2012/ImageSets/Main"
    main.mkdir()
    for name in voc12.CLASSES:
        (main / f"{name}_trainval.txt").write_text(
            f"2007_000033 {sign if name == 'aeroplane' else -1}\n"
        )
    with caplog.at_level("INFO"):
        collect(original, tmp_path)
    assert said in caplog.text


@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        ("Annotations/2008_000002.xml", None, "2008_000002.xml: not found"),
        ("Annotations/2008_000002.xml", b"<annotation>", "expected an XML annotation"),
        (
            "Annotations/2008_000002.xml",
            b"<a><object><name>zebra</name></object></a>",
            "expected objects of VOC's 20 classes, got 'zebra'",
        ),
        ("JPEGImages/2008_000002.jpg", None, "expected the image 2008_000002.jpg"),
        ("ImageSets/Segmentation/val.txt", None, "val.txt: not found"),
    ],
)
def test_missing_and_invalid_files_are_named(original, tmp_path, file, content, words):
    path = original / "VOCdevkit/VOC2012" / file
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    assert words in refusal(collect, original, tmp_path)


@pytest.mark.parametrize("content", [None, b"no matrix", b""])
def test_a_broken_mask_of_sbd_is_named(original, tmp_path, content):
    path = original / "benchmark_RELEASE/dataset/cls/2008_000002.mat"
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    words = "not found" if content is None else "expected a mask of SBD"
    assert f"2008_000002.mat: {words}; use the original" in refusal(collect, original, tmp_path)


def test_masks_of_sbd_are_made_once(original, tmp_path):
    mask = collect(original, tmp_path).masks["2008_000002"]
    before = mask.stat().st_mtime_ns
    assert collect(original, tmp_path).masks["2008_000002"] == mask
    assert mask.stat().st_mtime_ns == before


def test_a_source_that_is_no_folder_is_refused(tmp_path):
    words = refusal(collect, tmp_path / "nowhere", tmp_path)
    assert words.startswith("source: expected auto or the path of a folder, got ")


def test_links_survive_a_move_of_the_project(original, tmp_path):
    project = tmp_path / "project"
    project.mkdir()
    original.rename(project / "originals")
    link_collection(project / ".data.new", collect(project / "originals", tmp_path))
    (project / ".data.new").rename(project / "data")
    project.rename(tmp_path / "moved")
    with Image.open(tmp_path / "moved/data/JPEGImages/2007_000032.jpg") as image:
        assert image.size == (10, 8)
