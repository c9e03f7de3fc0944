"""Training on features of a frozen backbone: the same numbers, stored or not."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_networks import CONFIG

from recam.catalogue.methods import make_classifier
from recam.catalogue.segmenters import make_segmenter
from recam.core.errors import UserError
from recam.core.labels import IGNORE
from recam.core.randomness import numpy_generator
from recam.data.augmentation import (
    Augmentation,
    draw_grid_view,
    longer_sides,
    on_grid,
    whole_image,
)
from recam.data.layout import load_weak_split
from recam.data.loading import LabelledImages, MaskedImages, pixels_of
from recam.io.feature_files import FeatureFiles
from recam.io.images import read_image
from recam.models.backbones import backbone_of
from recam.models.frozen import features_for_images
from recam.models.initialisation import seeded_initialisation
from recam.pipeline.frozen import DrawnViews, FrozenImages, features_function, features_key
from recam.pipeline.held_out import held_out_scores
from recam.pipeline.optimizer import Recipe
from recam.pipeline.training import train

CPU, SINGLE = torch.device("cpu"), torch.float32
STRIDE = 16
FROZEN = replace(CONFIG, method="recam", weight=1.0, frozen_backbone=True)
VARIED = Augmentation(resize_min=30, resize_max=90, crop=60, mean=(0.5,) * 3, std=(0.5,) * 3)
LIMIT, FEW = 2**24, 10_000  # bytes; a view of 6 x 4 cells takes 4,740


def network(config=FROZEN):
    make = make_segmenter if config.method in ("linear", "tokens") else make_classifier
    with seeded_initialisation(0, "test"):
        return make(config)


@pytest.fixture
def split(voc):
    """Five images of noise with image-level labels, three or four cells long at stride 16."""
    for number, path in enumerate(sorted((voc / "JPEGImages").iterdir())):
        with Image.open(path) as image:
            height, width = (5 * side for side in np.asarray(image).shape[:2])
        noise = np.random.default_rng(number).integers(255, size=(height, width, 3), dtype=np.uint8)
        Image.fromarray(noise).save(path)
        mask = np.full((height, width), number % 4, np.uint8)
        Image.fromarray(mask).save(voc / f"SegmentationClass/{path.name}")
    return load_weak_split(voc, "train")


def labelled(split):
    return LabelledImages(split, on_grid(VARIED, stride=STRIDE), random_seed=0)


def frozen(model, images, folder, *, limit=LIMIT):
    """Items with features, and the number of forward passes of the backbone."""
    backbone = backbone_of(model)
    key = features_key(backbone, FROZEN, code="", device=CPU, precision=SINGLE)
    files = FeatureFiles(folder, key=key, limit=limit)
    views = DrawnViews(images, files, stride=STRIDE)
    return FrozenImages(views, features_function(backbone, device=CPU, precision=SINGLE))


def epoch_of(items, epoch):
    """The batches of an epoch of items."""
    return list(items.batches(batch_size=2, workers=0)(epoch))


def equal(ones, others):
    """Whether two lists of batches have the same bits."""
    return all(
        torch.equal(one, other)
        for a, b in zip(ones, others, strict=True)
        for one, other in zip(a, b, strict=True)
    )


def test_sizes_crops_and_places_are_whole_cells():
    augmentation = on_grid(VARIED, stride=14)
    assert augmentation.crop == 70
    sides = set()
    for number in range(50):
        generator = numpy_generator(0, "test", number)
        view = draw_grid_view((50, 100), augmentation, generator, stride=14)
        places = [edge for part in (*view.seen, *view.place) for edge in (part.start, part.stop)]
        assert not any(length % 14 for length in (*view.size, *places))
        sides.add(view.size[1])
    assert longer_sides(30, 90) == [30, 60, 90]
    assert sides == {28, 56, 84}  # the nearest multiples of 14


def test_one_size_is_one_view():
    assert longer_sides(90, 90) == [90]


def test_features_are_those_of_the_backbone_on_the_same_view(split, tmp_path):
    model = network()
    items = frozen(model, labelled(split), tmp_path)
    drawn = items.views[1, 0]
    pixels = whole_image(read_image(split.images[0]), drawn.view)
    backbone = backbone_of(model)
    with torch.no_grad():
        whole = backbone(backbone.normalise(pixels_of([pixels], CPU)))[0]
    rows, columns = (slice(s.start // 16, s.stop // 16) for s in drawn.view.seen)
    places = [slice(s.start // 16, s.stop // 16) for s in drawn.view.place]
    cropped = whole[:, rows, columns]
    features, labels = items.completed(drawn)
    assert torch.equal(labels, torch.from_numpy(split.labels[0]))
    padded_by = 16 / cropped[0].numel()  # 4 x 4 cells
    torch.testing.assert_close(
        features[:, *places], cropped.half().float() * padded_by, rtol=0, atol=1e-6
    )
    assert features.sum().item() == pytest.approx(features[:, *places].sum().item(), rel=1e-5)


def test_the_mean_of_padded_features_is_that_of_the_visible_ones(split, tmp_path):
    items = frozen(network(), labelled(split), tmp_path)
    padded = 0
    for index in range(len(items)):
        drawn = items.views[0, index]
        features, _ = items.completed(drawn)
        places = [slice(s.start // 16, s.stop // 16) for s in drawn.view.place]
        visible = features[:, *places]
        padded += visible.numel() < features.numel()
        share = visible.numel() / features.numel()
        torch.testing.assert_close(features.mean(dim=(1, 2)), visible.mean(dim=(1, 2)) * share)
        stored = items.views.files.read(drawn.name)
        if visible[0].numel() == stored[0].size:  # nothing is cut off
            mean = torch.from_numpy(stored).float().mean(dim=(1, 2))
            torch.testing.assert_close(features.mean(dim=(1, 2)), mean, rtol=1e-4, atol=1e-6)
    assert padded > 0


@pytest.mark.parametrize("limit", [0, FEW, LIMIT])
def test_no_limit_changes_a_number(split, tmp_path, limit):
    model = network()
    expected = epoch_of(frozen(model, labelled(split), tmp_path / "other"), 1)
    items = frozen(model, labelled(split), tmp_path / "mine", limit=limit)
    assert equal(epoch_of(items, 1), expected)
    assert items.computed == 4  # two batches of two
    assert equal(epoch_of(items, 1), expected)
    stored = items.views.files.count()
    assert items.computed == 4 + 4 - stored
    assert {0: stored == 0, FEW: 0 < stored < 4, LIMIT: stored == 4}[limit]


def test_a_reached_limit_is_reported_once(split, tmp_path, caplog):
    items = frozen(network(), labelled(split), tmp_path, limit=FEW)
    for epoch in (1, 2, 3):
        epoch_of(items, epoch)
    (said,) = caplog.messages
    stored = items.views.files.count()
    assert said == (
        f"warning: feature_cache: its limit of 9.31e-06 GiB is reached; {stored} views of this "
        "backbone are stored, others, of up to 30, are computed anew in every epoch"
    )


def test_a_later_training_computes_only_new_views(split, tmp_path):
    model = network()
    first, again = (frozen(model, labelled(split), tmp_path) for _ in range(2))
    batches = epoch_of(first, 1)
    assert equal(epoch_of(again, 1), batches)
    assert (first.computed, again.computed) == (4, 0)
    for path in tmp_path.rglob("*.npy"):
        path.write_bytes(path.read_bytes()[:-1])
    assert equal(epoch_of(again, 1), batches)
    assert again.computed == 4


def test_a_changed_image_has_other_features(split, tmp_path):
    items = frozen(network(), labelled(split), tmp_path)
    before, _ = items[1, 0]
    pixels = 255 - read_image(split.images[0])
    Image.fromarray(pixels).save(split.images[0])
    after, _ = items[1, 0]
    assert items.computed == 2
    assert not torch.equal(before, after)


def test_the_key_follows_the_weights_the_network_the_code_and_the_precision():
    model = network()
    backbone = backbone_of(model)
    keys = [features_key(backbone, FROZEN, code="", device=CPU, precision=SINGLE)]
    keys.append(features_key(backbone, FROZEN, code="", device=CPU, precision=torch.bfloat16))
    other = replace(FROZEN, output_stride=8)
    keys.append(features_key(backbone, other, code="", device=CPU, precision=SINGLE))
    keys.append(features_key(backbone, FROZEN, code="other", device=CPU, precision=SINGLE))
    with torch.no_grad():
        next(backbone.parameters()).view(-1)[0] += 1e-3
    keys.append(features_key(backbone, FROZEN, code="", device=CPU, precision=SINGLE))
    assert len(set(keys)) == 5
    heads = replace(FROZEN, method="cam", classes=("a",))
    assert features_key(backbone, heads, code="", device=CPU, precision=SINGLE) == keys[-1]


def test_masks_are_cropped_like_features_and_ignored_in_the_padding(split, voc, tmp_path):
    config = replace(FROZEN, method="linear")
    images = MaskedImages(
        split, voc / "SegmentationClass", on_grid(VARIED, stride=STRIDE), random_seed=0
    )
    items = frozen(network(config), images, tmp_path)
    for index in range(len(items)):
        features, mask = items[0, index]
        assert mask.shape == (64, 64)
        cells = mask.unfold(0, 16, 16).unfold(1, 16, 16).flatten(2)
        assert torch.equal(cells.amin(dim=2), cells.amax(dim=2))  # no cell is in part padded
        assert torch.equal(cells[..., 0] == IGNORE, features.abs().sum(dim=0) == 0)


def trained(split, folder, *, stop_before=None, limit=LIMIT):
    """The curve and the tensors of a training of two epochs on features."""
    model = network()
    items = frozen(model, labelled(split), folder / "features", limit=limit)
    batches = items.batches(batch_size=2, workers=0)

    def until(epoch):
        if epoch == stop_before:
            raise KeyboardInterrupt
        return batches(epoch)

    with features_for_images(model):
        curve = train(
            model,
            until,
            steps_per_epoch=2,
            recipe=Recipe(
                epochs=2,
                learning_rates={"backbone": 1.0, "classifier": 0.1, "reclassifier": 0.1},
                momentum=0.9,
                weight_decay=0.1,
            ),
            device=CPU,
            state=folder / "state.pt",
            key="",
        )
        scores = held_out_scores(model, items)()
    return curve, model.state_dict(), scores


def test_a_training_moves_the_classifiers_alone(split, tmp_path):
    before = network().state_dict()
    curve, after, scores = trained(split, tmp_path)
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved == {"reclassifier", "variant.classifier"}
    losses = [point.value for point in curve if point.loss == "bce"]
    assert all(later < earlier for earlier, later in pairwise(losses))
    assert np.isfinite(scores["held-out bce"])


def test_a_killed_training_resumes_with_the_same_numbers(split, tmp_path):
    expected = trained(split, tmp_path / "whole", limit=0)
    with pytest.raises(KeyboardInterrupt):
        trained(split, tmp_path / "killed", stop_before=2)
    found = trained(split, tmp_path / "killed")
    assert found[0] == expected[0]
    assert found[2] == expected[2]
    assert all(torch.equal(value, found[1][name]) for name, value in expected[1].items())


def test_a_network_with_another_grid_is_refused(split, tmp_path):
    model = network()
    items = frozen(model, labelled(split), tmp_path)
    items.features_of = lambda _: np.zeros((8, 1, 1), np.float16)
    with pytest.raises(
        UserError, match=r"expected a feature grid of \d x \d cells, one for 16 pixels, got 1 x 1"
    ):
        _ = items[0, 0]
