"""The training loop: its arithmetic, and resumed runs that equal uninterrupted ones."""

import math
from dataclasses import replace

import pytest
import timm
import torch
from torch import nn
from torch.nn import functional
from torch.optim import SGD, AdamW

from recam.core.errors import UserError
from recam.io.checkpoints import load_state
from recam.pipeline.optimizer import (
    BETAS,
    Recipe,
    make_optimizer,
    optimizer_of,
    parameter_groups,
)
from recam.pipeline.training import Callbacks, EpochLoss, epochs_done, train, write_curve

CPU = torch.device("cpu")
EPOCHS, STEPS = 4, 3
RECIPE = Recipe(
    epochs=EPOCHS,
    learning_rates={"backbone": 0.05, "classifier": 0.5},
    momentum=0.9,
    weight_decay=0.01,
)


class Network(nn.Module):
    """A convolution, a batch norm with running statistics, a classifier."""

    def __init__(self, seed=0):
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.backbone = nn.Sequential(nn.Conv2d(3, 4, kernel_size=3), nn.BatchNorm2d(4), nn.ReLU())
        self.classifier = nn.Parameter(torch.randn(2, 4, generator=generator))
        nn.init.normal_(self.backbone[0].weight, generator=generator)
        nn.init.zeros_(self.backbone[0].bias)

    def loss(self, images, targets):
        logits = self.backbone(images).mean(dim=(2, 3)) @ self.classifier.T
        return {
            "bce": functional.binary_cross_entropy_with_logits(logits, targets),
            "size": 0.01 * logits.square().mean(),
        }


class Plain(Network):
    """The same without a batch norm: no image of a batch matters to another."""

    def __init__(self, seed=0):
        super().__init__(seed)
        self.backbone = nn.Sequential(self.backbone[0], nn.ReLU())


class Scalar(nn.Module):
    """One weight w; the loss w * target has the gradient target, for every w."""

    def __init__(self, start=1.0):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(start))

    def loss(self, _images, targets):
        return {"linear": (self.weight * targets).sum()}


def batches(epoch):
    """Give random batches that depend on the epoch only."""
    generator = torch.Generator().manual_seed(epoch)
    for _ in range(STEPS):
        images = torch.randn(4, 3, 5, 5, generator=generator)
        yield [images, (torch.rand(4, 2, generator=generator) < 0.5).float()]


def interrupted_in(killed_epoch):
    """Give the same batches, but stop the run after the first batch of one epoch."""

    def some_batches(epoch):
        for batch in batches(epoch):
            yield batch
            if epoch == killed_epoch:
                raise KeyboardInterrupt

    return some_batches


def gradients(*values):
    """Give one batch for each value, whose loss has this gradient."""

    def some_batches(epoch):
        return [[torch.zeros(1, 3, 1, 1), torch.tensor(value)] for value in values]

    return some_batches


def fit(
    model, some_batches, state, *, recipe=RECIPE, steps=STEPS, key="key", watch=None, judge=None
):
    return train(
        model,
        some_batches,
        steps_per_epoch=steps,
        recipe=recipe,
        device=CPU,
        state=state,
        key=key,
        callbacks=Callbacks(watch=watch, judge=judge),
    )


def fit_scalar(values, state, **numbers):
    """Train one weight for one epoch and return where it ends."""
    model = Scalar()
    defaults = {"learning_rates": {"": 0.1}, "momentum": 0.0, "weight_decay": 0.0, "epochs": 1}
    recipe = Recipe(**(defaults | numbers))
    fit(model, gradients(*values), state, recipe=recipe, steps=len(values))
    return model.weight.item()


def assert_same_tensors(one, other):
    assert one.keys() == other.keys()
    for name, tensor in one.items():
        assert torch.equal(tensor, other[name]), name


@pytest.fixture
def state(tmp_path):
    """The file of the training state."""
    return tmp_path / "last.pt"


@pytest.fixture
def unbroken(tmp_path):
    """A model trained without a break, and its curve."""
    model = Network()
    return model, fit(model, batches, tmp_path / "unbroken.pt")


