"""The optimizer of all trainings, SGD or AdamW, with polynomial decay of its learning rates."""

import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, cast

import torch
from torch import nn
from torch.optim import SGD, AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR

OptimizerName = Literal["sgd", "adamw"]
Kind = TypeVar("Kind", bound=Optimizer)
BETAS = (0.9, 0.999)  # of AdamW: decay of the means of gradients and of their squares
POLYNOMIAL_POWER = 0.9  # of the learning rate's decay to zero, per step (authors' code)
BIASES = ".bias"  # key of the learning rate of biases outside named attributes


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """The hyperparameters of a training run."""

    epochs: int
    learning_rates: dict[str, float]  # by group; see ``parameter_groups``
    momentum: float  # of SGD
    weight_decay: float
    optimizer: OptimizerName = "sgd"
    batch_size: int = 1  # of all processes together; for progress in images
    lr_step_interval: int = 1  # steps between changes of the learning rate
    gradient_accumulation_steps: int = 1  # equal parts of a batch, one forward pass each
    precision: torch.dtype = torch.float32  # of autocast


def parameter_groups(model: nn.Module, learning_rates: dict[str, float]) -> list[dict]:
    """Trainable parameters, grouped by attribute of the model, with the groups' learning rates.

    A re-activated variant's attributes count as the model's own. Group "" holds the parameters of
    other attributes. With a rate for ".bias", their biases form a
    group without weight decay, as published for DeepLab's head.
    """
    groups: dict[str, list[nn.Parameter]] = {name: [] for name in learning_rates}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            owner = name.removeprefix("variant.").split(".")[0]
            rest = BIASES if BIASES in groups and name.endswith(BIASES) else ""
            groups[owner if owner in groups else rest].append(parameter)
    own = {BIASES: {"weight_decay": 0.0}}  # other groups use the optimizer's
    rates = learning_rates.items()
    return [{"params": groups[name], "lr": rate, **own.get(name, {})} for name, rate in rates]


def with_exemptions(model: nn.Module, groups: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The groups, then for each one a group of its parameters that AdamW does not decay.

    Those are vectors, such as biases and the scales of norms, and the tensors that a module names
    in ``no_weight_decay``, as timm's transformers do: embeddings of positions and tokens.
    """
    exempt = set(_exempt(model))
    decayed = [[p for p in group["params"] if id(p) not in exempt] for group in groups]
    others = [[p for p in group["params"] if id(p) in exempt] for group in groups]
    first = [{**group, "params": own} for group, own in zip(groups, decayed, strict=True)]
    last = [
        {**group, "params": own, "weight_decay": 0.0}
        for group, own in zip(groups, others, strict=True)
    ]
    return [*first, *last]


def _exempt(model: nn.Module) -> Iterator[int]:
    """The identities of the parameters without weight decay."""
    for module in model.modules():
        own = dict(module.named_parameters())
        yield from (id(parameter) for parameter in own.values() if parameter.ndim < 2)
        listed = getattr(module, "no_weight_decay", None)
        yield from (id(own[name]) for name in (listed() if listed else ()) if name in own)


def _plain(kind: type[Kind]) -> type[Kind]:
    """The optimizer without torch's wrappers for its compiler, which computes the same.

    The first call of a wrapper imports the compiler, for a second, only to keep it from compiling
    the method.
    """
    wrapped = ("add_param_group", "load_state_dict", "state_dict", "zero_grad")
    methods = {name: inspect.unwrap(getattr(kind, name)) for name in wrapped}
    methods["step"] = torch.no_grad()(inspect.unwrap(kind.step))
    return cast(type[Kind], type(kind.__name__, (kind,), methods))


PlainSGD, PlainAdamW = _plain(SGD), _plain(AdamW)


def optimizer_of(
    groups: list[dict[str, Any]],
    name: OptimizerName,
    *,
    momentum: float,
    weight_decay: float,
    fused: bool | None = None,
) -> Optimizer:
    """SGD, or AdamW, which has no momentum of its own to set (Loshchilov & Hutter, ICLR 2019)."""
    if name == "adamw":
        return PlainAdamW(groups, betas=BETAS, weight_decay=weight_decay, fused=fused)
    return PlainSGD(groups, momentum=momentum, weight_decay=weight_decay, fused=fused)


def make_optimizer(model: nn.Module, recipe: Recipe, *, steps: int) -> tuple[Optimizer, LambdaLR]:
    """The optimizer over ``parameter_groups``, and the decay to zero after ``steps`` steps.

    The first groups are those of the recipe's learning rates, in their order; for AdamW those of
    ``with_exemptions`` follow.
    """
    groups = parameter_groups(model, recipe.learning_rates)
    optimizer = optimizer_of(
        with_exemptions(model, groups) if recipe.optimizer == "adamw" else groups,
        recipe.optimizer,
        momentum=recipe.momentum,
        weight_decay=recipe.weight_decay,
        fused=True,
    )

    def decay(step: int) -> float:
        return (1 - (step - step % recipe.lr_step_interval) / steps) ** POLYNOMIAL_POWER

    return optimizer, LambdaLR(optimizer, decay)
