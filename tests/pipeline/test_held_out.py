"""Scores of a classifier on images whose labels it has not seen."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from recam.data.augmentation import Augmentation
from recam.data.layout import load_weak_split
from recam.data.loading import LabelledImages
from recam.methods.cam import Cam
from recam.methods.recam import ReCam
from recam.pipeline.held_out import divided, held_out_scores, recall_and_precision

AUGMENTATION = Augmentation(
    resize_min=6, resize_max=14, crop=10, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)
)


@pytest.fixture
def split(voc):
    """Five images with image-level labels."""
    return load_weak_split(voc, "train")


@pytest.fixture
def cam():
    """A CAM on a backbone that looks at each pixel alone."""
    torch.manual_seed(0)
    return Cam(nn.Conv2d(3, 4, kernel_size=1), channels=4, num_classes=3)


def test_the_parts_have_every_image_once_with_its_own_labels(split):
    training, held_out = divided(split, 0.4)
    assert len(held_out.ids) == 2
    assert sorted(training.ids + held_out.ids) == sorted(split.ids)
    whole = dict(zip(split.ids, split.labels.tolist(), strict=True))
    for part in (training, held_out):
        assert dict(zip(part.ids, part.labels.tolist(), strict=True)).items() <= whole.items()
        assert [path.stem for path in part.images] == list(part.ids)


def test_a_larger_part_contains_the_smaller_one(split):
    small, large = (set(divided(split, fraction)[1].ids) for fraction in (0.2, 0.4))
    assert small < large


@pytest.mark.parametrize("fraction", [0.0, 0.05])
def test_a_fraction_of_no_image_holds_out_nothing(split, fraction):
    assert divided(split, fraction) == (split, None)


def test_recall_and_precision_by_hand():
    logits = np.array([[2.0, -1.0], [0.5, 0.1]], np.float32)
    labels = np.array([[True, True], [True, False]])
    assert recall_and_precision(logits, labels) == {"recall": 2 / 3, "precision": 2 / 3}


def test_recall_and_precision_of_nothing_are_undefined():
    found = recall_and_precision(np.full((1, 2), -1, np.float32), np.zeros((1, 2), bool))
    assert math.isnan(found["recall"])
    assert math.isnan(found["precision"])


def test_scores_are_the_losses_of_all_images_at_once(split, cam):
    model = ReCam(cam, weight=0.5)
    images = LabelledImages(split, AUGMENTATION, random_seed=0)
    model.train()
    scores = held_out_scores(model, images)()
    batch = torch.stack([images[0, i][0] for i in range(5)])
    losses = model.loss(batch, torch.from_numpy(split.labels))
    assert scores["held-out bce"] == pytest.approx(losses["bce"].item(), rel=1e-5)
    assert scores["held-out sce"] == pytest.approx(losses["sce"].item(), rel=1e-5)
    assert model.training


def test_scores_do_not_depend_on_the_size_of_a_batch(split, cam, monkeypatch):
    images = LabelledImages(split, AUGMENTATION, random_seed=0)
    whole = held_out_scores(cam, images)()
    monkeypatch.setattr("recam.pipeline.held_out.BATCH", 2)
    assert held_out_scores(cam, images)() == pytest.approx(whole, rel=1e-5)
