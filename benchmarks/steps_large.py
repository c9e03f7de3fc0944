"""The training step of the published network: at its full size on a GPU, at less on a CPU."""

from dataclasses import replace

import torch
from steps import DEFAULT, Setup, with_and_without

RESNET = replace(
    DEFAULT.model_config,
    backbone="resnet50",
    classes=tuple(f"class {k}" for k in range(20)),
    frozen_batch_norm=True,
    frozen_stem=True,
)


def published(device: torch.device) -> Setup:
    """Batches of 16 crops of 512 px; 2 of 224 px on a CPU, where those would take minutes."""
    on_gpu = device.type == "cuda"
    return Setup(model_config=RESNET, batch=16 if on_gpu else 2, side=512 if on_gpu else 224)


COMPARISONS = [
    with_and_without(
        "resnet50, K = 20, 16 x 512 px on a GPU, 2 x 224 px on a CPU", published, rounds=6
    )
]
