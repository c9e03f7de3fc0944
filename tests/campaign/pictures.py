"""A picture before it is written, and damage that images and masks share."""

import io
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image
from trial import Scene


@dataclass(kw_only=True)
class Picture:
    """One file before it is written, and the pixels that its owner sees."""

    scene: Scene
    pixels: np.ndarray  # uint8; RGB of images, ids of masks
    content: bytes = b""
    suffix: str = ".png"
    told: tuple[str, ...] = ()
    accepted: bool | None = None
    lossy: bool = False


def compared(found: np.ndarray, meant: np.ndarray, *, lossy: bool) -> str:
    """The difference between two images; empty if there is none that can be seen."""
    if found.shape != meant.shape:
        return f"read as {found.shape}, shown as {meant.shape}"
    apart = float(np.abs(found.astype(float) - meant.astype(float)).mean())
    return f"pixels are {apart:.1f} of 255 apart" if apart > (60 if lossy else 1) else ""


def saved(picture: Image.Image, form: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format=form, **options)
    return buffer.getvalue()


def cut_short(made: Picture) -> None:
    form, made.suffix = made.scene.random.choice([("JPEG", ".jpg"), ("PNG", ".png")])
    whole = saved(drawn(made), form)
    made.content = whole[: made.scene.random.randrange(len(whole) - 1)]
    if form == "PNG" and len(whole) - len(made.content) > 20:
        made.accepted = False
    made.lossy = form == "JPEG"


def drawn(made: Picture) -> Image.Image:
    return Image.fromarray(made.pixels)


def flipped(made: Picture) -> None:
    """A flipped bit: checksums of PNG find it; of JPEG the viewer's pixels count."""
    form, made.suffix = made.scene.random.choice([("JPEG", ".jpg"), ("PNG", ".png")])
    damaged = bytearray(saved(drawn(made), form))
    damaged[made.scene.random.randrange(len(damaged))] ^= 1 << made.scene.random.randrange(8)
    made.content = bytes(damaged)
    try:
        with Image.open(io.BytesIO(made.content)) as read:
            upright = read.convert("RGB") if made.pixels.ndim == 3 else read
            made.pixels = np.array(upright)
    except Exception:  # Pillow raises many types for damaged files
        made.accepted = False


def foreign(*contents: bytes) -> Callable[[Picture], None]:
    def mutate(made: Picture) -> None:
        made.content = made.scene.random.choice(contents)
        made.accepted = False

    return mutate


def huge_header(made: Picture) -> None:
    """A header of 60,000 x 60,000 pixels over a few bytes."""
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    crc = struct.pack(">I", zlib.crc32(b"IHDR" + header))
    made.content = b"\x89PNG\r\n\x1a\n\x00\x00\x00\x0dIHDR" + header + crc + b"\x00" * 40
    made.accepted = False


def unchanged(made: Picture) -> None:
    made.content = saved(drawn(made), "PNG")
    made.accepted = True
