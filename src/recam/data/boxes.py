"""The optional table of ground truth boxes, ``SegmentationClass/boxes.csv``: a row for each object.

Its columns are id, class (a name of classes.txt), x_min, y_min, x_max and y_max: pixels from the
upper left corner of the image, so that x_max - x_min is the width.
"""

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from recam.core.errors import UserError
from recam.core.localisation import Boxes
from recam.core.names import clean_id, clean_name, quoted
from recam.data.parts import BOX_COLUMNS
from recam.io.atomic import write_text
from recam.io.tables import read_table

BoxesOfImage = Mapping[int, Boxes]  # by class index


def read_boxes(path: Path, classes: tuple[str, ...]) -> dict[str, BoxesOfImage]:
    """Read boxes by image id and class index; empty without the file.

    Raises UserError for an unreadable table, other columns, an unknown class and a box without
    area.
    """
    if not path.is_file():
        return {}
    table = read_table(path)
    if table.header != BOX_COLUMNS:
        raise UserError(
            f"{path}: expected the columns {', '.join(BOX_COLUMNS)}, got "
            f"{', '.join(table.header)}; rename or reorder them"
        )
    found: dict[str, dict[int, list[list[float]]]] = {}
    for number, (text, name, *cells) in zip(table.lines, table.rows, strict=True):
        where = f"{path}: line {number}"
        if (cleaned := clean_name(name)) not in classes:
            raise UserError(
                f"{where}: expected the classes of classes.txt, got {quoted(name)}; correct it"
            )
        box = _box(cells, where=f"{where}: image {text}")
        of_image = found.setdefault(clean_id(text), {})
        of_image.setdefault(classes.index(cleaned), []).append(box)
    return {
        image_id: {class_index: np.array(boxes) for class_index, boxes in of_image.items()}
        for image_id, of_image in found.items()
    }


def write_boxes(path: Path, boxes: Mapping[str, BoxesOfImage], classes: tuple[str, ...]) -> None:
    """Write the boxes of all images as a table."""
    rows = [
        (image_id, classes[class_index], *map(float, box))
        for image_id, of_image in boxes.items()
        for class_index, of_class in of_image.items()
        for box in of_class
    ]
    write_text(path, pd.DataFrame(rows, columns=list(BOX_COLUMNS)).to_csv(index=False))


def _box(cells: list[str], *, where: str) -> list[float]:
    try:
        x_min, y_min, x_max, y_max = map(float, cells)
    except ValueError:
        x_min = y_min = x_max = y_max = math.nan
    if not (0 <= x_min < x_max < math.inf and 0 <= y_min < y_max < math.inf):
        raise UserError(
            f"{where}: expected 0 <= x_min < x_max and 0 <= y_min < y_max, got "
            f"{', '.join(cells)}; correct the box"
        )
    return [x_min, y_min, x_max, y_max]
