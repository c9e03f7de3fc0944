"""Images and masks as cameras, phones, scanners and label editors write them."""

import io
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from photos import (
    HEIGHT,
    WIDTH,
    Photos,
    mask_file,
    mask_of,
    pixels_of,
    write_masks,
    write_photos,
    write_table,
)
from PIL import Image
from programs import PIXELS
from tables import OF_FOLDER
from trial import Scene, Trial

ORIENTATION = 274  # the tag of EXIF
TOLERANCE = {"jpg": 60.0, "webp": 60.0, "gif": 60.0}  # mean difference of a pixel of noise


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


def compared(found: np.ndarray, meant: np.ndarray, *, lossy: bool) -> str:
    """The difference between two images; empty if there is none that can be seen."""
    if found.shape != meant.shape:
        return f"read as {found.shape}, shown as {meant.shape}"
    apart = float(np.abs(found.astype(float) - meant.astype(float)).mean())
    return f"pixels are {apart:.1f} of 255 apart" if apart > (60 if lossy else 1) else ""


def mask(scene: Scene) -> Trial:
    """One true mask of twelve is mutated."""
    photos = write_photos(scene.folder / "own", scene.random)
    write_table(photos)
    (photos.folder / "classes.txt").write_text("cat\ndog\nhen\n")
    write_masks(photos)
    image_id = scene.random.choice([i for i, names in photos.labels.items() if names])
    about, mutate = scene.random.choice(list(OF_MASKS.items()))
    made = Picture(scene=scene, pixels=mask_of(photos, image_id))
    mutate(made)
    place = mask_file(photos, image_id)
    place.unlink()
    place.with_name(f"{image_id}{made.suffix}").write_bytes(made.content)
    return Trial(
        about=f"mask {made.suffix}: {about}",
        program="download",
        words=OF_FOLDER,
        names=(image_id, "SegmentationClass"),
        right=_rule_of_mask(photos, image_id, made),
        accepted=made.accepted,
    )


def _rule_of_mask(photos: Photos, image_id: str, made: Picture) -> Callable[[Path, str], str]:
    def right(folder: Path, output: str) -> str:
        file = folder / f"data/SegmentationClass/{image_id}.png"
        if image_id in output and "SegmentationClass" in output:
            return ""
        if any(word in output for word in made.told):
            return ""
        if not file.exists():
            return "the mask is left out"
        with Image.open(file) as read:
            found = np.array(read)
        return "" if np.array_equal(found, made.pixels) else "other ids in the mask"

    return right


def _saved(picture: Image.Image, form: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format=form, **options)
    return buffer.getvalue()


def _as(form: str, suffix: str, *, lossy: bool = False) -> Callable[[Picture], None]:
    def mutate(made: Picture) -> None:
        made.content = _saved(Image.fromarray(made.pixels), form)
        made.suffix, made.lossy = suffix, lossy

    return mutate


def _mode(mode: str, form: str = "PNG", suffix: str = ".png") -> Callable[[Picture], None]:
    """Another mode; the viewer shows Pillow's conversion back to RGB."""

    def mutate(made: Picture) -> None:
        changed = Image.fromarray(made.pixels).convert(mode)
        made.content, made.suffix = _saved(changed, form), suffix
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
    made.content = _saved(picture, form, exif=exif)
    made.lossy = form == "JPEG"
    steps = {2: "m", 3: "rr", 4: "mrr", 5: "mr", 6: "rrr", 7: "mrrr", 8: "r"}[orientation]
    for step in steps:
        made.pixels = np.fliplr(made.pixels) if step == "m" else np.rot90(made.pixels)


def _bad_exif(made: Picture) -> None:
    exif = made.scene.random.choice(
        [b"Exif\0\0garbage", b"Exif\0\0MM\0*\xff\xff\xff\xff", b"Exif\0\0"]
    )
    made.content = _saved(Image.fromarray(made.pixels), "JPEG", exif=exif)
    made.suffix, made.lossy = ".jpg", True


