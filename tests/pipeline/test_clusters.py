"""Clusters of local features: k-means of a stream, the judgement of centres, and their file."""

import logging
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from recam.core.errors import UserError
from recam.data.layout import load_weak_split
from recam.methods.cam import Cam
from recam.methods.lpcam import Prototypes
from recam.models.backbones import Backbone
from recam.pipeline.clusters import (
    BUFFER,
    VECTORS_PER_IMAGE,
    ClusterNumbers,
    StreamedClusters,
    cluster_features,
)
from recam.pipeline.prototypes import Limits, judged, load_prototypes, save_prototypes

LIMITS = Limits(foreground=0.9, context_min=0.05, context_max=0.9)
NUMBERS = ClusterNumbers(images=10, clusters=2, foreground=0.5, batch_size=2)
NONE = torch.zeros(0, 2)


def streamed(*parts, count=2, random_seed=0):
    clusters = StreamedClusters(count=count, channels=2, random_seed=random_seed)
    for part in parts:
        clusters.add(np.array(part, dtype=np.float32).reshape(-1, 2))
    return clusters.centres()


def test_two_directions_are_two_clusters_of_their_mean_length():
    centres = streamed([[1, 0], [0, 2]], [], [[3, 0], [0, 4], [5, 0]])
    assert sorted(centres.tolist()) == [[0.0, 3.0], [3.0, 0.0]]


def test_fewer_vectors_than_clusters_are_their_own_centres():
    assert streamed([[0, 5]], count=12).tolist() == [[0.0, 5.0]]


def test_a_stream_without_vectors_has_no_centre():
    assert streamed([]).shape == streamed().shape == (0, 2)


def test_longer_vectors_change_the_length_of_the_centres_alone(generator):
    parts = [torch.rand(40, 2, generator=generator).numpy() for _ in range(3)]
    found = streamed(*parts, count=4)
    torch.testing.assert_close(streamed(*(8 * p for p in parts), count=4), 8 * found)


def test_one_random_seed_gives_one_result(generator):
    part = torch.rand(200, 2, generator=generator).numpy()
    assert streamed(part, count=8).equal(streamed(part, count=8))
    assert not streamed(part, count=8).equal(streamed(part, count=8, random_seed=1))


def test_at_most_a_buffer_of_vectors_waits(generator):
    clusters = StreamedClusters(count=3, channels=2, random_seed=0)
    longest = 0
    for _ in range(40):
        clusters.add(torch.rand(VECTORS_PER_IMAGE, 2, generator=generator).numpy() + 0.1)
        longest = max(longest, sum(map(len, clusters.waiting)))
    assert BUFFER - VECTORS_PER_IMAGE <= longest < BUFFER
    clusters.centres()
    assert clusters.members.sum() == 40 * VECTORS_PER_IMAGE


class Pixels(Backbone):
    """Features are the red and the green pixels."""

    channels, skip_channels = 2, 2
    level_channels, level_strides = (2,), (4,)
    mean, std = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)

    def __init__(self):
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(1))

    def levels(self, images):
        return [images[:, :2]]

    def with_skip(self, images):
        return images[:, :2], images[:, :2]

    def freeze_stem(self):
        """Nothing trains."""


@pytest.fixture
def model():
    """A CAM whose three classes look at red, at green, and at red."""
    model = Cam(Pixels(), channels=2, num_classes=3)
    with torch.no_grad():
        model.classifier.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]]))
    return model


@pytest.fixture
def split(voc):
    """Five images: every image is red on the left, then green, with a black column between."""
    found = load_weak_split(voc, "train")
    for path in found.images:
        pixels = np.array(Image.open(path))
        pixels[:] = 0
        pixels[:, :3, 0], pixels[:, 4:, 1] = 255, 51
        Image.fromarray(pixels).save(path)
    return replace(found, labels=found.labels & np.array([True, True, False]))


def clustered(model, split, **changes):
    numbers = replace(NUMBERS, **changes)
    return cluster_features(model, split, numbers, random_seed=0, precision=torch.float32)


def test_positions_above_the_cam_are_foreground_and_the_others_context(model, split):
    found = clustered(model, split)
    for of_class, expected in (
        (found.foreground[0], [1.0, 0.0]),
        (found.context[0], [0.0, 0.2]),
        (found.foreground[1], [0.0, 0.2]),
        (found.context[1], [1.0, 0.0]),
    ):
        torch.testing.assert_close(of_class, torch.tensor([expected]).expand_as(of_class))
        assert len(of_class) == 1  # black positions have no direction


