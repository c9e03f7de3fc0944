"""Opening image files: formats that are read, one sentence for all others, and EXIF rotation."""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

from PIL import ExifTags, Image, UnidentifiedImageError

from recam.core.errors import UserError
from recam.io.archives import is_stored, read_content
from recam.io.formats import HEAD, named_format

# Pillow's remarks on odd files would stand between the lines of a step; damage raises an error.
warnings.filterwarnings("ignore", module=r"PIL\.")
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".jfif", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif")
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")  # Pillow's names; JPEG includes MPO
READ = ("a JPEG image", "a PNG image", "a WebP image", "a BMP image", "a TIFF image", "a GIF image")
UPRIGHT, SIDEWAYS = 1, 5  # EXIF orientations: none; from 5 to 8, width and height are swapped
LAST_ORIENTATION = 8
EXIF_OF_PNG = {"exif", "Raw profile type exif"}
# Names that systems give to files of their own.
SYSTEM_FILES = {
    "thumbs.db",
    "ehthumbs.db",
    "desktop.ini",
    "icon\r",
    "__macosx",
    "@eadir",
    "$recycle.bin",
}
RAW = "a camera's RAW file, of which only a preview can be read; convert it to JPEG or PNG"
THUMBNAIL = 1  # bit of the tag NewSubfileType: a smaller copy of another page


class RefusedError(Exception):
    """A readable file that cannot serve; the text is the rest of a sentence about the file."""


@contextmanager
def opened(
    source: Path | BytesIO, *, formats: tuple[str, ...] = FORMATS, noun: str = "image"
) -> Iterator[Image.Image]:
    """An opened image, whose pixels are not decoded yet; the first frame of several.

    Any failure inside, of whatever type a decoder raises, becomes a UserError; it names the file,
    if ``source`` is a path. Files of a ``formats`` outside are refused by their real format.
    """
    try:
        with Image.open(_readable(source), formats=formats) as image:
            if _is_preview(image):
                raise RefusedError(RAW)
            yield image
    except (UserError, MemoryError):
        raise
    except RefusedError as error:
        raise UserError(f"{source}: {error}" if isinstance(source, Path) else str(error)) from error
    except Exception as error:  # decoders raise many types for corrupt files
        reason, remedy = _reason(source, error, formats)
        if isinstance(source, Path):
            reason = f"{source}: not a readable {noun} ({reason})"
        raise UserError(f"{reason}; {remedy}") from error


def orientation(image: Image.Image) -> int:
    """The EXIF orientation that is left to apply, 1 to 8; 1, upright, for missing or corrupt data.

    Pillow turns TIFF images itself, and would decode a PNG without EXIF data in search of some.
    """
    if image.format == "TIFF" or (image.format == "PNG" and not image.info.keys() & EXIF_OF_PNG):
        return UPRIGHT
    try:
        turned = int(image.getexif().get(ExifTags.Base.Orientation, UPRIGHT))
    except Exception:  # an image with corrupt EXIF data is still readable
        return UPRIGHT
    return turned if UPRIGHT <= turned <= LAST_ORIENTATION else UPRIGHT


def has_frames(image: Image.Image) -> bool:
    """Whether a file holds several images: pages, an animation, or a camera's depth map."""
    try:
        return bool(getattr(image, "is_animated", False))
    except Exception:  # a broken list of frames does not harm the first
        return False


def has_image_suffix(name: str) -> bool:
    """Whether a file name ends as one of the images that are read, in any case."""
    return Path(name).suffix.lower() in IMAGE_SUFFIXES


def is_hidden(name: str) -> bool:
    """Whether a system keeps a file or folder of this name for itself and does not show it."""
    return name.startswith(".") or name.lower() in SYSTEM_FILES


def _readable(source: Path | BytesIO) -> Path | BytesIO:
    """The content of a file in an archive; any other source as it is."""
    if isinstance(source, BytesIO) or os.path.lexists(source) or not is_stored(source):
        return source
    return BytesIO(read_content(source))


def _reason(source: Path | BytesIO, error: Exception, formats: tuple[str, ...]) -> tuple[str, str]:
    """Reason and remedy of a failure."""
    if isinstance(error, Image.DecompressionBombError):
        return f"{error}", "shrink or replace it"
    if isinstance(error, UnidentifiedImageError):
        return _unidentified(_head(_readable(source)), formats)
    if isinstance(error, PermissionError):
        return str(error.strerror), "allow reading it"
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return reason or type(error).__name__, "replace or remove it"


def _unidentified(head: bytes, formats: tuple[str, ...]) -> tuple[str, str]:
    if not head.strip(b"\0"):
        return ("zeros only" if head else "empty file"), "copy it again, or remove it"
    name = named_format(head)
    if name in READ and formats != FORMATS:
        return name, f"save it as {' or '.join(formats)}"
    if name in READ:
        return f"{name}, damaged or of a rare kind", "save it again as JPEG or PNG"
    if not name:
        return "unknown image format", "replace or remove it"
    return name, "convert it to JPEG or PNG"


def _head(source: Path | BytesIO) -> bytes:
    if isinstance(source, BytesIO):
        return source.getvalue()[:HEAD]
    with source.open("rb") as file:
        return file.read(HEAD)


def _is_preview(image: Image.Image) -> bool:
    """Whether it is a RAW file, whose first TIFF page is a preview of a few pixels."""
    tags = getattr(image, "tag_v2", None)
    if image.format != "TIFF" or tags is None:
        return False
    is_thumbnail = bool(int(tags.get(ExifTags.Base.NewSubfileType, 0)) & THUMBNAIL)
    return is_thumbnail or ExifTags.Base.DNGVersion in tags
