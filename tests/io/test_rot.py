"""A flipped bit or a cut in any file of an experiment is noticed, or changes nothing that is read.

The law: whatever single bit of a file is flipped, and wherever it is cut, its reader either gives
the content that was written, or raises a UserError that names the file and the step that makes it.
"""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from recam.core.errors import UserError
from recam.io.atomic import write_manifest, write_text
from recam.io.checkpoints import (
    ModelConfig,
    load_checkpoint,
    load_state,
    save_checkpoint,
    save_state,
)
from recam.io.images import read_image, read_mask, read_saliency, write_mask, write_saliency
from recam.io.records import read_cut, read_metrics, read_signs, write_record
from recam.io.result_tables import read_table
from recam.io.scores import ScoredClasses, load_classes, load_scores, save_scores
from recam.io.texts import Texts, load_texts, save_texts
from recam.methods.lpcam import Prototypes
from recam.pipeline.prediction_numbers import numbers_beside
from recam.pipeline.prototypes import load_prototypes, save_prototypes

FLIPS, CUTS = 300, 60
CONFIG = ModelConfig(
    method="cam",
    backbone="resnet18",
    output_stride=16,
    classes=("cat", "dog"),
    frozen_batch_norm=True,
    frozen_stem=False,
)
RUN = "results/seed0/recam"
METRICS = {"seg": {"split": "val", "images": 2, "of": 2, "miou": 43.2, "threshold": 0.25}}
CUT = {"background": 0.35, "threshold": 0.5, "margin": 0.05}
SIGNS = {"values": {"ignored": 12.5}, "classes": {"unseen_classes": ["cat"]}}
PREDICTION = {"scales": [1.0, 1.5], "crf": None, "longest_side": 320}
PICTURE = np.arange(35, dtype=np.uint8).reshape(5, 7)


class Kind(NamedTuple):
    """A kind of file: its place in an experiment, the step that makes it, writer and reader."""

    name: str
    step: str
    write: Callable[[Path], None]
    read: Callable[[Path], object]


def tensors():
    generator = torch.Generator().manual_seed(0)
    return {"weight": torch.randn(3, 5, generator=generator), "count": torch.tensor(7)}


def seen(value):
    """Plain values to compare, of whatever a reader gives."""
    match value:
        case torch.Tensor() | np.ndarray():
            return str(value.dtype), value.tolist()
        case dict():
            return {name: seen(one) for name, one in value.items()}
        case list() | tuple():
            return [seen(one) for one in value]
        case ScoredClasses(scores=a, classes=b) | Prototypes(foreground=a, context=b):
            return seen([a, b])
        case pd.DataFrame():
            return value.to_csv()
        case _:
            return value


def checkpoint(path):
    save_checkpoint(path, tensors(), CONFIG)


def mask(path):
    write_mask(path, PICTURE, num_classes=3)


def saliency(path):
    write_saliency(path, PICTURE)


def state(path):
    save_state(path, {"key": "k", "curve": [(1, "bce", 0.5)], "model": tensors()})


def clusters(path):
    centres = (torch.ones(2, 3), torch.full((1, 3), 0.5))
    save_prototypes(path, Prototypes(foreground=centres, context=centres), CONFIG.classes)


def texts(path):
    unit = torch.eye(len(CONFIG.classes))
    words = tuple(f"word {number}" for number in range(len(unit)))
    named = {"classes": CONFIG.classes, "background": words, "model": "drawn", "scale": 100.0}
    save_texts(path, Texts(**named, class_vectors=unit, background_vectors=unit))


def scores(path):
    maps = np.linspace(0, 1, 40, dtype=np.float32).reshape(2, 4, 5)
    save_scores(path, ScoredClasses(scores=maps, classes=np.array([0, 3])))


def beside_list(write, manifest="predictions.sha256"):
    """Write a file, and the list of checksums that holds it."""

    def work(path):
        write(path)
        write_manifest(path.with_name(manifest), [path])

    return work


def table(header, row):
    return beside_list(lambda path: write_text(path, f"{header}\n{row}\n"))


def curve(path):
    write_text(path, "epoch,loss,value\n1,bce,0.512345\n2,bce,0.412345\n")
    save_checkpoint(path.with_name("irn.pt"), tensors(), CONFIG, beside=[path])