@pytest.mark.parametrize("killed_epoch", [1, 2, EPOCHS])
def test_a_killed_run_ends_like_an_unbroken_one(unbroken, state, killed_epoch):
    with pytest.raises(KeyboardInterrupt):
        fit(Network(), interrupted_in(killed_epoch), state)
    resumed = Network()
    curve = fit(resumed, batches, state)
    assert_same_tensors(resumed.state_dict(), unbroken[0].state_dict())
    assert curve == unbroken[1]


def test_a_run_killed_twice_ends_like_an_unbroken_one(unbroken, state):
    for killed_epoch in (2, 4):
        with pytest.raises(KeyboardInterrupt):
            fit(Network(), interrupted_in(killed_epoch), state)
    resumed = Network()
    assert fit(resumed, batches, state) == unbroken[1]
    assert_same_tensors(resumed.state_dict(), unbroken[0].state_dict())


def test_only_the_missing_epochs_are_run_again(state):
    with pytest.raises(KeyboardInterrupt):
        fit(Network(), interrupted_in(3), state)
    seen = []

    def noted(epoch):
        seen.append(epoch)
        return batches(epoch)

    fit(Network(), noted, state)
    assert seen == [3, 4]


def test_weights_come_from_the_state_and_not_from_a_new_start(unbroken, state):
    with pytest.raises(KeyboardInterrupt):
        fit(Network(seed=0), interrupted_in(3), state)
    resumed = Network(seed=1)
    fit(resumed, batches, state)
    assert_same_tensors(resumed.state_dict(), unbroken[0].state_dict())


def test_a_finished_run_is_not_trained_further(unbroken, state):
    fit(Network(), batches, state)
    again = Network(seed=1)
    assert fit(again, interrupted_in(1), state) == unbroken[1]
    assert_same_tensors(again.state_dict(), unbroken[0].state_dict())


def test_another_key_starts_afresh(unbroken, state):
    with pytest.raises(KeyboardInterrupt):
        fit(Network(), interrupted_in(3), state, key="other parameters")
    model = Network()
    curve = fit(model, batches, state)
    assert curve == unbroken[1]
    assert_same_tensors(model.state_dict(), unbroken[0].state_dict())


def test_a_damaged_state_is_named(state):
    state.write_bytes(b"damaged")
    with pytest.raises(UserError, match=r"last\.pt: damaged, or not a file of plain tensors"):
        fit(Network(), batches, state)


def test_the_state_holds_plain_tensors_only(state):
    fit(Network(), batches, state)
    assert set(load_state(state)) == {"key", "curve", "model", "optimizer", "schedule"}


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_is_named(state, value):
    model = Scalar()
    recipe = Recipe(epochs=1, learning_rates={"": 0.1}, momentum=0.0, weight_decay=0.0)
    with pytest.raises(
        UserError, match=f"loss linear: expected a finite mean, got {value}; training diverged"
    ):
        fit(model, gradients(1.0, value), state, recipe=recipe, steps=2)
    assert not state.exists()


def test_a_step_goes_down_the_gradient(state):
    assert fit_scalar([2.0], state) == pytest.approx(1 - 0.1 * 2)


def test_weight_decay_adds_its_share_of_the_weight_to_the_gradient(state):
    assert fit_scalar([2.0], state, weight_decay=0.5) == pytest.approx(1 - 0.1 * (2 + 0.5 * 1))


def test_momentum_repeats_the_last_step(state):
    decayed = 0.1 * (1 - 1 / 2) ** 0.9  # the learning rate of the second of two steps
    expected = 1 - 0.1 * 2 - decayed * (0.7 * 2 + 3)
    assert fit_scalar([2.0, 3.0], state, momentum=0.7) == pytest.approx(expected)


def test_the_learning_rate_decays_with_the_power_of_the_steps_left(state):
    rates = [0.1 * (left / 4) ** 0.9 for left in (4, 3, 2, 1)]
    assert fit_scalar([1.0, 1.0], state, epochs=2) == pytest.approx(1 - sum(rates))


