"""Images in a folder for each class, as torchvision's ImageFolder reads them.

SOURCE/cat/1.jpg, or SOURCE/train/cat/1.jpg with a level of splits. An image that lies in several
class folders, by its content, has several labels.
"""

from collections import Counter, defaultdict
from pathlib import Path

from recam.core.errors import UserError
from recam.core.names import clean_name
from recam.data.recognition import FOLDERS, NAMES, files_below
from recam.exchange.found import Found, Item, class_names, is_no_class, noted, unique_ids
from recam.exchange.source import Source
from recam.io.atomic import sha256
from recam.io.opening import has_image_suffix

SPLIT_NAMES = {  # of folders, in lower case, and the project's words
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
}

Copies = list[tuple[str, str, Path]]  # split, class and file of one image


def read_class_folders(source: Source) -> Found:
    """Read labels from folders. Raises UserError for nested folders and contradicting splits."""
    placed, notes = _placed(source.root)
    classes = class_names([name for _, name, _ in placed], str(source.root))
    groups = _same_images(placed)
    if several := sum(len(copies) > 1 for copies in groups):
        notes.append(f"images found more than once, each written once: {several:,}")
    items: list[Item] = []
    splits: dict[str, list[str]] = {}
    named = [
        (path, (path.stem, f"{name}_{path.stem}", "_".join(filter(None, (split, name, path.stem)))))
        for split, name, path in (copies[0] for copies in groups)
    ]
    for image_id, copies in zip(unique_ids(named), groups, strict=True):
        split, _, path = copies[0]
        if other := next((copy for copy in copies if copy[0] != split), None):
            raise UserError(f"{path}: is the same image as {other[2]} in another split; delete one")
        names = {clean_name(name) for _, name, _ in copies if not is_no_class(name)}
        items.append(Item(id=image_id, image=path, labels=frozenset(names)))
        splits.setdefault(split, []).append(image_id)
    return Found(
        format=NAMES[FOLDERS],
        classes=tuple(sorted(classes)),
        items=items,
        splits={} if list(splits) == [""] else splits,
        notes=notes,
    )


def _placed(root: Path) -> tuple[Copies, list[str]]:
    """Split, class and path of each image, and notes on all other files."""
    placed: Copies = []
    left: list[Path] = []
    for path in files_below(root):
        parts = list(path.relative_to(root).parts[:-1])
        split = parts[0].casefold() if parts and parts[0].casefold() in SPLIT_NAMES else ""
        inner = parts[1:] if split else parts
        if not inner or not has_image_suffix(path.name):
            left.append(path)
        elif len(inner) > 1:
            raise UserError(
                f"{path.parent}: expected images in a folder for each class, got them "
                f"{len(parts)} folders deep; move them up into the folders of their classes"
            )
        else:
            placed.append((SPLIT_NAMES.get(split, ""), inner[0], path))
    if len({split for split, _, _ in placed}) > 1 and any(not split for split, _, _ in placed):
        raise UserError(
            f"{root}: expected either folders of splits (train, val) or folders of classes, got "
            "both; move the classes into the splits"
        )
    outside = "files that are no images in a folder of a class are not used"
    return placed, [noted(outside, left)] if left else []


def _same_images(placed: Copies) -> list[Copies]:
    """The files of each image; only files of one size are compared by their content."""
    sizes = Counter(path.stat().st_size for _, _, path in placed)
    groups: dict[object, Copies] = defaultdict(list)
    for split, name, path in placed:
        is_alone = sizes[path.stat().st_size] == 1
        groups[path if is_alone else sha256(path)].append((split, name, path))
    return list(groups.values())