def test_a_class_that_no_chosen_image_shows_has_no_centre(model, split):
    assert clustered(model, split).foreground[2].shape == (0, 2)
    first = clustered(model, split, images=1)  # shows the first class alone
    assert [len(centres) for centres in first.foreground] == [1, 0, 0]


def test_a_large_image_counts_as_much_as_a_smaller_one(model, split):
    for path, side, red in ((split.images[0], 200, 255), (split.images[2], 10, 51)):
        pixels = np.zeros((side, side, 3), np.uint8)
        pixels[:, :, 0] = red
        Image.fromarray(pixels).save(path)
    found = clustered(model, split, clusters=1).foreground[0]
    torch.testing.assert_close(found, torch.tensor([[0.6, 0.0]]))  # the mean of 1 and 0.2


def test_centres_are_kept_by_the_probability_of_their_class():
    # The odds of the first of two classes are e^x at (x, 0): above 0.9 from x = 2.2.
    weights = torch.tensor([[1.0, 0.0], [0.0, 0.0]])
    near = torch.tensor([[2.0, 0.0], [3.0, 0.0]])
    around = torch.tensor([[-3.0, 0.0], [-2.9, 0.0], [2.0, 0.0], [3.0, 0.0]])
    far = torch.tensor([[-9.0, 1.0]])
    centres = Prototypes(foreground=(near, far), context=(around, NONE))
    kept = judged(centres, weights, limits=LIMITS, classes=("cat", "dog"))
    assert kept.foreground[0].tolist() == [[3.0, 0.0]]
    torch.testing.assert_close(kept.context[0], around[1:3])
    assert kept.foreground[1].tolist() == far.tolist()
    assert kept.context[1].shape == (0, 2)


def test_a_class_without_a_recognised_centre_keeps_its_best_and_is_named(caplog):
    weights = torch.tensor([[1.0, 0.0], [0.0, 0.0]])
    centres = Prototypes(
        foreground=(torch.tensor([[-1.0, 0.0], [1.0, 0.0]]), NONE), context=(NONE, NONE)
    )
    with caplog.at_level(logging.WARNING):
        kept = judged(centres, weights, limits=LIMITS, classes=("cat", "dog"))
    assert kept.foreground[0].tolist() == [[1.0, 0.0]]
    assert kept.foreground[1].shape == (0, 2)
    assert caplog.messages == [
        "class cat: no foreground cluster has a probability above 0.9; the best, of 0.73, is kept; "
        "lower make_clusters.judged_foreground",
        "class dog has no local features: its maps stay those of CAM",
    ]


def test_longer_features_with_shorter_weights_keep_the_same_centres(generator):
    near, around = (torch.randn(20, 2, generator=generator) * 3 for _ in range(2))
    weights = torch.randn(1, 2, generator=generator)
    weights = torch.cat([weights, -weights])
    found = [
        judged(
            Prototypes(foreground=(near * scale, NONE), context=(around * scale, NONE)),
            weights / scale,
            limits=LIMITS,
            classes=("cat", "dog"),
        )
        for scale in (1, 4)
    ]
    assert 0 < len(found[0].foreground[0]) < 20
    assert 0 < len(found[0].context[0]) < 20
    assert found[1].foreground[0].equal(found[0].foreground[0] * 4)
    assert found[1].context[0].equal(found[0].context[0] * 4)


def test_prototypes_come_back_from_their_file(tmp_path):
    prototypes = Prototypes(foreground=(torch.eye(2), NONE), context=(NONE, torch.ones(1, 2)))
    save_prototypes(tmp_path / "clusters.pt", prototypes, ("cat", "dog"))
    found, classes = load_prototypes(tmp_path / "clusters.pt")
    assert classes == ("cat", "dog")
    assert [t.tolist() for t in (*found.foreground, *found.context)] == [
        t.tolist() for t in (*prototypes.foreground, *prototypes.context)
    ]


def test_a_file_that_holds_no_clusters_is_refused(tmp_path):
    with pytest.raises(UserError, match="not found; run make_clusters"):
        load_prototypes(tmp_path / "clusters.pt")
    torch.save({"format": "other"}, tmp_path / "other.pt")
    with pytest.raises(UserError, match="expected clusters, got another file"):
        load_prototypes(tmp_path / "other.pt")
