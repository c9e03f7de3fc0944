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
    """Calls every pixel by the same id."""

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
    """A watch over a network that was shown one mask: 30 of 100 judged pixels are a cat."""
    model = Constant(answer)
    watch = Watch(model, remedy="correct them")
    watch.last = last
    mask = torch.zeros((1, 20, 10), dtype=torch.uint8)
    mask[0, :3], mask[0, 10:] = 1, IGNORE
    model.loss(torch.zeros(1, 3, 20, 10), mask)
    return watch


def test_a_network_that_calls_everything_background_is_stopped():
    with pytest.raises(UserError) as caught:
        watched(answer=0)(1_050, 20_000)
    assert str(caught.value) == (
        "after 1050 of 20000 steps the segmenter calls 0.00 % of the pixels something else than "
        "background, its masks 30.00 %: either its learning rate is too high, so lower lr_head, "
        "lr_head_bias and lr; or its masks are of no use, so look at some and correct them"
    )


@pytest.mark.parametrize(
    ("answer", "last", "steps"),
    [
        (0, 950, 20_000),  # 5 % of a long run are its warm-up
        (0, 450, 2_000),  # else 500 steps
        (0, 49, 100),  # or half of a short one
        (0, None, 100),  # the first look, perhaps in a run that goes on
        (2, 1_000, 20_000),  # it finds something
    ],
)
def test_a_young_network_or_one_that_finds_something_goes_on(answer, last, steps):
    watch = watched(answer, last=last)
    watch((last or 0) + 50, steps)
    assert watch.last == (last or 0) + 50


@pytest.mark.parametrize(("last", "steps"), [(1_000, 20_000), (500, 2_000), (50, 100)])
def test_what_was_found_after_the_warm_up_is_judged(last, steps):
    with pytest.raises(UserError):
        watched(answer=0, last=last)(last + 50, steps)


def test_only_what_was_found_since_the_last_look_counts():
    watch = watched(answer=2)
    watch(1_050, 20_000)
    watch.model.answer = 0
    mask = torch.ones((1, 20, 10), dtype=torch.uint8)
    watch.model.loss(torch.zeros(1, 3, 20, 10), mask)
    assert watch.model.foreground.shares() == (1.0, 0.0)
    watch(2_000, 20_000)  # nothing was seen since