def read_numbers(path):
    return numbers_beside(path.with_name("segmenter.pt"))


def record(content, manifest="predictions.sha256"):
    return beside_list(lambda path: write_record(path, content), manifest)


KINDS = [
    Kind("classifier.pt", "train_recam", checkpoint, load_checkpoint),
    Kind("../cam/classifier.pt", "train_cam", checkpoint, load_checkpoint),
    Kind("segmenter.last.pt", "train_seg", state, load_state),
    Kind("clusters.pt", "make_clusters", clusters, load_prototypes),
    Kind("texts.pt", "embed_texts", texts, load_texts),
    Kind("cams/a.npz", "make_cams", scores, load_scores),
    Kind("scores/a.npz", "make_pseudo", scores, load_classes),
    Kind("pseudo/a.png", "make_pseudo", mask, read_mask),
    Kind("predictions/a.png", "evaluate", mask, read_mask),
    Kind("../saliency/maps/a.png", "train_saliency", saliency, read_saliency),
    Kind("cut.json", "make_pseudo", record(CUT, "pseudo.sha256"), read_cut),
    Kind("metrics.json", "evaluate", record(METRICS), read_metrics),
    Kind("signs.json", "evaluate", record(SIGNS), read_signs),
    Kind("prediction.json", "evaluate", record(PREDICTION), read_numbers),
    *(
        Kind(f"{name}.csv", "evaluate", table(header, row), read_table)
        for name, header, row in [
            ("counts", "stage,image,truth,prediction,pixels", "seg,0025,0,1,99"),
            ("per_class", "stage,class,iou", "seg,cat,12.5"),
            ("confusion", "stage,truth,prediction,pixels", "seg,cat,dog,3"),
            ("thresholds", "stage,threshold,miou", "cams,0.25,31.25"),
        ]
    ),
    Kind("irn_curve.csv", "train_irn", curve, read_table),
]


def changes(content):
    """Seeded single-bit flips and cuts, each with its words."""
    random = np.random.default_rng(0)
    for bit in random.choice(8 * len(content), min(FLIPS, 8 * len(content)), replace=False):
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << (bit % 8)
        yield f"bit {bit}", bytes(flipped)
    for size in random.choice(len(content), min(CUTS, len(content)), replace=False):
        yield f"cut to {size}", content[:size]


@pytest.mark.parametrize("kind", KINDS, ids=[kind.name for kind in KINDS])
def test_a_flipped_bit_or_a_cut_is_noticed_or_harmless(kind, tmp_path):
    path = tmp_path / RUN / kind.name
    path.parent.mkdir(parents=True)
    kind.write(path)
    content, whole = path.read_bytes(), seen(kind.read(path))
    said, silent = [], []
    for what, changed in changes(content):
        path.write_bytes(changed)
        try:
            if seen(kind.read(path)) != whole:
                silent.append(what)
        except UserError as error:
            said.append(str(error))
    assert not silent
    assert len(said) > FLIPS / 2
    assert [words for words in said if str(path) not in words or kind.step not in words] == []


@pytest.fixture
def photograph(tmp_path):
    """A JPEG of a data set whose download step has listed its checksum."""
    path = tmp_path / "data/JPEGImages/0042.jpg"
    path.parent.mkdir(parents=True)
    noise = np.random.default_rng(0).integers(256, size=(16, 24, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    write_manifest(tmp_path / "data/images.sha256", [path.parent])
    return path


def test_a_flipped_bit_in_a_jpeg_of_the_data_set_is_noticed(photograph):
    content = bytearray(photograph.read_bytes())
    assert read_image(photograph).shape == (16, 24, 3)
    content[len(content) // 2] ^= 1  # Pillow decodes it without a word
    photograph.write_bytes(content)
    with pytest.raises(UserError) as caught:
        read_image(photograph)
    assert str(caught.value).startswith(f"{photograph}: its checksum differs from that in ")
    assert "run download again" in str(caught.value)


def test_an_image_elsewhere_or_beside_the_list_needs_no_checksum(photograph, tmp_path):
    for other in (tmp_path / "0042.jpg", photograph.with_name("0043.jpg")):
        other.write_bytes(photograph.read_bytes())
        assert read_image(other).shape == (16, 24, 3)