def _deep_grey(made: Picture) -> None:
    grey = made.pixels[..., 0]
    made.content = _saved(Image.fromarray(grey.astype(np.uint16) * 257), "PNG")
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
    made.content, made.suffix = _saved(picture, "TIFF"), made.scene.random.choice([".tif", ".tiff"])
    if mode in ("F", "I", "I;16", "LAB"):
        made.told = ("bits", mode)
        return
    made.pixels = np.array(picture.convert("RGB"))


def _cut(made: Picture) -> None:
    form, made.suffix = made.scene.random.choice([("JPEG", ".jpg"), ("PNG", ".png")])
    whole = _saved(_picture(made), form)
    made.content = whole[: made.scene.random.randrange(len(whole) - 1)]
    if form == "PNG" and len(whole) - len(made.content) > 20:
        made.accepted = False
    made.lossy = form == "JPEG"


def _picture(made: Picture) -> Image.Image:
    return Image.fromarray(made.pixels)


def _flipped(made: Picture) -> None:
    """A flipped bit: checksums of PNG find it; of JPEG the viewer's pixels count."""
    form, made.suffix = made.scene.random.choice([("JPEG", ".jpg"), ("PNG", ".png")])
    damaged = bytearray(_saved(_picture(made), form))
    damaged[made.scene.random.randrange(len(damaged))] ^= 1 << made.scene.random.randrange(8)
    made.content = bytes(damaged)
    try:
        with Image.open(io.BytesIO(made.content)) as read:
            upright = read.convert("RGB") if made.pixels.ndim == 3 else read
            made.pixels = np.array(upright)
    except Exception:  # Pillow raises many types for damaged files
        made.accepted = False


def _bytes(*contents: bytes) -> Callable[[Picture], None]:
    def mutate(made: Picture) -> None:
        made.content = made.scene.random.choice(contents)
        made.accepted = False

    return mutate


def _huge(made: Picture) -> None:
    """A header of 60,000 x 60,000 pixels over a few bytes."""
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    crc = struct.pack(">I", zlib.crc32(b"IHDR" + header))
    made.content = b"\x89PNG\r\n\x1a\n\x00\x00\x00\x0dIHDR" + header + crc + b"\x00" * 40
    made.accepted = False


def _other_suffix(made: Picture) -> None:
    """The suffix says another format than the bytes: viewers look at the bytes."""
    form, made.suffix = made.scene.random.choice(
        [("PNG", ".jpg"), ("JPEG", ".png"), ("BMP", ".jpg")]
    )
    made.content, made.lossy = _saved(_picture(made), form), form == "JPEG"


def _case(made: Picture) -> None:
    made.content = _saved(_picture(made), "PNG")
    made.suffix = made.scene.random.choice([".PNG", ".Png", ".pNG"])


def _animated(made: Picture) -> None:
    first = _picture(made).convert("P")
    frames = [Image.fromarray(255 - made.pixels).convert("P")]
    made.content = _saved(first, "GIF", save_all=True, append_images=frames)
    made.suffix, made.lossy = ".gif", True
    made.told = ("frame", "gif")


def _transparent(made: Picture) -> None:
    alpha = np.full((HEIGHT, WIDTH, 1), made.scene.random.choice([0, 128]), np.uint8)
    made.content = _saved(Image.fromarray(np.concatenate([made.pixels, alpha], 2)), "PNG")


def _tiny(made: Picture) -> None:
    made.pixels = made.pixels[: made.scene.random.choice([1, 2]), :1]
    made.content = _saved(_picture(made), "PNG")


def _plain(made: Picture) -> None:
    made.content = _saved(_picture(made), "PNG")
    made.accepted = True


OF_IMAGES: dict[str, Callable[[Picture], None]] = {
    "unchanged": _plain,
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
    "truncated": _cut,
    "flipped bit": _flipped,
    "no image": _bytes(b"", b"\0", b"<html>404</html>", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0"),
    "Git LFS pointer": _bytes(
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"
    ),
    "huge header": _huge,
    "animated": _animated,
    "tiny": _tiny,
}


def _mask_as(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Picture], None]:
    def mutate(made: Picture) -> None:
        made.content = _saved(Image.fromarray(change(made.pixels)), "PNG")

    return mutate


