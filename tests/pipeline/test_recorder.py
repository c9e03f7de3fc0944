"""Live logs of a training: every step once, also after a kill, and never in its way."""

import logging
from functools import partial

import pytest
import torch
from torch import nn

from recam.catalogue.live_logs import LIVE_LOGS
from recam.pipeline.optimizer import Recipe
from recam.pipeline.recorder import Recorder
from recam.pipeline.training import Callbacks, train

EPOCHS, STEPS = 2, 12
LR = 0.01
TOTAL = EPOCHS * STEPS


class Scalar(nn.Module):
    """One weight w; the loss w has the gradient 1, so that w falls by the learning rates."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(1.0))

    def loss(self, _images, targets):
        return {"linear": (self.weight * targets).sum()}


def batches(epoch, *, kill_after=None):
    for step in range(1, STEPS + 1):
        yield [torch.zeros(1, 3, 1, 1), torch.ones(1)]
        if (epoch, step) == kill_after:
            raise KeyboardInterrupt


def fit(tmp_path, record=None, *, kill_after=None):
    """Train the weight, and return where it ends."""
    model = Scalar()
    recipe = Recipe(
        epochs=EPOCHS, learning_rates={"": LR}, momentum=0.0, weight_decay=0.0, batch_size=4
    )
    train(
        model,
        partial(batches, kill_after=kill_after),
        steps_per_epoch=STEPS,
        recipe=recipe,
        device=torch.device("cpu"),
        state=tmp_path / "last.pt",
        key="key",
        callbacks=Callbacks(judge=lambda: {"held-out linear": 0.5}, record=record),
    )
    return model.weight.item()


def recorder(name, folder, picture=None):
    make = LIVE_LOGS[name]
    return Recorder(lambda done: make(folder, done=done), batch_size=4, picture=picture)


def points(name, folder):
    """The curves of a log as its own viewer reads them: name -> (step, value) pairs."""
    if name == "tensorboard":
        reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
        events = reader.EventAccumulator(str(folder)).Reload()
        return {
            tag: [(event.step, event.value) for event in events.Scalars(tag)]
            for tag in events.Tags()["scalars"]
        }
    root = folder / "plots/metrics"
    rows = {
        file.relative_to(root).with_suffix("").as_posix(): file.read_text().split()[2:]
        for file in root.rglob("*.tsv")
    }
    return {
        n: [(int(a), float(b)) for a, b in zip(r[::2], r[1::2], strict=True)]
        for n, r in rows.items()
    }


def rates():
    """Learning rates of the steps, by the formula of polynomial decay."""
    return [LR * (1 - step / TOTAL) ** 0.9 for step in range(TOTAL)]


@pytest.fixture(params=sorted(LIVE_LOGS))
def name(request):
    pytest.importorskip(request.param)
    return request.param


def test_every_step_has_its_loss_and_its_learning_rate(name, tmp_path):
    fit(tmp_path, recorder(name, tmp_path / "log"))
    found = points(name, tmp_path / "log")
    weights = [1 - sum(rates()[:step]) for step in range(TOTAL)]
    assert [step for step, _ in found["loss/linear"]] == list(range(1, TOTAL + 1))
    assert [loss for _, loss in found["loss/linear"]] == pytest.approx(weights, abs=1e-5)
    assert [rate for _, rate in found["lr/others"]] == pytest.approx(rates())
    means = [sum(weights[:STEPS]) / STEPS, sum(weights[STEPS:]) / STEPS]
    assert [step for step, _ in found["epoch/linear"]] == [STEPS, TOTAL]
    assert [mean for _, mean in found["epoch/linear"]] == pytest.approx(means, abs=1e-5)
    assert found["epoch/held-out_linear"] == [(0, 0.5), (STEPS, 0.5), (TOTAL, 0.5)]
    assert all(speed > 0 for _, speed in found["speed/images_per_second"])


def test_the_steps_of_a_second_round_follow_those_of_the_first(name, tmp_path):
    make = LIVE_LOGS[name]
    for first in (0, TOTAL):
        fit(
            tmp_path / str(first),
            Recorder(lambda done: make(tmp_path / "log", done=done), batch_size=4, first=first),
        )
    steps = [step for step, _ in points(name, tmp_path / "log")["loss/linear"]]
    assert steps == list(range(1, 2 * TOTAL + 1))


@pytest.mark.parametrize("kill_after", [(1, 11), (2, 11)])
def test_a_resumed_run_continues_the_curves_without_a_step_twice(name, tmp_path, kill_after):
    fit(tmp_path / "unbroken", recorder(name, tmp_path / "unbroken/log"))
    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path, recorder(name, tmp_path / "log"), kill_after=kill_after)
    fit(tmp_path, recorder(name, tmp_path / "log"))
    expected, found = (points(name, tmp_path / at) for at in ("unbroken/log", "log"))
    for curves in (expected, found):
        steps = [step for step, _ in curves.pop("speed/images_per_second")]
        assert len(steps) == len(set(steps))
    assert found == expected


def test_a_new_training_replaces_the_curves_of_the_former_one(name, tmp_path):
    for attempt in ("first", "second"):
        fit(tmp_path / attempt, recorder(name, tmp_path / "log"))
    steps = [step for step, _ in points(name, tmp_path / "log")["loss/linear"]]
    assert steps == list(range(1, TOTAL + 1))


def test_the_picture_of_each_epoch_is_kept(tmp_path):
    pytest.importorskip("dvclive")
    grey = torch.full((2, 5, 3), 128, dtype=torch.uint8).numpy()
    killed = recorder("dvclive", tmp_path / "log", picture=lambda: grey)
    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path, killed, kill_after=(2, 11))
    (tmp_path / "log/plots/images/picture/20.png").touch()  # of the killed run, after its epoch
    for name, cut in (("empty", ""), ("half", "step\thalf\n1\t2.0\n2")):  # by the kill
        (tmp_path / f"log/plots/metrics/{name}.tsv").write_text(cut)
    fit(tmp_path, recorder("dvclive", tmp_path / "log", picture=lambda: grey))
    names = {file.name for file in (tmp_path / "log/plots/images/picture").iterdir()}
    assert names == {"0.png", f"{STEPS}.png", f"{TOTAL}.png"}
    assert (tmp_path / "log/plots/metrics/half.tsv").read_text() == "step\thalf\n1\t2.0\n"


def test_a_log_that_cannot_be_written_gives_one_warning(name, tmp_path, caplog):
    without = fit(tmp_path / "without")
    (tmp_path / "file").write_text("in the way")
    with caplog.at_level(logging.WARNING):
        assert fit(tmp_path, recorder(name, tmp_path / "file/log")) == without
    warnings = [line for line in caplog.messages if "the log of `watch` ends here" in line]
    assert len(warnings) == 1


def test_a_picture_that_fails_gives_one_warning(name, tmp_path, caplog):
    def broken():
        raise RuntimeError("no memory")

    with caplog.at_level(logging.WARNING):
        fit(tmp_path, recorder(name, tmp_path / "log", picture=broken))
    assert [line for line in caplog.messages if "`watch`" in line] == [
        "warning: the log of `watch` ends here, training goes on: RuntimeError: no memory"
    ]
