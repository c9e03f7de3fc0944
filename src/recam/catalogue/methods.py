"""Methods by name: networks that are trained with labels and give maps."""

from collections.abc import Callable

from torch import Tensor

from recam.catalogue.backbones import make_backbone
from recam.io.checkpoints import ModelConfig
from recam.methods.cam import Cam
from recam.methods.recam import ReCam

# How each method goes on from a trained CAM; `control` trains as long as `recam`, without its loss.
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


def maps_of(model: Cam | ReCam, *, combine: str) -> Callable[[Tensor], Tensor]:
    """The function from normalised images to maps; ``combine`` matters to re-activated models."""
    if isinstance(model, ReCam):
        return lambda images: model.maps(images, combine=combine)
    return model.maps