def _colours(made: Picture) -> None:
    """Colours in place of ids, as CVAT and labelme's viewer write them."""
    colours = np.array([(0, 0, 0), (128, 0, 0), (0, 128, 0), (128, 128, 0)], np.uint8)
    picture = Image.fromarray(colours[made.pixels])
    picture = picture.convert(made.scene.random.choice(["RGB", "RGBA", "P"]))
    made.content = _saved(picture, "PNG")


def _palette_order(made: Picture) -> None:
    """A tool that saves again and orders the palette anew: other ids, the same colours."""
    order = np.array([3, 1, 0, 2], np.uint8)
    picture = Image.fromarray(order[made.pixels])
    picture.putpalette([0, 128, 0, 128, 0, 0, 128, 128, 0, 0, 0, 0])
    made.content = _saved(picture, "PNG")


def _beyond(made: Picture) -> None:
    made.pixels = made.pixels.copy()
    made.pixels[-1, 0] = made.scene.random.choice([4, 17, 200, 254])
    made.content = _saved(_picture(made), "PNG")
    made.accepted = False


def _other_size(made: Picture) -> None:
    factor = made.scene.random.choice([(2, 2), (1, 2), (3, 1)])
    made.pixels = np.kron(made.pixels, np.ones(factor, np.uint8))
    made.content = _saved(_picture(made), "PNG")
    made.accepted = False


def _turned_mask(made: Picture) -> None:
    made.pixels = np.rot90(made.pixels).copy()
    made.content = _saved(_picture(made), "PNG")
    made.accepted = False


def _other_mask_name(made: Picture) -> None:
    made.content = _saved(_picture(made), "PNG")
    made.suffix = made.scene.random.choice(
        ["_mask.png", ".PNG", ".Png", "-label.png", ".png.png", "_gt.png", " (1).png"]
    )
    made.told = (made.suffix,)


def _other_mask_form(made: Picture) -> None:
    form, made.suffix = made.scene.random.choice(
        [("BMP", ".bmp"), ("TIFF", ".tif"), ("GIF", ".gif"), ("WEBP", ".webp"), ("JPEG", ".jpg")]
    )
    made.content = _saved(_picture(made), form)
    made.told = (made.suffix,)


def _mode_of_mask(mode: str, form: str = "PNG") -> Callable[[Picture], None]:
    def mutate(made: Picture) -> None:
        made.content = _saved(_picture(made).convert(mode), form)

    return mutate


def _with_palette(made: Picture) -> None:
    picture = _picture(made)
    picture.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0, 128, 128, 0])
    made.content = _saved(picture, "PNG")
    made.accepted = True


def _with_ignore(made: Picture) -> None:
    made.pixels = made.pixels.copy()
    made.pixels[-2:] = 255
    made.content = _saved(_picture(made), "PNG")
    made.accepted = True


OF_MASKS: dict[str, Callable[[Picture], None]] = {
    "unchanged": _plain,
    "with a palette": _with_palette,
    "with ignored pixels": _with_ignore,
    "0 and 255": _mask_as(lambda ids: np.where(ids > 0, 255, 0).astype(np.uint8)),
    "0 and 1": _mask_as(lambda ids: (ids > 0).astype(np.uint8)),
    "16 bits": _mask_as(lambda ids: ids.astype(np.uint16)),
    "16 bits, stretched": _mask_as(lambda ids: ids.astype(np.uint16) * 257),
    "stretched": _mask_as(lambda ids: (ids * 85).astype(np.uint8)),
    "inverted": _mask_as(lambda ids: 255 - ids),
    "from 0": _mask_as(lambda ids: (ids - 1).astype(np.uint8)),
    "one bit": _mode_of_mask("1"),
    "with alpha": _mode_of_mask("LA"),
    "32 bits": _mode_of_mask("I", "TIFF"),
    "RGB of grey": _mode_of_mask("RGB"),
    "colours": _colours,
    "another palette": _palette_order,
    "ids beyond the classes": _beyond,
    "another size": _other_size,
    "turned": _turned_mask,
    "another name": _other_mask_name,
    "another format": _other_mask_form,
    "truncated": _cut,
    "flipped bit": _flipped,
    "no image": _bytes(b"", b"\0", b"text", b"\x89PNG\r\n\x1a\n"),
    "huge header": _huge,
}
