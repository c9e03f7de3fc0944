"""Images in a folder for each class."""

import pytest
from tool_files import imported, labels_in, photo, refusal, write


@pytest.fixture
def pets(tmp_path):
    root = tmp_path / "pets"
    for number, name in enumerate(("cat/1.jpg", "cat/2.JPG", "dog/1.jpg", "dog/rex.png")):
        photo(root / name, grey=40 * number + 20)
    return root


def test_labels_are_the_folders_and_repeated_names_get_the_class_in_front(pets, capsys):
    out, text = imported(capsys, pets)
    assert labels_in(out) == {"cat_1": {"cat"}, "2": {"cat"}, "dog_1": {"dog"}, "rex": {"dog"}}
    assert sorted(p.name for p in (out / "JPEGImages").iterdir()) == [
        "2.jpg",
        "cat_1.jpg",
        "dog_1.jpg",
        "rex.png",
    ]
    assert not (out / "SegmentationClass").exists()
    assert not (out / "ImageSets").exists()
    assert text.endswith(
        f"images in class folders: 4 images, 2 classes, 0 masks, 0 boxes written to {out}"
    )


def test_images_are_hard_links_to_unchanged_originals(pets, capsys):
    before = (pets / "cat/1.jpg").read_bytes()
    out, _ = imported(capsys, pets)
    assert (out / "JPEGImages/cat_1.jpg").samefile(pets / "cat/1.jpg")
    assert (pets / "cat/1.jpg").read_bytes() == before


def test_the_same_image_in_two_folders_has_two_labels(pets, capsys):
    content = (pets / "cat/1.jpg").read_bytes()
    (pets / "dog/both.jpg").write_bytes(content)
    out, text = imported(capsys, pets)
    assert labels_in(out)["cat_1"] == {"cat", "dog"}
    assert "both" not in labels_in(out)
    assert "found more than once, each written once: 1" in text


def test_a_level_of_splits_becomes_lists(tmp_path, capsys):
    root = tmp_path / "pets"
    for number, name in enumerate(("train/cat/1.jpg", "train/dog/2.jpg", "valid/cat/1.jpg")):
        photo(root / name, grey=40 * number + 20)
    out, _ = imported(capsys, root)
    lists = out / "ImageSets/Segmentation"
    assert (lists / "train.txt").read_text() == "train_cat_1\n2\n"
    assert (lists / "val.txt").read_text() == "val_cat_1\n"


def test_images_in_a_folder_background_have_no_label(pets, capsys):
    photo(pets / "background/wall.jpg", grey=240)
    out, _ = imported(capsys, pets)
    assert labels_in(out)["wall"] == set()
    assert (out / "classes.txt").read_text() == "cat\ndog\n"


def test_other_files_are_noted_and_hidden_ones_are_not(pets, capsys):
    write(pets / "readme.md", "pets")
    write(pets / "cat/.DS_Store", "")
    _, text = imported(capsys, pets)
    assert f"are not used: 1, first: {pets / 'readme.md'}" in text


def test_class_folders_nested_twice_are_refused(pets, capsys):
    photo(pets / "dog/terrier/3.jpg", grey=200)
    text = refusal(capsys, pets)
    assert text.startswith(f"{pets / 'dog/terrier'}: expected images in a folder for each class")


def test_splits_beside_classes_are_refused(pets, capsys):
    photo(pets / "train/cat/9.jpg", grey=200)
    assert "either folders of splits" in refusal(capsys, pets)


def test_the_same_image_in_two_splits_is_refused(tmp_path, capsys):
    root = tmp_path / "pets"
    for name in ("train/cat/1.jpg", "val/cat/2.jpg"):
        photo(root / name)
    assert "is the same image as" in refusal(capsys, root)


def test_ids_that_collide_are_refused(pets, capsys):
    photo(pets / "cat/1.png", grey=250)
    assert "would get the id 'cat_1' of" in refusal(capsys, pets)
