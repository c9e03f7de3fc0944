"""Gradients of dilated depthwise convolutions on a CPU: ours beside PyTorch's own."""

from typing import cast

import torch
from protocol import Comparison, Maker, Setting, Variant
from steps import DEFAULT, noise_batch
from torch import Tensor, nn
from torch.optim import SGD

from recam.catalogue.methods import make_classifier
from recam.models.depthwise import DilatedDepthwise, use_fast_depthwise_gradients

B, C, SIDE = 16, 1152, 8  # of the default's last stage but one, in training
TOLERANCE = 1e-2  # of gradients of weights, around 100


def layer(*, ours: bool) -> Maker:
    """Both gradients of one layer, of 5 x 5 weights two pixels apart."""

    def make(_: Setting) -> Variant:
        torch.manual_seed(0)
        convolution = nn.Conv2d(C, C, 5, padding=4, dilation=2, groups=C, bias=False)
        if ours:
            use_fast_depthwise_gradients(convolution)
        images, back = (
            torch.randn(B, C, SIDE, SIDE).to(memory_format=torch.channels_last) for _ in range(2)
        )
        made = cast(Tensor, convolution(images.requires_grad_()))
        wanted = (convolution.weight, images)

        def run() -> Tensor:
            return torch.autograd.grad(made, wanted, grad_outputs=back, retain_graph=True)[0]

        return run

    return make


def step(*, ours: bool) -> Maker:
    """A training step of the default's classifier."""

    def make(_: Setting) -> Variant:
        device = torch.device("cpu")
        model = make_classifier(DEFAULT.model_config).train().to(memory_format=torch.channels_last)
        if not ours:
            for module in model.modules():
                if isinstance(module, DilatedDepthwise):
                    module.__class__ = nn.Conv2d  # pyright: ignore[reportAttributeAccessIssue]
        optimizer = SGD(model.parameters(), lr=1e-3, momentum=0.9, weight_decay=1e-4, fused=True)
        images, labels = noise_batch(DEFAULT, device=device)

        def run() -> None:
            optimizer.zero_grad(set_to_none=True)
            torch.stack(list(model.loss(images, labels).values())).sum().backward()
            optimizer.step()

        return run

    return make


COMPARISONS = [
    Comparison(
        name=name,
        variants={"ours": maker(ours=True), "PyTorch's": maker(ours=False)},
        rounds=rounds,
        memory=False,
        tolerance=tolerance,
        on_cpu=True,
    )
    for name, maker, rounds, tolerance in (
        (f"gradients of a layer, {B} x {C} x {SIDE} x {SIDE}", layer, 9, TOLERANCE),
        ("training step, tf_efficientnet_lite0, 16 x 128 px", step, 9, None),
    )
]
