"""Stages of a run that have maps, and the scores that cut them."""

import numpy as np
import pytest

from recam.core.errors import UserError
from recam.data.layout import load_weak_split
from recam.io.scores import ScoredClasses, save_scores
from recam.pipeline.scoring import maps_of_run


@pytest.fixture
def split(voc):
    """Five images with image-level labels."""
    return load_weak_split(voc, "train")


@pytest.fixture
def cams(split, tmp_path):
    """Maps of every image: 0.9 in the upper row, 0.1 below."""
    scores = np.full((1, 4, 6), 0.1, np.float32)
    scores[:, 0] = 0.9
    for image_id in split.ids:
        scored = ScoredClasses(scores=scores, classes=np.array([0]))
        save_scores(tmp_path / f"cams/{image_id}.npz", scored)
    return tmp_path / "cams"


def test_cams_without_a_threshold_are_cut_where_yen_cuts_them(cams, split):
    stages = maps_of_run(cams, None, None, None, split)
    assert {stage: maps.threshold for stage, maps in stages.items()} == {"cams": 0.1}


def test_cams_with_a_threshold_are_cut_there(cams, split):
    assert maps_of_run(cams, None, None, 0.3, split)["cams"].threshold == 0.3


def test_pseudo_masks_are_cut_where_make_pseudo_cut_them(cams, split, tmp_path):
    (tmp_path / "cut.json").write_text('{"background": 0.35, "threshold": 0.5, "margin": 0.05}')
    stages = maps_of_run(None, cams, tmp_path / "cut.json", None, split)
    assert {stage: maps.threshold for stage, maps in stages.items()} == {"pseudo": 0.5}


def test_missing_maps_are_named(cams, split):
    (cams / f"{split.ids[1]}.npz").unlink()
    with pytest.raises(UserError, match="no maps for 1 of the 5 images of split train"):
        maps_of_run(cams, None, None, None, split)
