"""Images as cameras, phones and scanners write them."""

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from photos import (
    HEIGHT,
    WIDTH,
    pixels_of,
    write_photos,
    write_table,
)
from pictures import (
    Picture,
    compared,
    cut_short,
    drawn,
    flipped,
    foreign,
    huge_header,
    saved,
    unchanged,
)
from PIL import Image
from programs import PIXELS
from tables import OF_FOLDER
from trial import Scene, Trial

ORIENTATION = 274  # the tag of EXIF


def image(scene: Scene) -> Trial:
    """One image of twelve is mutated; training sees what any viewer shows."""
    photos = write_photos(scene.folder / "own", scene.random)
    write_table(photos)
    number = scene.random.randrange(len(photos.ids))
    image_id = photos.ids[number]
    about, mutate = scene.random.choice(list(OF_IMAGES.items()))
    made = Picture(scene=scene, pixels=pixels_of(number))
    mutate(made)
    (photos.folder / f"JPEGImages/{image_id}.png").unlink()
    (photos.folder / f"JPEGImages/{image_id}{made.suffix}").write_bytes(made.content)

    def right(folder: Path, output: str) -> str:
        with np.load(folder / PIXELS) as arrays:
            found = arrays[image_id]
        if any(word in output for word in made.told):
            return ""
        return compared(found, made.pixels, lossy=made.lossy)

    return Trial(
        about=f"image {made.suffix}: {about}",
        program="images",
        words=OF_FOLDER,
        names=(image_id, "JPEGImages"),
        right=right,
        accepted=made.accepted,
    )


def _as(form: str, suffix: str, *, lossy: bool = False) -> Callable[[Picture], None]:
    def mutate(made: Picture) -> None:
        made.content = saved(Image.fromarray(made.pixels), form)
        made.suffix, made.lossy = suffix, lossy

    return mutate


def _mode(mode: str, form: str = "PNG", suffix: str = ".png") -> Callable[[Picture], None]:
    """Another mode; the viewer shows Pillow's conversion back to RGB."""

    def mutate(made: Picture) -> None:
        changed = Image.fromarray(made.pixels).convert(mode)
        made.content, made.suffix = saved(changed, form), suffix
        made.pixels = np.array(changed.convert("RGB"))
        made.lossy = form == "JPEG"

    return mutate


def _turned(made: Picture) -> None:
    """EXIF orientations 2 to 8: upright is the right way to see it."""
    orientation = made.scene.random.randint(2, 8)
    form, made.suffix = made.scene.random.choice([("JPEG", ".jpg"), ("PNG", ".png")])
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    picture = Image.fromarray(made.pixels)
    made.content = saved(picture, form, exif=exif)
    made.lossy = form == "JPEG"
    steps = {2: "m", 3: "rr", 4: "mrr", 5: "mr", 6: "rrr", 7: "mrrr", 8: "r"}[orientation]
    for step in steps:
        made.pixels = np.fliplr(made.pixels) if step == "m" else np.rot90(made.pixels)


def _bad_exif(made: Picture) -> None:
    exif = made.scene.random.choice(
        [b"Exif\0\0garbage", b"Exif\0\0MM\0*\xff\xff\xff\xff", b"Exif\0\0"]
    )
    made.content = saved(Image.fromarray(made.pixels), "JPEG", exif=exif)
    made.suffix, made.lossy = ".jpg", True


def _deep_grey(made: Picture) -> None:
    grey = made.pixels[..., 0]
    made.content = saved(Image.fromarray(grey.astype(np.uint16) * 257), "PNG")
    made.pixels = np.repeat(grey[..., None], 3, axis=2)


def _deep_colour(made: Picture) -> None:
    """16 bits a channel, of which a camera uses 12: a PNG written by hand."""
    deep = made.pixels.astype(">u2") * made.scene.random.choice([257, 16])
    scale = int(deep.max()) // 255
    rows = b"".join(b"\0" + row.tobytes() for row in deep)
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", WIDTH, HEIGHT, 16, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(rows)),
        (b"IEND", b""),
    ]
    made.content = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    )
    if scale < 200:
        made.told = ("16-bit", "16 bit", "bits", "dark")


