"""Maps beside those of pytorch-grad-cam, of the same network, images and scales.

pytorch-grad-cam is no dependency: `pip install grad-cam`; without it its rows are left empty. It
computes the maps of one class by a forward and a backward pass; CAM has the maps of all classes
from one forward pass.
"""

from dataclasses import replace
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from typing import Any, cast

import numpy as np
import torch
from harness import Make, Run, Setting, Work, Works, answer
from inputs import DEFAULT, PRESENT, Logits, made_photographs
from torch import Tensor
from torch.nn import functional

from recam.catalogue.methods import make_classifier
from recam.io.images import read_image
from recam.methods.cam import Cam, peak_normalised
from recam.methods.gradient_maps import grad_cam, gradient_readout
from recam.methods.variant import Readout, both_views
from recam.models.backbones import TimmBackbone
from recam.pipeline.inference import maps_of_images
from recam.runtime.precision import make_precision

IMAGES, SCALES, AT_ONCE = 8, (1.0, 1.5), 4  # images; of presets/shapes.yaml
SIDE = DEFAULT.side
CLASSES = DEFAULT.model_config.classes
BACKBONE = DEFAULT.model_config.backbone
MISSING = "not installed: pip install grad-cam"


def maps(device: torch.device) -> Work:
    """Maps of two classes an image over two scales and mirror images, from files."""
    del device
    forms: dict[str, Make | str | None] = {
        "ours": partial(our_maps, by_gradients=False),
        "ours, Grad-CAM": partial(our_maps, by_gradients=True),
        "pytorch-grad-cam, GradCAM": partial(their_maps, smooth=False),
        "pytorch-grad-cam, GradCAM with aug_smooth, one scale": partial(their_maps, smooth=True),
    }
    if find_spec("pytorch_grad_cam") is None:
        forms |= dict.fromkeys(list(forms)[2:], MISSING)
    name = f"maps, {BACKBONE}, {SIDE} px, {len(SCALES)} scales, {PRESENT} classes"
    return Work(name=name, forms=forms, images=IMAGES, tolerance=None)


def classifier(device: torch.device) -> Cam:
    """The same CAM at every call."""
    torch.manual_seed(0)
    config = replace(DEFAULT.model_config, method="cam")
    return cast(Cam, make_classifier(config).eval().to(device))


def our_maps(setting: Setting, *, by_gradients: bool) -> Run:
    """CAM by one forward pass, or Grad-CAM of the final features."""
    paths = made_photographs(setting.folder, IMAGES, size=(SIDE, SIDE))
    model = classifier(setting.device).to(memory_format=torch.channels_last)
    by_rule = partial(gradient_readout, cast(Any, model), model.weights, grad_cam, levels=(-1,))
    readout: Readout = by_rule() if by_gradients else both_views(model.maps)
    labels = np.zeros((IMAGES, len(CLASSES)), bool)
    labels[:, :PRESENT] = True

    def run() -> None:
        found = maps_of_images(
            readout,
            paths,
            labels,
            scales=SCALES,
            batch_size=AT_ONCE,
            normalise=cast(TimmBackbone, model.backbone).normalise,
            device=setting.device,
            precision=make_precision("auto", setting.device),
        )
        for _, of_image in found:
            peak_normalised(of_image[:PRESENT]).cpu()

    return run


def their_maps(setting: Setting, *, smooth: bool) -> Run:
    """The same network and files: each class of an image and its mirror image is one call.

    ``smooth`` is the package's own average instead, over mirror images and three intensities.
    """
    package = import_module("pytorch_grad_cam")
    target_of = import_module("pytorch_grad_cam.utils.model_targets").ClassifierOutputTarget
    paths = made_photographs(setting.folder, IMAGES, size=(SIDE, SIDE))
    model = classifier(setting.device)
    backbone = cast(TimmBackbone, model.backbone)
    cam = package.GradCAM(model=Logits(model), target_layers=[backbone])

    def averaged(images: Tensor, k: int) -> np.ndarray:
        total = np.zeros((SIDE, SIDE), np.float32)
        for scale in SCALES:
            scaled = functional.interpolate(images, scale_factor=scale, mode="bicubic")
            views = torch.cat([scaled, scaled.flip(3)])
            plain, mirrored = torch.from_numpy(cam(views, [target_of(k)] * 2))
            both = (plain + mirrored.flip(1))[None, None]
            total += functional.interpolate(both, size=(SIDE, SIDE), mode="bilinear")[0, 0].numpy()
        return total

    def run() -> None:
        for path in paths:
            pixels = torch.from_numpy(read_image(path)).permute(2, 0, 1)[None] / 255
            images = backbone.normalise(pixels.to(setting.device)).contiguous()
            for k in range(PRESENT):
                if smooth:
                    cam(images, [target_of(k)], aug_smooth=True)
                else:
                    averaged(images, k)

    return run


WORKS: Works = {"maps": maps}


if __name__ == "__main__":
    answer(WORKS, __doc__)
