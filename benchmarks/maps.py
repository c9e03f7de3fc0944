"""Making cams: images of equal size in batches, beside one image and one view at a time."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import cast

import torch
from protocol import Comparison, Maker, Setting, Variant
from steps import DEFAULT
from torch import Tensor
from torch.nn import functional

from recam.catalogue.methods import make_classifier, maps_of
from recam.datasets.shapes import CLASSES, draw_scenes
from recam.io.images import read_image, write_image
from recam.methods.cam import Cam, peak_normalised
from recam.methods.recam import ReCam
from recam.models.backbones import TimmBackbone
from recam.models.folding import folded
from recam.pipeline.inference import maps_of_images

IMAGES = 32
DEFAULT_BATCH = 4  # of params.yaml
SCALES = (1.0, 1.5)
TOLERANCE = 0.01  # of cams in [0, 1]; a GPU's convolutions are less exact than a CPU's

Model = Cam | ReCam


@cache
def drawn_images(folder: Path) -> list[Path]:
    """Files of the default data set."""
    scenes = draw_scenes(IMAGES, size=128, cooccurrence=0.8, random_seed=0, split="train")
    paths = [folder / f"{number}.png" for number in range(IMAGES)]
    for path, scene in zip(paths, scenes, strict=True):
        write_image(path, scene.image)
    return paths


@cache
def model_on(device: torch.device) -> Model:
    """The default network with fresh weights."""
    model = make_classifier(replace(DEFAULT.model_config, method="recam", classes=CLASSES))
    return model.to(device).to(memory_format=torch.channels_last).eval()


def batched(batch_size: int, *, is_folded: bool = True) -> Maker:
    """The library's pass over all images; mirror images always share a batch with their images."""

    def make(setting: Setting) -> Variant:
        paths, model = drawn_images(setting.folder), model_on(setting.device)
        if is_folded:
            model = folded(model, lambda network, images: network.backbone(images))
        backbone = cast(TimmBackbone, model.backbone)

        def run() -> Tensor:
            pairs = maps_of_images(
                maps_of(model, combine="product"),
                paths,
                scales=SCALES,
                batch_size=batch_size,
                normalise=backbone.normalise,
                device=setting.device,
            )
            return torch.stack([peak_normalised(maps) for _, maps in pairs])

        return run

    return make


def view_by_view(setting: Setting) -> Variant:
    """One image, one scale and one mirror image at a time; batch norms are not folded."""
    paths, model = drawn_images(setting.folder), model_on(setting.device)
    maps = maps_of(model, combine="product")
    backbone = cast(TimmBackbone, model.backbone)

    def image(path: Path) -> Tensor:
        pixels = torch.from_numpy(read_image(path).copy()).permute(2, 0, 1)[None]
        return backbone.normalise(pixels.to(setting.device) / 255)

    return torch.inference_mode()(lambda: torch.stack([_cams(maps, image(path)) for path in paths]))


def _cams(maps: Callable[[Tensor], Tensor], image: Tensor) -> Tensor:
    size = image.shape[2:]
    total = image.new_zeros(())
    for scale in SCALES:
        target = [round(length * scale) for length in size]
        scaled = functional.interpolate(image, size=target, mode="bicubic", antialias=True)
        for flipped in (False, True):
            view = scaled.flip(3) if flipped else scaled
            of_view = maps(view.contiguous(memory_format=torch.channels_last))
            of_view = functional.interpolate(of_view, size=size, mode="bilinear")
            total = total + (of_view.flip(3) if flipped else of_view)
    return peak_normalised(total[0] / (2 * len(SCALES)))


COMPARISONS = [
    Comparison(
        name=f"{IMAGES} images of 128 px, 2 scales",
        variants={
            f"batches of {DEFAULT_BATCH}, the default": batched(DEFAULT_BATCH),
            "the same, batch norms not folded": batched(DEFAULT_BATCH, is_folded=False),
            f"batches of {IMAGES}": batched(IMAGES),
            "image by image": batched(1),
            "view by view": view_by_view,
        },
        rounds=5,
        memory=False,
        tolerance=TOLERANCE,
    )
]
