"""Scenes of photographs, checked on a small tree of stamps that the tests paint themselves."""

import colorsys
import shutil
import subprocess

import numpy as np
import pytest
from PIL import Image
from skimage.color import rgb2hsv
from skimage.morphology import dilation, erosion

from recam.core.errors import UserError
from recam.core.labels import BACKGROUND, labels_of_mask, mask_id
from recam.core.randomness import numpy_generator
from recam.datasets.scenery import choose_classes, pink_noise
from recam.datasets.stamps import CLASSES, INSTALLED, PACKAGE, compose_scenes, find_stamps

FOLDERS = {
    "bird": "animals/birds",
    "fish": "animals/fish",
    "mammal": "animals/mammals/dogs",
    "vehicle": "vehicles/auto",
    "insect": "animals/insects",
    "flower": "plants/flowers",
    "fruit": "food/fruit",
    "vegetable": "food/vegetables",
    "tool": "household/tools",
    "instrument": "hobbies/music/string",
}
SUBJECTS = ("ash", "birch", "cedar", "date", "elm")
SIZE = 64

needs_dpkg = pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="no dpkg-deb here")
not_installed = pytest.mark.skipif(INSTALLED.is_dir(), reason="auto takes the installed stamps")


@pytest.fixture
def stamps(tmp_path):
    """Five photographs of each class, in a colour of the class's own."""
    root = tmp_path / "usr/share/tuxpaint/stamps"
    for number, name in enumerate(CLASSES):
        for subject in SUBJECTS:
            write_photograph(root / FOLDERS[name] / f"{subject}.png", hue=number / len(CLASSES))
    return root


def write_photograph(file, *, hue):
    """Save a square of one bright colour, 40 pixels wide, in the middle of a clear image."""
    pixels = np.zeros((60, 60, 4), dtype=np.uint8)
    colour = np.array(colorsys.hsv_to_rgb(hue, 1, 0.85)) * 255
    pixels[10:50, 10:50] = [*colour.astype(np.uint8), 255]
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(file)


def compose(stamps, *, count=4, cooccurrence=0.5, random_seed=0, split="train"):
    scenes = compose_scenes(
        count,
        stamps=stamps,
        size=SIZE,
        cooccurrence=cooccurrence,
        random_seed=random_seed,
        split=split,
    )
    return list(scenes)


def as_bytes(scenes):
    return [scene.image.tobytes() + scene.mask.tobytes() for scene in scenes]


def nearest_hue(image, *, num_hues):
    return np.round(rgb2hsv(image)[..., 0] * num_hues).astype(int) % num_hues


def interiors(scene):
    """Find the pixels of objects that are two pixels or more away from any outline."""
    square = np.ones((5, 5))
    is_uniform = erosion(scene.mask, square) == dilation(scene.mask, square)
    return is_uniform & (scene.mask != BACKGROUND)


def build_package(folder, stamps):
    """Build a Debian package of the tree that ends in usr/share/tuxpaint/stamps."""
    tree = folder / "tree"
    shutil.copytree(stamps, tree / "usr/share/tuxpaint/stamps")
    (tree / "DEBIAN").mkdir()
    (tree / "DEBIAN/control").write_text(
        f"Package: {PACKAGE}\nVersion: 1\nArchitecture: all\n"
        "Maintainer: nobody <nobody@example.org>\nDescription: stamps of a test\n"
    )
    package = folder / f"{PACKAGE}_1_all.deb"
    subprocess.run(["dpkg-deb", "-b", str(tree), str(package)], check=True, capture_output=True)
    return package


def test_every_class_has_a_partner():
    assert len(CLASSES) == len(set(CLASSES)) == len(FOLDERS)
    assert len(CLASSES) % 2 == 0


def test_the_same_seed_gives_the_same_scenes(stamps):
    assert as_bytes(compose(stamps)) == as_bytes(compose(stamps))


def test_another_seed_gives_other_scenes(stamps):
    assert not set(as_bytes(compose(stamps))) & set(as_bytes(compose(stamps, random_seed=1)))


def test_a_scene_does_not_depend_on_how_many_are_made(stamps):
    assert as_bytes(compose(stamps, count=2)) == as_bytes(compose(stamps, count=5))[:2]


def test_scenes_are_square_bytes_of_the_asked_size(stamps):
    (scene,) = compose(stamps, count=1)
    assert scene.image.shape == (SIZE, SIZE, 3)
    assert scene.mask.shape == (SIZE, SIZE)
    assert scene.image.dtype == scene.mask.dtype == np.uint8


