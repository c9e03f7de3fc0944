"""Image files by paths, folders and patterns: their order, their masks' names, the rest."""

from pathlib import Path

import pytest
from PIL import Image

from recam.core.errors import UserError
from recam.io.listing import list_images, natural, notes_on


@pytest.fixture
def photos(tmp_path):
    for name in (
        "f2.jpg",
        "f10.JPG",
        "F1.png",
        "notes.txt",
        ".hidden.png",
        "clip.mov",
        "a/b/x.gif",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    return tmp_path


def test_a_folder_is_read_in_natural_order_without_sub_folders(photos):
    listing = list_images([str(photos)])
    assert list(listing.images) == ["F1", "f2", "f10"]
    reasons = {reason.split(" ")[0]: paths for reason, paths in listing.left_out.items()}
    assert reasons == {
        "hidden": [photos / ".hidden.png"],
        "sub-folders": [photos / "a"],
        "videos": [photos / "clip.mov"],
        "files": [photos / "notes.txt"],
    }


def test_a_pattern_keeps_folders_below_its_first_wildcard(photos):
    assert list(list_images([f"{photos}/**/*.*"]).images) == ["a/b/x", "F1", "f2", "f10"]
    assert list(list_images([f"{photos}/a/*/x.gif"]).images) == ["b/x"]


def test_a_name_with_brackets_is_a_file_if_there_is_one(photos):
    (photos / "f[2].png").write_bytes(b"")
    assert list(list_images([f"{photos}/f[2].png"]).images) == ["f[2]"]
    (photos / "f[2].png").unlink()
    assert list(list_images([f"{photos}/f[2].*"]).images) == ["f2"]


def test_numbers_in_names_of_folders_and_files_are_numbers():
    names = ["b10/x", "b9/x", "a/10", "a/9", "a/9b", "a"]
    assert sorted(map(Path, names), key=natural) == [
        Path(name) for name in ["a", "a/9", "a/9b", "a/10", "b9/x", "b10/x"]
    ]


def test_a_file_named_twice_is_listed_once(photos):
    assert len(list_images([str(photos), f"{photos}/f*", f"{photos}/f2.jpg"]).images) == 3


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("nowhere", "nowhere: not found; pass images, folders or quoted patterns"),
        ("*.txt", r"\*.txt: expected images ending in .jpg"),
        ("*.tif", r"\*.tif: expected images, found no file at all"),
        ("clip.mov", "expected an image, got a video; make images of one: ffmpeg -i clip.mp4"),
    ],
)
def test_places_without_images_are_refused(photos, place, words):
    with pytest.raises(UserError, match=words):
        list_images([f"{photos}/{place}"])


def test_two_images_of_one_name_are_refused(photos):
    (photos / "a/f2.png").write_bytes(b"")
    with pytest.raises(UserError, match=r"both masks would be f2\.png; rename one"):
        list_images([str(photos), f"{photos}/a"])


def test_notes_count_what_is_left_out_and_converted(tmp_path):
    for number in range(3):
        Image.new("RGBA", (4, 3)).save(tmp_path / f"{number}.png")
    (tmp_path / "notes.txt").write_bytes(b"")
    left_out, converted = notes_on(list_images([str(tmp_path)]))
    assert left_out.endswith(f"are not read: {tmp_path}/notes.txt")
    assert converted == (
        f"the image is transparent and is put on white: {tmp_path}/0.png, and 2 more"
    )