def test_a_staircase_holds_the_learning_rate_for_some_steps(state):
    """Six steps in two epochs: four at the initial learning rate, two at that of step five."""
    rates = [0.1] * 4 + [0.1 * (2 / 6) ** 0.9] * 2
    ended = fit_scalar([1.0, 1.0], state, epochs=3, lr_step_interval=4)
    assert ended == pytest.approx(1 - sum(rates))


def test_losses_are_added(state):
    class Two(Scalar):
        def loss(self, _images, targets):
            return {"one": self.weight * targets, "two": 3 * self.weight * targets}

    model = Two()
    recipe = Recipe(epochs=1, learning_rates={"": 0.1}, momentum=0.0, weight_decay=0.0)
    fit(model, gradients(1.0), state, recipe=recipe, steps=1)
    assert model.weight.item() == pytest.approx(1 - 0.1 * (1 + 3))


def test_the_curve_holds_the_mean_of_each_loss(state):
    model = Scalar()
    recipe = Recipe(epochs=2, learning_rates={"": 0.1}, momentum=0.0, weight_decay=0.0)
    curve = fit(model, gradients(0.0, 0.0), state, recipe=recipe, steps=2)
    assert curve == [
        EpochLoss(epoch=1, loss="linear", value=0.0),
        EpochLoss(epoch=2, loss="linear", value=0.0),
    ]


def test_the_mean_is_over_the_batches_as_they_were_trained_on(state):
    model = Scalar()
    recipe = Recipe(epochs=1, learning_rates={"": 0.5}, momentum=0.0, weight_decay=0.0)
    (line,) = fit(model, gradients(1.0, 2.0), state, recipe=recipe, steps=2)
    # Loss 1 * 1, then the weight is 1/2 and the loss 1/2 * 2.
    assert line.value == pytest.approx(1.0)


def test_a_model_is_left_in_training_mode(unbroken):
    assert unbroken[0].training
    assert unbroken[0].backbone[1].num_batches_tracked == EPOCHS * STEPS


def test_every_parameter_is_in_one_group():
    model = Network()
    groups = parameter_groups(model, {"classifier": 0.5, "": 0.05})
    assert [group["lr"] for group in groups] == [0.5, 0.05]
    assert groups[0]["params"] == [model.classifier]
    given = [id(p) for group in groups for p in group["params"]]
    assert sorted(given) == sorted(id(p) for p in model.parameters())


def test_frozen_parameters_are_in_no_group():
    model = Network()
    model.backbone[0].requires_grad_(requires_grad=False)
    (group, _) = parameter_groups(model, {"backbone": 0.1, "classifier": 0.1})
    assert len(group["params"]) == 2  # the affine parameters of the norm


def test_a_frozen_parameter_does_not_move(state):
    model = Network()
    model.backbone[0].requires_grad_(requires_grad=False)
    before = model.backbone[0].weight.clone()
    fit(model, batches, state)
    assert torch.equal(model.backbone[0].weight, before)


def test_biases_that_are_left_have_a_group_that_does_not_decay():
    model = nn.ModuleDict(
        {"backbone": nn.Linear(2, 2), "head": nn.Linear(2, 3), "tail": nn.Linear(3, 1)}
    )
    model["tail"].bias.requires_grad_(requires_grad=False)
    groups = parameter_groups(model, {"backbone": 0.1, "": 1.0, ".bias": 2.0})
    backbone, head, tail = model["backbone"], model["head"], model["tail"]
    assert groups == [
        {"params": [backbone.weight, backbone.bias], "lr": 0.1},
        {"params": [head.weight, tail.weight], "lr": 1.0},
        {"params": [head.bias], "lr": 2.0, "weight_decay": 0.0},
    ]