def test_the_mask_names_the_class_whose_colour_is_seen(stamps):
    for scene in compose(stamps, count=20):
        objects = interiors(scene)
        seen = nearest_hue(scene.image, num_hues=len(CLASSES)) + mask_id(0)
        assert objects.any()
        np.testing.assert_array_equal(seen[objects], scene.mask[objects])


def test_the_background_shows_no_object(stamps):
    for scene in compose(stamps, count=20):
        near_objects = dilation(scene.mask, np.ones((5, 5))) != BACKGROUND
        channels = scene.image[~near_objects].astype(int)
        is_vivid = (channels.min(axis=-1) < 20) & (channels.max(axis=-1) > 150)
        assert is_vivid.mean() < 0.01


def test_every_object_is_seen_well(stamps):
    smallest = 0.35 * (0.34 * SIZE) ** 2  # least visible share of the least area
    for scene in compose(stamps, count=20, cooccurrence=1.0):
        ids, areas = np.unique(scene.mask[scene.mask != BACKGROUND], return_counts=True)
        assert len(ids) in {2, 3}
        assert (areas > 0.95 * smallest).all()  # resampling rounds sides to whole pixels


def test_train_and_val_show_different_photographs(stamps):
    for name in CLASSES:
        for number, subject in enumerate(SUBJECTS):
            file = stamps / FOLDERS[name] / f"{subject}.png"
            write_photograph(file, hue=number / len(SUBJECTS))
    seen = {
        split: {
            int(subject)
            for scene in compose(stamps, count=30, split=split)
            for subject in nearest_hue(scene.image, num_hues=len(SUBJECTS))[interiors(scene)]
        }
        for split in ("train", "val")
    }
    assert seen == {"train": {0, 2, 3}, "val": {1, 4}}


def test_photographs_of_one_subject_are_on_one_side(stamps):
    birds = stamps / FOLDERS["bird"]
    for name in ("birch-2", "birch_flying", "elm_small"):
        write_photograph(birds / f"{name}.png", hue=0)
    before = as_bytes(compose(stamps, split="train"))
    for file in [*birds.glob("birch*"), *birds.glob("elm*")]:
        file.write_bytes(b"spoilt")
    assert as_bytes(compose(stamps, split="train")) == before
    with pytest.raises(UserError, match="birch"):
        compose(stamps, split="val")


@pytest.mark.parametrize(
    "name",
    ["cartoon/gull.png", "toys/duck.png", "albino_peahen.png", "ash_mirror.png", "gull.svg"],
)
def test_drawn_excluded_and_mirrored_pictures_are_never_read(stamps, name):
    file = stamps / FOLDERS["bird"] / name
    file.parent.mkdir(exist_ok=True)
    before = as_bytes(compose(stamps))
    file.write_bytes(b"spoilt")
    assert as_bytes(compose(stamps)) == before


def test_clutter_is_seen_but_not_labelled(stamps):
    before = compose(stamps)
    for subject in SUBJECTS:
        write_photograph(stamps / "household" / f"{subject}.png", hue=0)
    after = compose(stamps)
    for plain, cluttered in zip(before, after, strict=True):
        np.testing.assert_array_equal(cluttered.mask, plain.mask)
        assert not np.array_equal(cluttered.image, plain.image)


def test_with_cooccurrence_one_partners_are_always_there(stamps):
    for scene in compose(stamps, count=20, cooccurrence=1.0):
        present = set(np.flatnonzero(labels_of_mask(scene.mask, num_classes=len(CLASSES))))
        assert any(c ^ 1 in present for c in present)


def test_without_cooccurrence_most_scenes_show_one_class():
    generator = numpy_generator(0, "test")
    chosen = [choose_classes(generator, num_classes=10, cooccurrence=0.0) for _ in range(2000)]
    # A quarter of the scenes get a further class, which is the first itself one time in ten.
    assert np.mean([len(classes) == 1 for classes in chosen]) == pytest.approx(0.775, abs=0.03)
    partners = [len(classes) == 2 and classes[0] ^ 1 == classes[1] for classes in chosen]
    assert np.mean(partners) == pytest.approx(0.025, abs=0.015)


def test_the_amplitude_of_pink_noise_falls_as_one_over_frequency():
    noise = np.stack([pink_noise(numpy_generator(i, "test"), 64) for i in range(40)])
    amplitude = np.abs(np.fft.fft2(noise)).mean(axis=0)
    assert noise.mean() == pytest.approx(0, abs=1e-9)
    assert noise.std(axis=(1, 2)) == pytest.approx(1)
    assert amplitude[0, 4] / amplitude[0, 16] == pytest.approx(4, rel=0.4)


