"""Masks, metrics and signs are the same for maps in files and in archives."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from recam.checks.masks import check_masks
from recam.core.errors import UserError
from recam.data.layout import WeakSplit
from recam.exchange.masks import open_masks
from recam.io import packing, stores
from recam.io.archives import files_in, read_content
from recam.io.images import read_mask, write_image, write_mask
from recam.io.resumable import ResumableFolder
from recam.io.scores import ScoredClasses, save_scores
from recam.pipeline.evaluation import GroundTruth, score_maps, score_masks
from recam.pipeline.localisation import score_localisation
from recam.pipeline.pseudo_masks import (
    Cut,
    alike_batches,
    cut_masks,
    propagate_maps,
    score_histogram,
)
from recam.pipeline.saliency import Saliency
from recam.pipeline.scoring import maps_of_run
from recam.pipeline.signs import count_masks

CLASSES = ("cat", "dog")
IDS = tuple(f"train_{number}" for number in range(5))
SIZES = ((6, 8), (8, 6), (6, 8), (8, 6), (6, 8))


@pytest.fixture
def split(tmp_path):
    """Five images of two sizes with their ground truth, and random maps in files."""
    generator = np.random.default_rng(0)
    for image_id, size in zip(IDS, SIZES, strict=True):
        write_image(tmp_path / f"images/{image_id}.png", np.zeros((*size, 3), np.uint8))
        mask = generator.integers(3, size=size, dtype=np.uint8)
        write_mask(tmp_path / f"truth/{image_id}.png", mask)
        scores = generator.random((2, *size), dtype=np.float32)
        scored = ScoredClasses(scores=scores, classes=np.arange(2))
        save_scores(tmp_path / f"drawn/{image_id}.npz", scored)
    images = tuple(tmp_path / f"images/{image_id}.png" for image_id in IDS)
    labels = np.ones((len(IDS), len(CLASSES)), bool)
    return WeakSplit(name="train", ids=IDS, images=images, labels=labels, classes=CLASSES)


@pytest.fixture
def forms(tmp_path, split, monkeypatch):
    """Cams, refined maps and pseudo masks, made by the steps' functions: files, then archives."""
    monkeypatch.setattr(packing, "PER_ARCHIVE", 2)
    return [
        made(tmp_path / str(in_archives), tmp_path / "drawn", split, in_archives=in_archives)
        for in_archives in (False, True)
    ]


def made(place, drawn, split, *, in_archives):
    cams, spread, scores, masks = (
        ResumableFolder(place / name, key="k", in_archives=in_archives)
        for name in ("cams", "spread", "scores", "pseudo")
    )
    for file in files_in(drawn):
        stores.store(cams.partial / file.name, [file.read_bytes()])
    cams.finish()
    common = {"num_classes": 2, "device": torch.device("cpu")}
    pairs = zip(files_in(cams.path, ".npz"), split.images, strict=True)
    for batch in alike_batches(dict(pairs), batch_size=2):
        propagate_maps(batch, spread.partial, propagate=lambda maps, _: maps / 2, **common)
    pairs = zip((spread.partial / f"{i}.npz" for i in IDS), split.images, strict=True)
    cut = Cut(background=0.3, margin=0.05, crf=None)
    for batch in alike_batches(dict(pairs), batch_size=2):
        cut_masks(batch, scores=scores.partial, masks=masks.partial, cut=cut, **common)
    for folder in (scores, masks):
        folder.finish()
        assert len(list(folder.path.iterdir())) == (3 if in_archives else len(IDS))
    return SimpleNamespace(cams=cams.path, scores=scores.path, pseudo=masks.path)


def test_maps_and_masks_are_equal_to_the_byte(forms):
    files, archives = ([vars(form)[name] for name in sorted(vars(form))] for form in forms)
    for one, other in zip(files, archives, strict=True):
        expected = {file.name: file.read_bytes() for file in one.iterdir()}
        assert {file.name: read_content(file) for file in files_in(other)} == expected
        assert len(expected) == len(IDS)


def test_metrics_are_equal(forms, split, tmp_path):
    truth = GroundTruth(ids=IDS, masks=tmp_path / "truth", classes=CLASSES)

    def found(form):
        maps = maps_of_run(form.cams, None, None, None, split)["cams"]
        scores = score_maps(maps.folder, truth, threshold=maps.threshold)
        return [
            scores.metrics(threshold=maps.threshold),
            scores.curve.tolist(),
            score_localisation(form.cams, truth),
            score_masks(form.pseudo, truth)[0].tolist(),
            score_histogram(files_in(form.scores, ".npz")).tolist(),
        ]

    assert found(forms[0]) == found(forms[1])


def test_signs_and_checks_of_masks_are_equal(forms, split):
    def found(form):
        own = GroundTruth(ids=(*IDS, "other"), masks=form.pseudo, classes=CLASSES)
        assert own.scored_ids() == list(IDS)
        Saliency(source="ccam", folder=form.pseudo, threshold=0.2).require(IDS)
        return count_masks(form.pseudo, split).pixels.tolist(), check_masks(
            split, form.pseudo
        ).ignored

    assert found(forms[0]) == found(forms[1])


def test_masks_to_convert_are_found_in_archives(forms, tmp_path, split):
    (tmp_path / "classes.txt").write_text("cat\ndog\n")
    found = open_masks(
        forms[1].pseudo, classes=tmp_path / "classes.txt", images=tmp_path / "images"
    )
    assert [mask.stem for mask in found.masks] == list(IDS)
    assert [found.images[mask] for mask in found.masks] == list(split.images)
    alone = read_mask(forms[0].pseudo / "train_0.png")
    np.testing.assert_array_equal(found.read(found.masks[0]), alone)


def test_missing_maps_and_both_forms_are_refused(forms, split):
    more = WeakSplit(
        name="train",
        ids=(*IDS, "train_5"),
        images=(*split.images, split.images[0]),
        labels=np.ones((6, 2), bool),
        classes=CLASSES,
    )
    for form in forms:
        with pytest.raises(UserError, match=r"no maps for 1 of the 6 images .*first: train_5"):
            maps_of_run(form.cams, None, None, 0.5, more)
        (form.pseudo / "other.png").write_bytes(b"")
        (form.pseudo / "00009.zip").write_bytes(b"")
        with pytest.raises(UserError, match=r"alone or in archives, got both, such as .*\.zip"):
            check_masks(split, form.pseudo)
