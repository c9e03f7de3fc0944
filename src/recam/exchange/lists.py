"""Lists of images in PASCAL VOC's layout: ImageSets/Main, or ImageSets/Segmentation."""

from pathlib import Path

from recam.core.errors import UserError
from recam.data.parts import SPLITS, repeated_line
from recam.io.opening import has_image_suffix
from recam.io.tables import read_lines

PLACES = ("ImageSets/Main", SPLITS)  # the first one that has lists counts
DEFAULT = "default"  # CVAT's list of images without subsets


def read_lists(root: Path) -> dict[str, list[str]]:
    """The names in each list, with slashes and without endings; empty without lists.

    Lists of one class, such as ``cat_train.txt``, are left out. CVAT's ``default``, if it is the
    only list, becomes ``train``. Raises UserError for an empty list and a repeated name.
    """
    for place in PLACES:
        files = [p for p in sorted((root / place).glob("[!.]*.txt")) if "_" not in p.stem]
        if files:
            lists = {path.stem: _names(path) for path in files}
            return {"train": lists[DEFAULT]} if list(lists) == [DEFAULT] else lists
    return {}


def _names(path: Path) -> list[str]:
    lines = [(number, _bare(line)) for number, line in read_lines(path).items()]
    if not lines:
        raise UserError(f"{path}: the list is empty; list at least one image, or delete it")
    if repeated := repeated_line(lines):
        raise UserError(
            f"{path}: line {repeated[0]}: image {repeated[1]} is listed twice; list it once"
        )
    return [name for _, name in lines]


def _bare(line: str) -> str:
    name = line.replace("\\", "/").removeprefix("./")
    return name.rpartition(".")[0] if has_image_suffix(name) else name
