"""The optional table of ground truth boxes, ``SegmentationClass/boxes.csv``: a row for each object.

Its columns are id, class (a name of classes.txt), x_min, y_min, x_max and y_max: pixels from the
upper left corner of the image, so that x_max - x_min is the width.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from recam.core.errors import UserError
from recam.core.localisation import Boxes
from recam.io.atomic import write_text

BOXES = "boxes.csv"
CORNERS = ("x_min", "y_min", "x_max", "y_max")
COLUMNS = ("id", "class", *CORNERS)

BoxesOfImage = Mapping[int, Boxes]  # by class index


def read_boxes(path: Path, classes: tuple[str, ...]) -> dict[str, BoxesOfImage]:
    """Read boxes by image id and class index; empty without the file.

    Raises UserError for an unreadable table, other columns, an unknown class and a box without
    area.
    """
    if not path.is_file():
        return {}
    try:
        table = pd.read_csv(path, dtype={"id": str, "class": str}, keep_default_na=False)
    except (ValueError, pd.errors.ParserError) as error:
        raise UserError(
            f"{path}: expected a CSV table with commas, got {error}; export it again"
        ) from error
    _check(path, table, classes)
    corners = table[list(CORNERS)].to_numpy(np.float64)
    rows: dict[str, dict[int, list[int]]] = {}
    for row, (image_id, name) in enumerate(zip(table["id"], table["class"], strict=True)):
        rows.setdefault(image_id, {}).setdefault(classes.index(name), []).append(row)
    return {
        image_id: {class_index: corners[of_class] for class_index, of_class in of_image.items()}
        for image_id, of_image in rows.items()
    }


def write_boxes(path: Path, boxes: Mapping[str, BoxesOfImage], classes: tuple[str, ...]) -> None:
    """Write the boxes of all images as a table."""
    rows = [
        (image_id, classes[class_index], *map(float, box))
        for image_id, of_image in boxes.items()
        for class_index, of_class in of_image.items()
        for box in of_class
    ]
    write_text(path, pd.DataFrame(rows, columns=list(COLUMNS)).to_csv(index=False))


def _check(path: Path, table: pd.DataFrame, classes: tuple[str, ...]) -> None:
    if tuple(table.columns) != COLUMNS:
        raise UserError(
            f"{path}: expected the columns {', '.join(COLUMNS)}, got {', '.join(table.columns)}; "
            "rename or reorder them"
        )
    unknown = [name for name in table["class"] if name not in classes]
    if unknown:
        raise UserError(
            f"{path}: expected the classes of classes.txt, got {unknown[0]!r}; correct it"
        )
    corners = table[list(CORNERS)].apply(pd.to_numeric, errors="coerce").to_numpy(np.float64)
    fits = np.isfinite(corners).all(axis=1) & (corners >= 0).all(axis=1)
    fits &= (corners[:, 2:] > corners[:, :2]).all(axis=1)
    if not fits.all():
        row = table.iloc[int(np.argmin(fits))]
        raise UserError(
            f"{path}: image {row['id']}: expected 0 <= x_min < x_max and 0 <= y_min < y_max, got "
            f"{', '.join(str(row[corner]) for corner in CORNERS)}; correct the box"
        )