def test_only_the_bias_group_is_spared_the_decay(state):
    """The gradient is 0: the weight shrinks by its decay, the bias stays."""

    class Line(nn.Module):
        def __init__(self):
            super().__init__()
            self.head = nn.Linear(1, 1)
            nn.init.ones_(self.head.weight)
            nn.init.ones_(self.head.bias)

        def loss(self, _images, _targets):
            return {"none": 0 * (self.head.weight.sum() + self.head.bias.sum())}

    model = Line()
    rates = {"": 0.1, ".bias": 0.2}
    recipe = Recipe(epochs=1, learning_rates=rates, momentum=0.0, weight_decay=0.5)
    fit(model, gradients(0.0), state, recipe=recipe, steps=1)
    assert model.head.weight.item() == pytest.approx(1 - 0.1 * 0.5)
    assert model.head.bias.item() == 1


def test_a_part_may_be_absent_from_the_model(state):
    """The control has no reclassifier, yet is given the learning rate of one."""
    rates = {"backbone": 0.05, "classifier": 0.05, "reclassifier": 0.5}
    recipe = Recipe(epochs=1, learning_rates=rates, momentum=0.9, weight_decay=0.0)
    assert len(fit(Network(), batches, state, recipe=recipe)) == 2


# Parts of a batch


@pytest.mark.parametrize("parts", [2, 4])
def test_a_batch_in_parts_trains_as_a_whole_one(state, tmp_path, parts):
    whole, divided = Plain(), Plain()
    expected = fit(whole, batches, tmp_path / "whole.pt")
    curve = fit(divided, batches, state, recipe=replace(RECIPE, gradient_accumulation_steps=parts))
    for name, tensor in divided.state_dict().items():
        torch.testing.assert_close(tensor, whole.state_dict()[name], rtol=0, atol=1e-6)
    for line, other in zip(curve, expected, strict=True):
        assert line.value == pytest.approx(other.value, abs=1e-6)


def test_a_network_sees_one_part_at_a_time(state):
    seen = []

    class Noting(Plain):
        def loss(self, images, targets):
            seen.append((len(images), len(targets)))
            return super().loss(images, targets)

    fit(Noting(), batches, state, recipe=replace(RECIPE, gradient_accumulation_steps=2, epochs=1))
    assert seen == [(2, 2)] * (2 * STEPS)


def test_parts_must_divide_a_batch(state):
    model = Network()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(UserError) as caught:
        fit(model, batches, state, recipe=replace(RECIPE, gradient_accumulation_steps=3))
    assert (
        str(caught.value)
        == "gradient_accumulation_steps: expected a divisor of batch_size (4), got 3; change one"
    )
    assert_same_tensors(model.state_dict(), before)


def test_a_killed_run_in_parts_on_a_staircase_ends_like_an_unbroken_one(state, tmp_path):
    recipe = replace(RECIPE, gradient_accumulation_steps=2, lr_step_interval=5)
    unbroken, resumed = Network(), Network()
    expected = fit(unbroken, batches, tmp_path / "unbroken.pt", recipe=recipe)
    with pytest.raises(KeyboardInterrupt):
        fit(Network(), interrupted_in(3), state, recipe=recipe)
    assert fit(resumed, batches, state, recipe=recipe) == expected
    assert_same_tensors(resumed.state_dict(), unbroken.state_dict())


# Checks during an epoch

LONG = replace(RECIPE, epochs=3, learning_rates={"": 0.001})
SIXTY = gradients(*([1.0] * 60))


def test_a_run_is_watched_every_fifty_steps(state):
    calls = []
    fit(Scalar(), SIXTY, state, recipe=LONG, steps=60, watch=lambda *steps: calls.append(steps))
    assert calls == [(50, 180), (100, 180), (150, 180)]


def test_the_judge_is_asked_before_training_and_after_every_epoch(state):
    model = Scalar()
    curve = fit(
        model,
        SIXTY,
        state,
        recipe=LONG,
        steps=60,
        judge=lambda: {"weight": model.weight.item(), "training": float(model.training)},
    )
    values = [(line.epoch, line.value) for line in curve if line.loss == "weight"]
    assert [epoch for epoch, _ in values] == [0, 1, 2, 3]
    assert values[0][1] == Scalar().weight.item()
    assert values[3][1] == model.weight.item()
    assert values == sorted(values, key=lambda point: -point[1])  # each step goes down by lr


