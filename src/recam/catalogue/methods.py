"""Methods by name: networks that train on image-level labels and give maps."""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from recam.catalogue.backbones import make_backbone
from recam.io.checkpoints import ModelConfig, load_checkpoint
from recam.methods.cam import Cam
from recam.methods.recam import ReCam

# From a trained CAM to the network of each method; `control` trains as long as `recam`, with
# CAM's loss.
METHODS: dict[str, Callable[[Cam | ReCam, float], Cam | ReCam]] = {
    "cam": lambda cam, weight: cam,  # noqa: ARG005 one signature for all
    "control": lambda cam, weight: cam,  # noqa: ARG005
    "recam": lambda cam, weight: ReCam(cam, weight=weight),
}


def make_classifier(model_config: ModelConfig) -> Cam | ReCam:
    """The network of a classification checkpoint, with fresh weights."""
    backbone = make_backbone(model_config)
    cam = Cam(backbone, channels=backbone.channels, num_classes=len(model_config.classes))
    return METHODS[model_config.method](cam, model_config.weight)


def load_classifier(path: Path) -> tuple[Cam | ReCam, tuple[str, ...]]:
    """The trained classifier of a checkpoint, in eval mode on the CPU, and its classes."""
    tensors, model_config = load_checkpoint(path)
    model = make_classifier(model_config)
    model.load_state_dict(tensors)
    return model.to(memory_format=torch.channels_last).eval(), model_config.classes


def maps_of(model: Cam | ReCam, *, combine: str) -> Callable[[Tensor], Tensor]:
    """The function from normalised images to maps; only ReCAM uses ``combine``."""
    if isinstance(model, ReCam):
        return lambda images: model.maps(images, combine=combine)
    return model.maps
