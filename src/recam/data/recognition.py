"""Formats of other tools, recognised by the first bytes of their files."""

import re
from collections.abc import Mapping
from pathlib import Path

from recam.data.parts import IMAGES, LABELS, MASKS
from recam.io.opening import has_image_suffix, is_hidden

COCO, LABELME, CVAT, VOC, FOLDERS = "coco", "labelme", "cvat", "voc", "folders"
NAMES: Mapping[str, str] = {
    COCO: "COCO JSON",
    LABELME: "labelme JSON",
    CVAT: "CVAT masks with labelmap.txt",
    VOC: "PASCAL VOC XML",
    FOLDERS: "images in class folders",
}
LABELMAP = "labelmap.txt"
HEAD = 1 << 16  # bytes; labelme writes long images after these keys, COCO writes them early
KEYS = (
    (LABELME, re.compile(r'"(shapes|imagePath|imageHeight)"\s*:')),
    (COCO, re.compile(r'"(images|annotations|categories|licenses)"\s*:\s*\[')),
)
VOC_ROOT = re.compile(r"<annotation(\s[^>]*)?>")

Documents = dict[str, list[Path]]  # the annotation files of each format


def recognised(source: Path) -> Documents:
    """The formats of a file or folder, with their annotation files.

    Folders of classes are recognised only without another format and without images elsewhere,
    since images of those formats lie in folders, too. Empty for the project's own layout, and for a
    folder of no known format.
    """
    if (source / LABELS).is_file():
        return {}
    found: Documents = {}
    files = files_below(source) if source.is_dir() else [source]
    for path in files:
        if kind := _kind(path):
            found.setdefault(kind, []).append(path)
    if (source / LABELMAP).is_file() and (source / MASKS).is_dir() and VOC not in found:
        found[CVAT] = [source / LABELMAP]
    homes = {path.parent for path in files if has_image_suffix(path.name)}
    if not found and homes and not homes & {source, source / IMAGES, source / "images"}:
        found[FOLDERS] = []
    return found


def files_below(folder: Path, above: frozenset[Path] = frozenset()) -> list[Path]:
    """The files of a folder and of its sub-folders, sorted, without hidden ones.

    A link to a folder ``above`` is not followed.
    """
    found: list[Path] = []
    above |= {folder.resolve()}
    for path in sorted(folder.iterdir()):
        if is_hidden(path.name):
            continue
        if path.is_dir():
            found += files_below(path, above) if path.resolve() not in above else []
        else:
            found.append(path)
    return found


def _kind(path: Path) -> str | None:
    """The format of an annotation file; None for any other file."""
    if path.suffix.lower() not in (".json", ".xml"):
        return None
    with path.open("rb") as file:
        head = file.read(HEAD).decode("utf-8", errors="ignore")
    if path.suffix.lower() == ".xml":
        return VOC if VOC_ROOT.search(head) else None
    return next((kind for kind, keys in KEYS if keys.search(head)), None)
