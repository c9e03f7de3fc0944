"""Insertion and deletion, of a network whose logits are known for every image."""

import numpy as np
import pytest
import torch
from PIL import Image

from recam.io.scores import ScoredClasses, save_scores
from recam.pipeline.causal import STEPS, Classifier, area, causal_metrics, curve, pixel_ranks

PEAK_FIRST = np.arange(100, 0, -1, np.float32).reshape(10, 10) / 100


def classifier(logits, *, batch_size=7):
    return Classifier(
        normalise=lambda pixels: pixels,
        logits=logits,
        device=torch.device("cpu"),
        precision=torch.float32,
        batch_size=batch_size,
    )


def white_pixels(images):
    """Two logits: of probabilities 1/4 + share of white / 2, and 1/2."""
    share = 0.25 + images[:, 0].mean(dim=(1, 2)) / 2
    return torch.stack([share.logit(), torch.zeros_like(share)], dim=1)


def test_pixels_go_by_descending_score_the_upper_left_first():
    scores = np.array([[0.5, 1.0], [0.5, 0.2]], np.float32)
    assert pixel_ranks(scores).tolist() == [[1, 0], [2, 3]]


@pytest.mark.parametrize("batch_size", [1, 7, 100])
def test_each_step_replaces_the_same_fraction(batch_size):
    black, white = torch.zeros(3, 10, 10), torch.ones(3, 10, 10)
    model = classifier(white_pixels, batch_size=batch_size)
    found = curve(model, black, white, pixel_ranks(PEAK_FIRST), class_index=0)
    assert found.tolist() == pytest.approx(np.linspace(0.25, 0.75, STEPS + 1).tolist())


def test_the_area_of_a_ramp_is_its_mean():
    assert area(torch.tensor([0.2, 0.4, 0.9])) == pytest.approx((0.3 + 0.65) / 2)


def first_pixels(images):
    """A class that is seen in the upper half of an image only."""
    upper = images[:, 0, :5].mean(dim=(1, 2))
    return (20 * upper - 10)[:, None]


def test_a_map_of_the_right_pixels_inserts_and_deletes_early():
    model = classifier(first_pixels)
    white, black = torch.ones(3, 10, 10), torch.zeros(3, 10, 10)
    right, wrong = pixel_ranks(PEAK_FIRST), pixel_ranks(PEAK_FIRST[::-1])
    inserted = [area(curve(model, black, white, rank, class_index=0)) for rank in (right, wrong)]
    deleted = [area(curve(model, white, black, rank, class_index=0)) for rank in (right, wrong)]
    # Half of the probability is reached in the middle of the upper half: at 1/4 or 3/4.
    assert inserted == pytest.approx([0.75, 0.25], abs=0.01)
    assert deleted == pytest.approx([0.25, 0.75], abs=0.01)


def test_scores_are_percent_and_means_over_maps(tmp_path):
    Image.new("RGB", (10, 10), (255, 255, 255)).save(tmp_path / "a.png")
    scored = ScoredClasses(scores=np.stack([PEAK_FIRST] * 2), classes=np.array([0, 1]))
    save_scores(tmp_path / "a.npz", scored)
    found = causal_metrics(classifier(white_pixels), tmp_path, {"a": tmp_path / "a.png"})
    # A blurred white image is white: 3/4. Deletion goes from 3/4 to 1/4. The other class has 1/2.
    assert found == pytest.approx({"insertion": 100 * (0.75 + 0.5) / 2, "deletion": 50})


def test_without_maps_there_are_no_scores(tmp_path):
    Image.new("RGB", (10, 10)).save(tmp_path / "a.png")
    scored = ScoredClasses(scores=np.zeros((0, 10, 10), np.float32), classes=np.array([], int))
    save_scores(tmp_path / "a.npz", scored)
    assert causal_metrics(classifier(white_pixels), tmp_path, {"a": tmp_path / "a.png"}) == {}
