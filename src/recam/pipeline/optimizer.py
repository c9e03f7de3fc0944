"""The optimizer of all trainings: SGD with polynomial decay, and its hyperparameters."""

from dataclasses import dataclass

import torch
from torch import nn
from torch.optim import SGD
from torch.optim.lr_scheduler import LambdaLR

POLYNOMIAL_POWER = 0.9  # of the learning rate's decay to zero, per step (authors' code)
BIASES = ".bias"  # key of the learning rate of biases outside named attributes


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """The hyperparameters of a training run."""

    epochs: int
    learning_rates: dict[str, float]  # by group; see ``parameter_groups``
    momentum: float
    weight_decay: float
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


def make_optimizer(model: nn.Module, recipe: Recipe, *, steps: int) -> tuple[SGD, LambdaLR]:
    """SGD over ``parameter_groups``, and the decay to zero after ``steps`` steps."""
    optimizer = SGD(
        parameter_groups(model, recipe.learning_rates),
        momentum=recipe.momentum,
        weight_decay=recipe.weight_decay,
        fused=True,
    )

    def decay(step: int) -> float:
        return (1 - (step - step % recipe.lr_step_interval) / steps) ** POLYNOMIAL_POWER

    return optimizer, LambdaLR(optimizer, decay)
