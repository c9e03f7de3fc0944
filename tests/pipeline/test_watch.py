"""The watchdog stops a segmenter that predicts only background."""

import pytest
import torch
from torch import nn

from recam.core.errors import UserError
from recam.core.labels import IGNORE
from recam.models.segmenters import Segmenter
from recam.pipeline.watch import Watch

NUM_IDS = 4  # background and three classes


class Constant(Segmenter):
    """Predicts the same id at every pixel."""

    def __init__(self, answer):
        super().__init__()
        self.backbone = nn.Identity()
        self.answer = answer

    def logits(self, images):
        """High for the answer, low for the others."""
        logits = torch.zeros(len(images), NUM_IDS, *images.shape[2:])
        logits[:, self.answer] = 1
        return logits


def watched(answer, *, last=1_000):
    """A watch on a network trained on one mask: 30 of 100 judged pixels are of class 1."""
    model = Constant(answer)
    watch = Watch(model, remedy="correct them")
    watch.last = last
    mask = torch.zeros((1, 20, 10), dtype=torch.uint8)
    mask[0, :3], mask[0, 10:] = 1, IGNORE
    model.loss(torch.zeros(1, 3, 20, 10), mask)
    return watch


def test_a_network_that_predicts_only_background_is_stopped():
    with pytest.raises(UserError) as caught:
        watched(answer=0)(1_050, 20_000)
    assert str(caught.value) == (
        "after 1050 of 20000 steps the segmenter predicts 0.00 % foreground, and its masks have "
        "30.00 %: if the learning rate is too high, lower lr_head, lr_head_bias and lr; if the "
        "masks are bad, inspect some and correct them"
    )


@pytest.mark.parametrize(
    ("answer", "last", "steps"),
    [
        (0, 950, 20_000),  # the warm-up of a long run is 5 % of it
        (0, 450, 2_000),  # otherwise 500 steps
        (0, 49, 100),  # or half of a short run
        (0, None, 100),  # the first check, perhaps of a resumed run
        (2, 1_000, 20_000),  # some foreground
    ],
)
def test_training_continues_during_the_warm_up_and_with_some_foreground(answer, last, steps):
    watch = watched(answer, last=last)
    watch((last or 0) + 50, steps)
    assert watch.last == (last or 0) + 50


@pytest.mark.parametrize(("last", "steps"), [(1_000, 20_000), (500, 2_000), (50, 100)])
def test_predictions_after_the_warm_up_are_judged(last, steps):
    with pytest.raises(UserError):
        watched(answer=0, last=last)(last + 50, steps)


def test_only_predictions_since_the_last_check_count():
    watch = watched(answer=2)
    watch(1_050, 20_000)
    watch.model.answer = 0
    mask = torch.ones((1, 20, 10), dtype=torch.uint8)
    watch.model.loss(torch.zeros(1, 3, 20, 10), mask)
    assert watch.model.foreground.shares() == (1.0, 0.0)
    watch(2_000, 20_000)  # no batch since
