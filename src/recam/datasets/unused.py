"""Files in the user's folder that no step reads, each with the reason."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from recam.data.layout import CLASSES, IMAGES, LABELS, MASKS, SPLITS
from recam.data.parts import BOXES
from recam.datasets.collection import Collection
from recam.io.opening import IMAGE_SUFFIXES, has_image_suffix, is_hidden

MASK_SUFFIX = ".png"
SEPARATORS = "[-_. ]"  # between the name of an image and the word mask
OTHER_FORMATS = (  # endings of pictures that are not read
    ".heic .heif .avif .jp2 .j2k .jxl .jxr .cr2 .cr3 .nef .arw .dng .raf .orf .rw2 .psd .svg .pdf "
    ".tga .ppm .pgm .exr .hdr .dcm .nii .gz .npy .npz .mat .ico .eps .webm .mp4 .mov .avi"
)

HIDDEN = "hidden files of the system are not read"
FOLDER = f"a sub-folder is not read; images belong into {IMAGES}, masks into {MASKS}"
NO_ROW = f"the image has no row in {LABELS}, so it is not used; add the row"
NO_SPLIT = "the image is in no split, so it is not used; add it to one"
OUTSIDE = "the image is not used, since images are read from another folder; move it there"
FORMAT = f"the format is not read; convert the file to one of {', '.join(IMAGE_SUFFIXES)}"
MASK_NAME = f"the mask is not used: a mask is <id>{MASK_SUFFIX}, by the name of its image"
OTHER = "the file is not read"


@dataclass(frozen=True, slots=True, kw_only=True)
class Unused:
    """A file or sub-folder that is not used."""

    file: str  # relative to the user's folder
    reason: str
    detail: str = ""


def unused_files(root: Path, used: Collection, *, also_used: Sequence[Path] = ()) -> list[Unused]:
    """List what lies in ``root`` beside the files of ``used`` and the folders ``also_used``.

    A sub-folder that is not searched is one entry, and so are all hidden files. No file is opened.
    """
    home = next(iter(used.images.values())).parent
    searched = {root, home, root / MASKS, root / SPLITS, (root / SPLITS).parent}
    known = {*used.images.values(), *used.masks.values()}
    known |= {root / LABELS, root / CLASSES, root / MASKS / BOXES, *(root / SPLITS).glob("*.txt")}
    by_name = {image_id.casefold(): image_id for image_id in used.images}
    skip = {path.resolve() for path in also_used}
    hidden: list[Path] = []
    found: list[Unused] = []
    for path in _walked(root, searched, skip, hidden):
        file = path.relative_to(root).as_posix()
        if path.is_dir():
            found.append(Unused(file=f"{file}/", reason=FOLDER, detail=_content(path)))
        elif path not in known:
            found.append(_of_file(file, path, root, home, by_name))
    if hidden:
        first = hidden[0].relative_to(root).as_posix()
        detail = f"{len(hidden)}, first: {first}" if len(hidden) > 1 else ""
        found.append(Unused(file=first, reason=HIDDEN, detail=detail))
    return found


def _walked(
    folder: Path, searched: set[Path], skip: set[Path], hidden: list[Path]
) -> Iterator[Path]:
    """The files of the searched folders, and the other folders with files; collects hidden ones."""
    for path in sorted(folder.iterdir()):
        if is_hidden(path.name):
            hidden.append(path)
        elif path in searched and path.is_dir():
            yield from _walked(path, searched, skip, hidden)
        elif path.is_file() or (path.is_dir() and path.resolve() not in skip):
            yield path


def _of_file(file: str, path: Path, root: Path, home: Path, by_name: Mapping[str, str]) -> Unused:
    if path.parent == root / MASKS and path.parent != home and has_image_suffix(path.name):
        return Unused(file=file, reason=MASK_NAME, detail=_remedy(path, by_name))
    if has_image_suffix(path.name) and path.parent == home:
        has_splits = any((root / SPLITS).glob("[!.]*.txt"))
        return Unused(file=file, reason=NO_SPLIT if has_splits else NO_ROW)
    if has_image_suffix(path.name):
        return Unused(file=file, reason=OUTSIDE, detail=home.name)
    if path.suffix.lower() in OTHER_FORMATS.split():
        return Unused(file=file, reason=FORMAT)
    return Unused(file=file, reason=OTHER)


def _remedy(mask: Path, by_name: Mapping[str, str]) -> str:
    """How to name the mask, if a part of its name is that of an image."""
    image_id = _image_of(mask.stem, by_name)
    if image_id is None:
        return "no image in use has this name"
    verb = "rename" if mask.suffix.lower() == MASK_SUFFIX else "convert"
    return f"{verb} it to {image_id}{MASK_SUFFIX}"


def _image_of(stem: str, by_name: Mapping[str, str]) -> str | None:
    """The id that a mask's name begins or ends with, the longest first, in any case."""
    stem = stem.casefold()
    cuts = [found.span() for found in re.finditer(SEPARATORS, stem)]
    parts = [stem, *(stem[:start] for start, _ in cuts), *(stem[end:] for _, end in cuts)]
    return next((by_name[p] for p in sorted(parts, key=len, reverse=True) if p in by_name), None)


def _content(folder: Path) -> str:
    """The number of images, or of files where there are none."""
    files = [path for path in folder.rglob("*") if path.is_file() and not is_hidden(path.name)]
    images = sum(has_image_suffix(path.name) for path in files)
    number, noun = (images, "image") if images else (len(files), "file")
    return f"{number:,} {noun}{'s' * (number != 1)}"
