"""Drawn scenes: the same on every machine, with masks that match the objects."""

import hashlib

import numpy as np
import pytest

from recam.core.labels import BACKGROUND, IGNORE, labels_of_mask
from recam.datasets import shapes
from recam.datasets.shapes import CLASSES, draw_scenes

SIZE = 48


def draw(count=3, *, size=SIZE, cooccurrence=0.5, random_seed=0, split="train"):
    scenes = draw_scenes(
        count, size=size, cooccurrence=cooccurrence, random_seed=random_seed, split=split
    )
    return list(scenes)


def as_bytes(scenes):
    return [scene.image.tobytes() + scene.mask.tobytes() for scene in scenes]


def present(scene):
    return np.flatnonzero(labels_of_mask(scene.mask, num_classes=len(CLASSES))).tolist()


@pytest.fixture(scope="module")
def paired():
    """Thirty scenes in which the first class always brings its partner."""
    return draw(30, cooccurrence=1.0)


@pytest.fixture(scope="module")
def unpaired():
    """Thirty scenes in which no class brings its partner."""
    return draw(30, cooccurrence=0.0)


def test_the_same_seed_gives_the_same_scenes():
    assert as_bytes(draw()) == as_bytes(draw())


def test_another_seed_gives_other_scenes():
    assert not set(as_bytes(draw())) & set(as_bytes(draw(random_seed=1)))


def test_train_and_val_show_different_scenes():
    assert not set(as_bytes(draw())) & set(as_bytes(draw(split="val")))


def test_scenes_of_a_split_differ():
    assert len(set(as_bytes(draw()))) == 3


def test_a_scene_does_not_depend_on_how_many_are_drawn():
    assert as_bytes(draw(1)) == as_bytes(draw(3))[:1]


def test_zero_scenes_are_allowed():
    assert draw(0) == []


def test_one_scene_is_stable_to_the_bit():
    """Checksums from this test: run it, inspect the scene, and copy the sums that it reports.

    They change when the drawing changes, which makes every published number of `shapes` stale.
    """
    (scene,) = draw(1, size=32)
    sums = [hashlib.sha256(a.tobytes()).hexdigest()[:16] for a in (scene.image, scene.mask)]
    assert sums == ["45e1185d586bcd55", "e11cb866fc16688b"]


def test_scenes_are_square_bytes_of_the_asked_size():
    (scene,) = draw(1, size=40)
    assert scene.image.shape == (40, 40, 3)
    assert scene.mask.shape == (40, 40)
    assert scene.image.dtype == scene.mask.dtype == np.uint8


def test_masks_hold_the_classes_that_were_chosen(monkeypatch):
    chosen = []

    def remembered(*args, **kwargs):
        chosen.append(original(*args, **kwargs))
        return chosen[-1]

    original = shapes.choose_classes
    monkeypatch.setattr(shapes, "choose_classes", remembered)
    scenes = draw(12)
    assert [present(scene) for scene in scenes] == [sorted(classes) for classes in chosen]


def test_no_pixel_is_ignored(paired, unpaired):
    assert not any((scene.mask == IGNORE).any() for scene in (*paired, *unpaired))


def test_with_cooccurrence_one_partners_are_always_seen_together(paired):
    for scene in paired:
        classes = present(scene)
        assert any(c ^ 1 in classes for c in classes)


def test_with_cooccurrence_zero_most_scenes_show_one_class(unpaired):
    # A quarter of the scenes get a further class at random.
    assert np.mean([len(present(scene)) == 1 for scene in unpaired]) > 0.5


def test_a_scene_shows_one_to_three_classes(paired, unpaired):
    assert {len(present(scene)) for scene in (*paired, *unpaired)} <= {1, 2, 3}


def test_all_classes_are_drawn(paired):
    assert set().union(*(present(scene) for scene in paired)) == set(range(len(CLASSES)))


def test_objects_take_a_sane_share_of_the_scene(paired, unpaired):
    shares = np.array([(scene.mask != BACKGROUND).mean() for scene in (*paired, *unpaired)])
    # The least object has a radius of 0.17 of the side, and 0.35 of that area is seen at least.
    assert shares.min() > 0.9 * 0.35 * np.pi * 0.17**2
    assert shares.max() < 0.8
    assert 0.1 < shares.mean() < 0.45


def test_objects_differ_from_the_background_in_the_image(paired):
    differences = []
    for scene in paired:
        inside = scene.mask != BACKGROUND
        colours = scene.image.astype(float)
        differences.append(
            np.abs(colours[inside].mean(axis=0) - colours[~inside].mean(axis=0)).max()
        )
    assert np.median(differences) > 15


def test_every_class_has_a_partner_with_another_body():
    assert len(CLASSES) % 2 == 0
    assert all(c % shapes.BODIES != (c ^ 1) % shapes.BODIES for c in range(len(CLASSES)))


def test_bodies_are_shared_by_several_classes():
    assert len(CLASSES) // shapes.BODIES >= 2
