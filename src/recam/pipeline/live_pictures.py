"""Pictures of a network in training: maps or masks of a few fixed training images."""

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.nn import functional

from recam.core.labels import class_colours, top_class
from recam.data.loading import LabelledImages, MaskedImages
from recam.io.live_logs import Picture
from recam.methods.cam import peak_normalised
from recam.methods.variant import Variant
from recam.models.backbones import backbone_of
from recam.models.segmenters import Segmenter

IMAGES = 4
LONGEST = 192  # pixels of a side of an image in the picture
OPACITY = 0.6  # of the colour of a map's peak, and of a mask
EPOCH = 0  # whose views are shown; training begins with epoch 1

RGBs = UInt8[np.ndarray, "B H W 3"]
Masks = UInt8[np.ndarray, "B H W"]


def picture_of(
    model: nn.Module, images: LabelledImages | MaskedImages
) -> Callable[[], Picture] | None:
    """A function that draws the network's present maps or masks; None for other networks.

    Each row has an image and the maps of its classes, or an image, the mask to learn and the
    predicted mask. The network returns to training mode.
    """
    if isinstance(model, Variant):
        columns_of = partial(_maps, model)
    elif isinstance(model, Segmenter):
        columns_of = partial(_masks, model)
    else:
        return None
    chosen = range(0, len(images), -(-len(images) // IMAGES))

    @torch.no_grad()
    def picture() -> Picture:
        items = [images[EPOCH, index] for index in chosen]
        batch, targets, *_ = (torch.stack(each) for each in zip(*items, strict=True))
        model.eval()
        try:
            columns = columns_of(batch, targets, len(images.split.classes))
        finally:
            model.train()
        rows = np.concatenate([_rgb(model, batch), *columns], axis=2)
        return np.concatenate(list(rows), axis=0)

    return picture


def _maps(model: Variant, batch: Tensor, labels: Tensor, num_classes: int) -> list[RGBs]:
    """One column: the strongest map of a present class at each pixel, by its colour."""
    maps = peak_normalised(model.maps(_on_device(model, batch))).cpu()
    scores = _shrunk(functional.interpolate(maps, size=batch.shape[2:], mode="bilinear"))
    tops = [
        top_class(score.numpy()[present], np.flatnonzero(present))
        for score, present in zip(scores, labels.numpy(), strict=True)
    ]
    ids, opacity = (np.stack(each) for each in zip(*tops, strict=True))
    return [_tinted(_rgb(model, batch), ids, opacity, num_classes)]


def _masks(model: Segmenter, batch: Tensor, masks: Tensor, num_classes: int) -> list[RGBs]:
    """Two columns: the masks to learn and the predicted ones."""
    logits = model.maps(_on_device(model, batch)).cpu()
    scores = functional.interpolate(logits, size=batch.shape[2:], mode="bilinear")
    image = _rgb(model, batch)
    both = masks, scores.argmax(dim=1)
    small = [_shrunk(each[:, None].float())[:, 0].numpy().astype(np.uint8) for each in both]
    return [_tinted(image, mask, (mask > 0).astype(np.float32), num_classes) for mask in small]


def _on_device(model: nn.Module, batch: Tensor) -> Tensor:
    device = next(model.parameters()).device
    return batch.to(device, memory_format=torch.channels_last)


def _rgb(model: nn.Module, batch: Float[Tensor, "B 3 H W"]) -> RGBs:
    backbone = backbone_of(model)
    mean, std = (torch.tensor(each).view(3, 1, 1) for each in (backbone.mean, backbone.std))
    pixels = (_shrunk(batch) * std + mean).clamp(0, 1) * 255
    return pixels.permute(0, 2, 3, 1).round().numpy().astype(np.uint8)


def _shrunk(grid: Float[Tensor, "B n H W"]) -> Float[Tensor, "B n h w"]:
    """Every n-th pixel, so that no side is longer than LONGEST."""
    step = -(-max(grid.shape[2:]) // LONGEST)
    return grid[:, :, ::step, ::step]


def _tinted(images: RGBs, ids: Masks, strength: np.ndarray, num_classes: int) -> RGBs:
    """Images with the colours of ids over them; ``strength`` is from 0 to 1."""
    opacity = OPACITY * strength[..., None]
    tinted = images * (1 - opacity) + class_colours(num_classes)[ids] * opacity
    return tinted.round().astype(np.uint8)
