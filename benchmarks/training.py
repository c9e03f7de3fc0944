"""One training step with the softmax loss against the same step without it."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from protocol import Comparison, Maker, Setting, Variant
from torch import Tensor
from torch.optim import SGD

from recam.catalogue.methods import make_classifier
from recam.io.checkpoints import ModelConfig

PRESENT = 2  # classes of an image
LEARNING_RATE = 1e-3  # small: the inputs are noise, and their loss must stay finite


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """A network and the size of its batches."""

    model_config: ModelConfig
    batch: int
    side: int  # pixels


DEFAULT = Setup(
    model_config=ModelConfig(
        method="cam",
        backbone="tf_efficientnet_lite0",
        output_stride=16,
        classes=tuple(f"class {k}" for k in range(8)),
        frozen_batch_norm=False,
        frozen_stem=False,
        weight=1.0,
    ),
    batch=16,
    side=128,
)


def training_step(setup: Callable[[torch.device], Setup], *, method: str) -> Maker:
    """Forward, backward and SGD, as ``recam.pipeline.training`` does them."""

    def make(setting: Setting) -> Variant:
        chosen = setup(setting.device)
        model = make_classifier(replace(chosen.model_config, method=method)).train()
        model.to(setting.device).to(memory_format=torch.channels_last)
        optimizer = SGD(
            model.parameters(), lr=LEARNING_RATE, momentum=0.9, weight_decay=1e-4, fused=True
        )
        images, labels = noise_batch(chosen, device=setting.device)

        def step() -> None:
            losses = model.loss(images, labels)
            optimizer.zero_grad(set_to_none=True)
            torch.stack(list(losses.values())).sum().backward()
            optimizer.step()

        return step

    return make


def noise_batch(setup: Setup, *, device: torch.device) -> tuple[Tensor, Tensor]:
    """Images (B, 3, H, W) in channels-last layout and labels (B, K), the same at every call."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(setup.batch, 3, setup.side, setup.side, generator=generator)
    classes = len(setup.model_config.classes)
    draws = torch.rand(setup.batch, classes, generator=generator)
    labels = draws.argsort(dim=1) < PRESENT
    return images.to(device, memory_format=torch.channels_last), labels.to(device)


def with_and_without(
    name: str, setup: Callable[[torch.device], Setup], *, rounds: int
) -> Comparison:
    """The comparison of both steps on one setup."""
    return Comparison(
        name=name,
        variants={
            "without softmax loss": training_step(setup, method="cam"),
            "with softmax loss": training_step(setup, method="recam"),
        },
        rounds=rounds,
        memory=True,
        at_most=1.05,
    )


COMPARISONS = [
    with_and_without(
        "tf_efficientnet_lite0, 16 x 128 px, K = 8",
        lambda device: DEFAULT,  # noqa: ARG005 the same everywhere
        rounds=25,
    )
]