def _tiff(made: Picture) -> None:
    mode = made.scene.random.choice(["F", "I", "I;16", "LAB", "1", "RGBA", "CMYK", "YCbCr"])
    picture = Image.fromarray(made.pixels)
    picture = (
        picture.convert("L").convert(mode)
        if mode in ("F", "I", "I;16")
        else picture.convert(mode)
        if mode != "LAB"
        else Image.frombytes("LAB", (WIDTH, HEIGHT), made.pixels.tobytes())
    )
    made.content, made.suffix = saved(picture, "TIFF"), made.scene.random.choice([".tif", ".tiff"])
    if mode in ("F", "I", "I;16", "LAB"):
        made.told = ("bits", mode)
        return
    made.pixels = np.array(picture.convert("RGB"))


def _other_suffix(made: Picture) -> None:
    """The suffix says another format than the bytes: viewers look at the bytes."""
    form, made.suffix = made.scene.random.choice(
        [("PNG", ".jpg"), ("JPEG", ".png"), ("BMP", ".jpg")]
    )
    made.content, made.lossy = saved(drawn(made), form), form == "JPEG"


def _case(made: Picture) -> None:
    made.content = saved(drawn(made), "PNG")
    made.suffix = made.scene.random.choice([".PNG", ".Png", ".pNG"])


def _animated(made: Picture) -> None:
    first = drawn(made).convert("P")
    frames = [Image.fromarray(255 - made.pixels).convert("P")]
    made.content = saved(first, "GIF", save_all=True, append_images=frames)
    made.suffix, made.lossy = ".gif", True
    made.told = ("frame", "gif")


def _transparent(made: Picture) -> None:
    """Half transparent pixels are seen on white; an invisible image is meant to be seen."""
    alpha = np.full((HEIGHT, WIDTH, 1), made.scene.random.choice([0, 128]), np.uint8)
    made.content = saved(Image.fromarray(np.concatenate([made.pixels, alpha], 2)), "PNG")
    opacity = alpha / 255 if alpha.any() else 1
    made.pixels = np.rint(made.pixels * opacity + 255 * (1 - opacity)).astype(np.uint8)


def _tiny(made: Picture) -> None:
    made.pixels = made.pixels[: made.scene.random.choice([1, 2]), :1]
    made.content = saved(drawn(made), "PNG")


OF_IMAGES: dict[str, Callable[[Picture], None]] = {
    "unchanged": unchanged,
    "JPEG": _as("JPEG", ".jpg", lossy=True),
    "WebP": _as("WEBP", ".webp", lossy=True),
    "BMP": _as("BMP", ".bmp"),
    "TIFF": _as("TIFF", ".tif"),
    "JPEG 2000": _as("JPEG2000", ".jp2", lossy=True),
    "capital suffix": _case,
    "other suffix": _other_suffix,
    "grey": _mode("L"),
    "grey JPEG": _mode("L", "JPEG", ".jpg"),
    "CMYK": _mode("CMYK", "JPEG", ".jpg"),
    "palette": _mode("P"),
    "one bit": _mode("1"),
    "grey with alpha": _mode("LA"),
    "modes of TIFF": _tiff,
    "transparent": _transparent,
    "16-bit grey": _deep_grey,
    "16-bit colour": _deep_colour,
    "EXIF orientation": _turned,
    "damaged EXIF": _bad_exif,
    "truncated": cut_short,
    "flipped bit": flipped,
    "no image": foreign(b"", b"\0", b"<html>404</html>", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0"),
    "Git LFS pointer": foreign(
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"
    ),
    "huge header": huge_header,
    "animated": _animated,
    "tiny": _tiny,
}
