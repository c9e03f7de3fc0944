"""The user's saliency maps: linked beside the images, or refused with a sentence."""

import numpy as np
import pytest
from PIL import Image

from recam.catalogue.datasets import Sources, fill
from recam.checks.saliency import saliency_errors, saliency_folder
from recam.core.errors import UserError
from recam.datasets.saliency import link_saliency
from recam.io.images import read_saliency


@pytest.fixture
def photos(tmp_path):
    """Two images of a folder, 12 x 8 and 8 x 6 pixels, and their maps in another one."""
    root, maps = tmp_path / "photos", tmp_path / "maps"
    (root / "JPEGImages").mkdir(parents=True)
    maps.mkdir()
    for name, size in (("a", (12, 8)), ("b", (8, 6))):
        Image.new("RGB", size).save(root / f"JPEGImages/{name}.jpg")
        Image.new("L", size, 200).save(maps / f"{name}.png")
    (root / "labels.csv").write_text("id,cat\na,1\nb,0\n")
    return root


def filled(photos, **options):
    new = photos.with_name("new")
    maps, originals = photos.with_name("maps"), photos.with_name("originals")
    sources = Sources(source=str(photos), originals=originals, saliency=str(maps), **options)
    fill(new, "folder", sources, None)
    return new / "Saliency"


def refusal(photos, **options):
    with pytest.raises(UserError) as caught:
        filled(photos, **options)
    return str(caught.value).replace(str(photos.parent), "")


def test_maps_are_links_to_the_users_files(photos):
    found = filled(photos)
    assert sorted(file.name for file in found.iterdir()) == ["a.png", "b.png"]
    assert (found / "a.png").resolve() == photos.with_name("maps") / "a.png"


def test_a_map_is_downscaled_with_its_image(photos):
    ramp = np.tile(np.arange(12, dtype=np.uint8) * 20, (8, 1))
    Image.fromarray(ramp).save(photos.with_name("maps") / "a.png")
    found = filled(photos, longest_side=6)
    small = read_saliency(found / "a.png")
    assert small.shape == (4, 6)
    assert (np.diff(small.astype(int), axis=1) > 0).all()  # the ramp is kept
    assert read_saliency(photos.with_name("maps") / "a.png").shape == (8, 12)


def test_maps_of_images_in_no_split_are_left_out(photos):
    Image.new("L", (3, 3)).save(photos.with_name("maps") / "c.png")
    assert {file.stem for file in filled(photos).iterdir()} == {"a", "b"}


def test_a_missing_map_is_named(photos):
    (photos.with_name("maps") / "b.png").unlink()
    assert refusal(photos) == (
        "/maps: expected a saliency map for each of the 2 images of split train, 1 are missing "
        "(first: b.png); add them, or remove download.saliency"
    )


def test_a_map_of_another_size_is_named(photos):
    Image.new("L", (8, 12)).save(photos.with_name("maps") / "a.png")
    sentence = "/maps/a.png: is 8x12 pixels, its image 12x8; make them the same size"
    assert refusal(photos, longest_side=100) == sentence


@pytest.mark.parametrize("mode", ["RGB", "P", "LA", "1"])
def test_a_map_that_is_not_grey_is_named(photos, mode):
    Image.new(mode, (12, 8)).save(photos.with_name("maps") / "a.png")
    assert refusal(photos) == (
        f"/maps/a.png: expected an 8-bit grey PNG of saliency, got mode {mode}; convert it"
    )


def test_a_missing_folder_is_named():
    assert saliency_folder(None) is None
    with pytest.raises(UserError, match=r"got nowhere, which does not exist; correct or remove"):
        saliency_folder("nowhere")


def test_only_images_to_train_on_need_maps(tmp_path):
    (tmp_path / "a.png").touch()
    assert saliency_errors(tmp_path, {"train": ("a",), "val": ("b",)}) == []
    (error,) = saliency_errors(tmp_path, {"train": ("a",), "train_aug": ("a", "b")})
    assert "of split train_aug, 1 are missing (first: b.png)" in error


def test_the_originals_are_not_opened_for_writing(photos, tmp_path):
    before = {file: file.read_bytes() for file in photos.with_name("maps").iterdir()}
    filled(photos, longest_side=6)
    link_saliency(photos, photos.with_name("maps"), copies=tmp_path / "copies", longest_side=None)
    assert {file: file.read_bytes() for file in before} == before