def test_a_resumed_run_does_not_ask_the_judge_again(state):
    calls = []

    def judge():
        calls.append(1)
        return {"calls": float(len(calls))}

    first = fit(Scalar(), SIXTY, state, recipe=replace(LONG, epochs=3), steps=60, judge=judge)
    again = fit(Scalar(), SIXTY, state, recipe=replace(LONG, epochs=3), steps=60, judge=judge)
    assert again == first
    assert len(calls) == 4


def test_a_run_that_its_watcher_stops_goes_on_later_like_an_unbroken_one(state, tmp_path):
    def stop(done, _steps):
        if done == 100:
            raise UserError("went wrong")

    with pytest.raises(UserError, match="went wrong"):
        fit(Scalar(), SIXTY, state, recipe=LONG, steps=60, watch=stop)
    assert epochs_done(state, key="key") == 1

    calls = []
    resumed, unbroken = Scalar(), Scalar()
    expected = fit(unbroken, SIXTY, tmp_path / "unbroken.pt", recipe=LONG, steps=60)
    watched = {"steps": 60, "watch": lambda done, _steps: calls.append(done)}
    assert fit(resumed, SIXTY, state, recipe=LONG, **watched) == expected
    assert resumed.weight.item() == unbroken.weight.item()
    assert calls == [100, 150]


def test_a_loss_that_is_not_finite_stops_a_long_epoch_at_the_next_check(state):
    done = []

    def noted(epoch):
        for step in range(1, 201):
            done.append(step)
            target = math.nan if step == 60 else 1.0
            yield [torch.zeros(1, 3, 1, 1), torch.tensor(target)]

    with pytest.raises(
        UserError, match="loss linear: expected a finite mean, got nan; training diverged"
    ):
        fit(Scalar(), noted, state, recipe=LONG, steps=200)
    assert done[-1] == 100
    assert not state.exists()


def test_a_curve_is_written_as_a_table(tmp_path):
    lines = [
        EpochLoss(epoch=1, loss="bce", value=0.5),
        EpochLoss(epoch=2, loss="bce", value=1 / 3),
    ]
    write_curve(tmp_path / "curve.csv", lines)
    written = (tmp_path / "curve.csv").read_text()
    assert written == "epoch,loss,value\n1,bce,0.500000\n2,bce,0.333333\n"


def test_no_epoch_is_done_where_there_is_no_state(state):
    assert epochs_done(state, key="key") == 0


def test_the_epochs_of_a_finished_run_are_done(state):
    recipe = Recipe(epochs=2, learning_rates={"": 0.1}, momentum=0.0, weight_decay=0.0)
    fit(Network(), batches, state, recipe=recipe)  # two losses an epoch
    assert epochs_done(state, key="key") == 2


def test_the_epochs_of_another_run_are_not_done(state):
    fit(Network(), batches, state, key="other parameters")
    assert epochs_done(state, key="key") == 0


@pytest.mark.parametrize("killed_epoch", [1, 3])
def test_the_epoch_in_which_a_run_was_killed_is_not_done(state, killed_epoch):
    with pytest.raises(KeyboardInterrupt):
        fit(Network(), interrupted_in(killed_epoch), state)
    assert epochs_done(state, key="key") == killed_epoch - 1


def test_epochs_of_a_damaged_state_are_unknown(state):
    state.write_bytes(b"damaged")
    with pytest.raises(UserError, match=r"last\.pt: damaged, or not a file of plain tensors"):
        epochs_done(state, key="key")


# AdamW

RATE, DECAY = 0.1, 0.2
ADAMW = Recipe(
    epochs=1,
    learning_rates={"": RATE},
    momentum=0.7,  # is ignored
    weight_decay=DECAY,
    optimizer="adamw",
)


class Matrix(Scalar):
    """The one weight as a matrix, which AdamW decays."""

    def __init__(self, start=1.0):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([[start]]))


