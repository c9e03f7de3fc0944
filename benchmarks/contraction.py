"""Pooling features by class: one contraction against the product that spells every term out."""

from functools import cache

import torch
from protocol import Comparison, Maker, Setting, Variant
from torch import Tensor

from recam.methods.recam import pool_by_class

B, K, C, SIDE = 16, 20, 2048, 32  # VOC with ResNet-50: crops of 512 px at output stride 16
TOLERANCE = 1e-4  # of values around 0.25


def explicit_pool(evidence: Tensor, features: Tensor) -> Tensor:
    """The (B, K, C, h, w) product of maps and features, and its mean over space, term by term."""
    return (evidence[:, :, None] * features[:, None]).mean(dim=(3, 4))


@cache
def inputs(device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Maps (B, K, h, w), features (B, C, h, w) and the gradient (B, K, C) that comes back.

    Contiguous, as the product is slower still on channels-last tensors.
    """
    generator = torch.Generator().manual_seed(0)
    shapes = ((B, K, SIDE, SIDE), (B, C, SIDE, SIDE), (B, K, C))
    evidence, features, gradient = (
        torch.rand(shape, generator=generator).to(device) for shape in shapes
    )
    return evidence.requires_grad_(), features.requires_grad_(), gradient


def forward(*, explicit: bool) -> Maker:
    """Pooling without gradients."""
    pool = explicit_pool if explicit else pool_by_class

    def make(setting: Setting) -> Variant:
        evidence, features, _ = inputs(setting.device)
        return torch.no_grad()(lambda: pool(evidence, features))

    return make


def forward_and_backward(*, explicit: bool) -> Maker:
    """Pooling, and the gradients of maps and features."""
    pool = explicit_pool if explicit else pool_by_class

    def make(setting: Setting) -> Variant:
        evidence, features, gradient = inputs(setting.device)

        def run() -> Tensor:
            of_both = torch.autograd.grad(
                pool(evidence, features), (evidence, features), grad_outputs=gradient
            )
            return of_both[1]

        return run

    return make


COMPARISONS = [
    Comparison(
        name=name,
        variants={
            "contraction": maker(explicit=False),
            "(B, K, C, h, w) product": maker(explicit=True),
        },
        rounds=rounds,
        memory=True,
        tolerance=TOLERANCE,
    )
    for name, maker, rounds in (
        ("forward", forward, 5),
        ("forward and backward", forward_and_backward, 3),
    )
]