def test_an_unreadable_photograph_is_named(stamps):
    (stamps / FOLDERS["fish"] / "ash.png").write_bytes(b"not an image")
    with pytest.raises(UserError, match=r"fish/ash\.png: expected a readable photograph"):
        compose(stamps)


def test_a_transparent_photograph_is_named(stamps):
    Image.new("RGBA", (20, 20)).save(stamps / FOLDERS["tool"] / "cedar.png")
    with pytest.raises(UserError, match=r"tools/cedar\.png: .* got full transparency"):
        compose(stamps)


def test_a_class_with_too_few_photographs_is_named(stamps):
    for subject in ("birch", "cedar"):
        (stamps / FOLDERS["insect"] / f"{subject}.png").unlink()
    with pytest.raises(
        UserError, match="at least 2 photographs of class insect for val in animals/insects, got 1"
    ):
        compose(stamps, split="val")


@pytest.mark.parametrize("below", ["", "usr", "usr/share", "usr/share/tuxpaint/stamps"])
def test_stamps_are_found_in_a_folder_above_them(stamps, tmp_path, below):
    assert find_stamps(str(tmp_path / below), cache=tmp_path / "cache") == stamps


def test_a_folder_without_stamps_is_refused(tmp_path):
    with pytest.raises(
        UserError, match="expected tuxpaint/stamps with a folder 'animals', found none"
    ):
        find_stamps(str(tmp_path), cache=tmp_path / "cache")


def test_a_missing_path_is_refused(tmp_path):
    with pytest.raises(
        UserError, match=r"nowhere: expected a folder or a \.deb file, found neither"
    ):
        find_stamps(str(tmp_path / "nowhere"), cache=tmp_path / "cache")


@needs_dpkg
def test_a_package_is_unpacked_into_the_cache(stamps, tmp_path):
    package = build_package(tmp_path / "build", stamps)
    found = find_stamps(str(package), cache=tmp_path / "cache")
    assert found.is_relative_to(tmp_path / "cache")
    assert as_bytes(compose(found)) == as_bytes(compose(stamps))


@needs_dpkg
def test_an_unpacked_package_is_not_unpacked_again(stamps, tmp_path):
    package = build_package(tmp_path / "build", stamps)
    marker = find_stamps(str(package), cache=tmp_path / "cache") / "marker"
    marker.touch()
    find_stamps(str(package), cache=tmp_path / "cache")
    assert marker.exists()


@needs_dpkg
def test_a_damaged_package_is_refused_and_leaves_nothing(tmp_path):
    package = tmp_path / "damaged.deb"
    package.write_bytes(b"no package")
    with pytest.raises(UserError, match="dpkg-deb --extract"):
        find_stamps(str(package), cache=tmp_path / "cache")
    assert not list((tmp_path / "cache").iterdir())


@needs_dpkg
@not_installed
def test_auto_unpacks_what_the_package_manager_downloads_once(stamps, tmp_path, monkeypatch):
    package = build_package(tmp_path / "build", stamps)
    manager = tmp_path / "bin/apt-get"
    manager.parent.mkdir()
    manager.write_text(f'#!/bin/sh\ntest "$*" = "download {PACKAGE}" && cp "{package}" .\n')
    manager.chmod(0o755)
    monkeypatch.setenv("PATH", str(manager.parent), prepend=":")
    found = find_stamps("auto", cache=tmp_path / "cache")
    assert as_bytes(compose(found)) == as_bytes(compose(stamps))
    manager.unlink()
    assert find_stamps("auto", cache=tmp_path / "cache") == found


@not_installed
def test_auto_says_what_to_do_without_a_package_manager(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match=r"apt-get: command not found, .* to a folder of stamps"):
        find_stamps("auto", cache=tmp_path / "cache")


@pytest.mark.skipif(not INSTALLED.is_dir(), reason="the real stamps are not installed")
@pytest.mark.parametrize("split", ["train", "val"])
def test_the_real_stamps_give_scenes_of_every_class(tmp_path, split):
    stamps = find_stamps("auto", cache=tmp_path)
    scenes = compose_scenes(
        60, stamps=stamps, size=96, cooccurrence=0.9, random_seed=0, split=split
    )
    labels = [labels_of_mask(scene.mask, num_classes=len(CLASSES)) for scene in scenes]
    assert np.any(labels, axis=0).all()
