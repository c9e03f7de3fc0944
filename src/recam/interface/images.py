"""Images as people hold them: files, Pillow's images, arrays and tensors."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor, uint8

from recam.core.errors import UserError
from recam.io.opening import RefusedError, orientation
from recam.io.rgb import is_deep, rgb_of, turned_upright
from recam.pipeline.inference import Source

AnyImage: TypeAlias = str | os.PathLike[str] | Image.Image | np.ndarray | Tensor
KINDS = "a path, a Pillow image, a uint8 array (H, W, 3) or (H, W), or a tensor (3, H, W)"
RGB = 3


def sources_of(images: Sequence[object]) -> list[Source]:
    """Paths, and the uint8 pixels of all other images, upright: EXIF rotation is applied.

    Arrays are uint8, (H, W, 3) or grey (H, W). Tensors are (3, H, W), uint8 or floating-point from
    0 to 1, which is rounded to 8 bits as in a file. Raises UserError for anything else.
    """
    return [_source_of(image) for image in images]


def _source_of(image: object) -> Source:
    if isinstance(image, str | os.PathLike):
        return Path(image)
    if isinstance(image, Image.Image):
        return _of_pillow(image)
    if isinstance(image, np.ndarray):
        return _of_array(image)
    if isinstance(image, Tensor):
        return _of_tensor(image)
    raise UserError(f"image: expected {KINDS}, got {type(image).__name__}; convert it")


def _of_pillow(image: Image.Image) -> UInt8[np.ndarray, "H W 3"]:
    if is_deep(image):
        raise UserError(
            f"image: expected 8 bits a channel, got mode {image.mode}; give its path, or convert it"
        )
    turned = orientation(image)
    try:
        return np.array(turned_upright(rgb_of(image, Path()), turned=turned))
    except RefusedError as error:
        raise UserError(f"image: {error}") from error


def _of_array(image: np.ndarray) -> UInt8[np.ndarray, "H W 3"]:
    is_colour = image.ndim == 3 and image.shape[2] == RGB
    if image.dtype != np.uint8 or not (is_colour or image.ndim == 2) or not image.size:
        raise UserError(
            f"image: expected a uint8 array (H, W, 3) or (H, W), got {image.dtype} "
            f"{tuple(image.shape)}; convert it, or give several images as a list"
        )
    return image.copy() if is_colour else np.repeat(image[..., None], RGB, axis=2)


def _of_tensor(image: Tensor) -> UInt8[np.ndarray, "H W 3"]:
    is_byte = image.dtype == uint8
    if image.ndim != 3 or image.shape[0] != RGB or not image.numel():
        raise _not_a_tensor(image, f"shape {tuple(image.shape)}")
    if not (is_byte or image.is_floating_point()):
        raise _not_a_tensor(image, str(image.dtype))
    values = image.detach().cpu()
    if not is_byte:
        if not bool(((values >= 0) & (values <= 1)).all()):
            raise _not_a_tensor(image, f"values from {values.min():.3g} to {values.max():.3g}")
        values = (values * 255).round().to(uint8)
    return values.permute(1, 2, 0).contiguous().numpy().copy()


def _not_a_tensor(image: Tensor, got: str) -> UserError:
    batch = "; give a batch as a list" if image.ndim == 4 else "; convert it"
    return UserError(
        f"image: expected a tensor (3, H, W), uint8 or floating-point from 0 to 1, got {got}{batch}"
    )