def test_steps_of_adamw_by_hand(state):
    model = Matrix()
    fit(model, gradients(3.0, -2.0), state, recipe=ADAMW, steps=2)
    first, second = RATE, RATE * (1 - 1 / 2) ** 0.9  # the polynomial decay
    # The means of the first step, corrected, are its gradient and its square.
    expected = 1 - first * DECAY - first * 3 / abs(3)
    mean = (BETAS[0] * (1 - BETAS[0]) * 3 + (1 - BETAS[0]) * -2) / (1 - BETAS[0] ** 2)
    square = (BETAS[1] * (1 - BETAS[1]) * 9 + (1 - BETAS[1]) * 4) / (1 - BETAS[1] ** 2)
    expected = expected * (1 - second * DECAY) - second * mean / square**0.5
    assert model.weight.item() == pytest.approx(expected)


def test_a_weight_that_is_no_matrix_does_not_decay(state):
    model = Scalar()
    fit(model, gradients(0.0), state, recipe=ADAMW, steps=1)
    assert model.weight.item() == 1.0


def test_only_matrices_of_a_transformer_that_are_no_embedding_decay():
    model = nn.Module()
    model.backbone = timm.create_model("test_vit", num_classes=0)
    model.classifier = nn.Parameter(torch.ones(2, 64))
    rates = {"backbone": 0.1, "classifier": 0.2, "reclassifier": 0.3}
    optimizer, _ = make_optimizer(model, replace(ADAMW, learning_rates=rates), steps=1)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    groups = optimizer.param_groups
    assert [group["lr"] for group in groups] == [0.1, 0.2, 0.3] * 2
    assert [group["weight_decay"] for group in groups] == [DECAY] * 3 + [0.0] * 3
    decayed, exempt = (
        {names[id(p)] for g in half for p in g["params"]} for half in (groups[:3], groups[3:])
    )
    assert decayed | exempt == set(names.values())
    assert {"backbone.pos_embed", "backbone.cls_token"} <= exempt
    assert all(name.endswith(".weight") or name == "classifier" for name in decayed)
    assert all("norm" in name or name.endswith(("bias", "embed", "token")) for name in exempt)


@pytest.mark.parametrize("killed_epoch", [1, 3])
def test_a_killed_run_of_adamw_ends_like_an_unbroken_one(state, tmp_path, killed_epoch):
    recipe = replace(RECIPE, optimizer="adamw")
    unbroken, resumed = Network(), Network()
    expected = fit(unbroken, batches, tmp_path / "unbroken.pt", recipe=recipe)
    with pytest.raises(KeyboardInterrupt):
        fit(Network(), interrupted_in(killed_epoch), state, recipe=recipe)
    assert fit(resumed, batches, state, recipe=recipe) == expected
    assert_same_tensors(resumed.state_dict(), unbroken.state_dict())


def test_another_optimizer_trains_other_weights(state, tmp_path):
    one, other = Network(), Network()
    fit(one, batches, state)
    fit(other, batches, tmp_path / "other.pt", recipe=replace(RECIPE, optimizer="adamw"))
    assert not torch.equal(one.classifier, other.classifier)


# Wrappers of torch's optimizers


@pytest.mark.parametrize(("name", "kind"), [("sgd", SGD), ("adamw", AdamW)])
def test_an_optimizer_without_wrappers_steps_as_that_of_torch(name, kind):
    numbers = {"lr": RATE, "weight_decay": DECAY, "fused": True}
    numbers |= {"momentum": 0.7} if name == "sgd" else {"betas": BETAS}
    parameters = [nn.Parameter(torch.tensor([[1.0, 2.0]])) for _ in range(2)]
    groups = [{"params": parameters[:1], "lr": RATE}]
    ours = optimizer_of(groups, name, momentum=0.7, weight_decay=DECAY, fused=True)
    theirs = kind(parameters[1:], **numbers)
    for gradient in (3.0, -2.0, 1.0):
        for optimizer, parameter in zip((ours, theirs), parameters, strict=True):
            optimizer.zero_grad()
            (gradient * parameter.square()).sum().backward()
            optimizer.step()
        ours.load_state_dict(ours.state_dict())
    assert torch.equal(*parameters)
    assert isinstance(ours, kind)
