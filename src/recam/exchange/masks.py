"""A folder of masks to convert, with its classes and the images of the masks."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from recam.core.errors import UserError
from recam.core.labels import BACKGROUND
from recam.core.names import clean_id
from recam.data.parts import CLASSES, IMAGES, read_classes
from recam.exchange.found import Mask, require_size
from recam.io.archives import files_in
from recam.io.images import check_mask, image_size, read_mask
from recam.io.opening import has_image_suffix, is_hidden
from recam.io.tables import read_table

TABLE = "classes.csv"  # of recam predict
OVERLAYS = "overlays"  # of recam predict, beside its masks
LEVELS = 4  # from results/seed0/recam/pseudo up to the experiment


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskFolder:
    """Masks by file, the classes of their values, and the images by mask; maybe without images."""

    path: Path
    masks: tuple[Path, ...]
    classes: tuple[str, ...]
    images: Mapping[Path, Path]

    def read(self, file: Path) -> Mask:
        """A mask. Raises UserError for a value without a class, and unless it fits its image."""
        mask = read_mask(file)
        size = (mask.shape[0], mask.shape[1])
        if file in self.images:
            require_size(str(file), annotated=size, image=image_size(self.images[file]))
        check_mask(file, mask, size=size, num_ids=len(self.classes) + 1)
        return mask


def open_masks(folder: Path, *, classes: Path | None, images: Path | None) -> MaskFolder:
    """List the masks of a folder, and find their classes and images.

    Without ``classes``, they are those of ``classes.csv`` or ``classes.txt`` in the folder, beside
    it, or in the folder ``data`` of the experiment around it; without ``images``, those are
    ``JPEGImages`` beside that ``classes.txt``. Raises UserError if no classes are found, and if
    ``images`` lacks the image of a mask.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: expected a folder of masks, found none; correct the path")
    listed = {*folder.iterdir(), *files_in(folder)}  # in archives, too
    masks = tuple(
        path
        for path in sorted(listed)
        if path.suffix.lower() == ".png" and not is_hidden(path.name)
    )
    if not masks:
        raise UserError(f"{folder}: expected masks as PNG files in it, found none")
    table = classes or _list_of_classes(folder)
    beside = table.parent / IMAGES
    place = images or (beside if beside.is_dir() else None)
    return MaskFolder(
        path=folder,
        masks=masks,
        classes=_read_table(table) if table.suffix.lower() == ".csv" else read_classes(table),
        images=_images(place, masks) if place else {},
    )


def folders_with_masks(folder: Path) -> list[Path]:
    """The sub-folders that hold PNG files, without the overlays of recam predict."""
    inner = (p for p in sorted(folder.iterdir()) if p.is_dir() and p.name != OVERLAYS)
    return [path for path in inner if any(path.rglob("*.png"))]


def _list_of_classes(folder: Path) -> Path:
    above = [folder, *folder.resolve().parents][: LEVELS + 1]
    places = [folder / TABLE, folder / CLASSES, folder.resolve().parent / CLASSES]
    places += [place / "data" / CLASSES for place in above]
    if path := next((place for place in places if place.is_file()), None):
        return path
    raise UserError(
        f"{folder}: expected {CLASSES} or {TABLE} in it or beside it, found none; give the list of "
        "classes by --classes"
    )


def _read_table(path: Path) -> tuple[str, ...]:
    """The classes of a table with the columns value and class, background first."""
    table = read_table(path)
    if table.header[:2] != ("value", "class"):
        raise UserError(
            f"{path}: expected the columns value and class, got {', '.join(table.header)}; give "
            "the classes.csv of recam predict, or a classes.txt"
        )
    rows = [(value, name) for value, name, *_ in table.rows]
    if [value for value, _ in rows] != [str(n) for n in range(BACKGROUND, len(rows))]:
        raise UserError(f"{path}: expected the values 0, 1, 2, ... in order; write it again")
    return tuple(name for _, name in rows[1:])


def _images(folder: Path, masks: tuple[Path, ...]) -> dict[Path, Path]:
    """The image of each mask, by its name without ending."""
    if not folder.is_dir():
        raise UserError(f"{folder}: expected a folder of images, found none; correct --images")
    by_name: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if has_image_suffix(path.name) and not is_hidden(path.name):
            name = clean_id(path.stem)
            if name in by_name:
                raise UserError(f"{path}: has the name of {by_name[name].name}; rename one of them")
            by_name[name] = path
    missing = [mask for mask in masks if clean_id(mask.stem) not in by_name]
    if missing:
        raise UserError(
            f"{folder}: expected an image for each of the {len(masks):,} masks, {len(missing):,} "
            f"have none (first: {missing[0].name}); give their folder by --images"
        )
    return {mask: by_name[clean_id(mask.stem)] for mask in masks}
