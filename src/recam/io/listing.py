"""Image files by paths, folders and glob patterns, in natural order, and what is left out."""

import glob
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from recam.core.errors import UserError
from recam.io.conversions import conversions_of
from recam.io.opening import IMAGE_SUFFIXES, has_image_suffix, is_hidden, opened

ENDINGS = ", ".join(IMAGE_SUFFIXES)
VIDEO_SUFFIXES = (".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv")
HIDDEN = "hidden files are not read"
VIDEOS = "videos are not read; make images of one: ffmpeg -i clip.mp4 frames/%06d.png"
FOLDERS = "sub-folders are not read; a quoted pattern searches them, such as 'photos/**/*.jpg'"
OTHERS = f"files that do not end in {ENDINGS} are not read"


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """Image files and the files beside them that are not read."""

    images: dict[str, Path]  # by the path of the mask below its folder, without ending
    left_out: dict[str, list[Path]]  # by reason


def list_images(places: Sequence[str]) -> Listing:
    """The images that ``places`` name: files, folders and glob patterns with ``**``.

    Images of one place are in natural order: frame2 before frame10. The images of a pattern keep
    their sub-folders below its first wildcard. A file that is named twice is listed once. Raises
    UserError for a place without images, for a video, and for two images whose masks would have one
    path.
    """
    listing = Listing(images={}, left_out=defaultdict(list))
    for place in places:
        for name, path in _images_at(place, listing.left_out):
            other = listing.images.setdefault(name, path)
            if not other.samefile(path):
                raise UserError(
                    f"{other} and {path}: expected different names, since both masks would be "
                    f"{name}.png; rename one, or predict them separately"
                )
    return listing


def notes_on(listing: Listing) -> list[str]:
    """A line for each kind of file that is left out and of conversion of an image."""
    kinds: dict[str, list[Path]] = defaultdict(list, listing.left_out)
    for path in listing.images.values():
        with suppress(UserError), opened(path) as image:
            for kind in conversions_of(image):
                kinds[kind].append(path)
    return [
        f"{kind}: {found[0]}" + (f", and {len(found) - 1:,} more" if len(found) > 1 else "")
        for kind, found in kinds.items()
    ]


def natural(path: Path) -> list[tuple[int, str]]:
    """A key that sorts paths with runs of digits as numbers: frame2 before frame10."""
    return [
        (int(part), part) if part.isdecimal() else (-1, part.casefold())
        for name in path.parts
        for part in ("", *re.split(r"(\d+)", name))
    ]


def _images_at(place: str, left_out: dict[str, list[Path]]) -> Iterator[tuple[str, Path]]:
    """Pairs of a mask's name and an image."""
    path = Path(place).expanduser()
    if path.is_file():
        if path.suffix.lower() in VIDEO_SUFFIXES:
            raise UserError(f"{path}: expected an image, got a video; {VIDEOS.partition('; ')[2]}")
        return iter([(path.stem, path)])
    if path.is_dir():
        base, found = path, list(path.iterdir())
    elif glob.has_magic(place):
        base = _fixed_part(path)
        named = glob.iglob(str(path), recursive=True)  # noqa: PTH207 Path's finds hidden files
        found = [one for one in map(Path, named) if one.is_file()]
    else:
        raise UserError(f"{place}: not found; pass images, folders or quoted patterns")
    images = _split(found, left_out)
    if not found:
        raise UserError(f"{place}: expected images, found no file at all; pass another place")
    if not images:
        raise UserError(f"{place}: expected images ending in {ENDINGS}, got none; pass another")
    return ((str(image.relative_to(base).with_suffix("")), image) for image in images)


def _fixed_part(pattern: Path) -> Path:
    """The folder in front of the first part of a pattern that has a wildcard."""
    parts = list(pattern.parts)
    first = next(number for number, part in enumerate(parts) if glob.has_magic(part))
    return Path(*parts[:first])


def _split(found: Iterable[Path], left_out: dict[str, list[Path]]) -> list[Path]:
    """The images in natural order; the others are added to ``left_out``."""
    images: list[Path] = []
    for path in sorted(found, key=natural):
        if reason := _reason_to_leave_out(path):
            left_out[reason].append(path)
        else:
            images.append(path)
    return images


def _reason_to_leave_out(path: Path) -> str:
    if is_hidden(path.name):
        return HIDDEN
    if not path.is_file():
        return FOLDERS
    if path.suffix.lower() in VIDEO_SUFFIXES:
        return VIDEOS
    return "" if has_image_suffix(path.name) else OTHERS
