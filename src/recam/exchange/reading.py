"""Readers of all formats."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from recam.core.errors import UserError
from recam.data.recognition import COCO, CVAT, FOLDERS, LABELME, VOC
from recam.exchange.class_folders import read_class_folders
from recam.exchange.cvat_folders import read_cvat
from recam.exchange.found import Found, noted
from recam.exchange.labelme import read_labelme
from recam.exchange.source import Source
from recam.exchange.voc import read_voc


def _read_coco(source: Source) -> Found:
    from recam.exchange.coco import read_coco  # noqa: PLC0415 only this one needs pycocotools

    return read_coco(source)


READERS: Mapping[str, Callable[[Source], Found]] = {
    COCO: _read_coco,
    LABELME: read_labelme,
    CVAT: read_cvat,
    VOC: read_voc,
    FOLDERS: read_class_folders,
}


def read(source: Source) -> Found:
    """Read a source by its format, with a note on images that no annotation names.

    Raises UserError as its reader does, for ids that two images share, and without any image.
    """
    found = READERS[source.format](source)
    if not found.items:
        raise UserError(f"{source.root}: expected annotated images, found none; annotate some")
    earlier: dict[str, object] = {}
    for item in found.items:
        if item.id in earlier:
            raise UserError(
                f"{source.root}: two annotations have the image id {item.id}; rename one image, or "
                "delete one annotation"
            )
        earlier[item.id] = item
    named = {item.image for item in found.items if isinstance(item.image, Path)}
    left = [path for path in source.images.paths if path not in named]
    if source.format == FOLDERS or not left:
        return found
    notes = [*found.notes, noted("images without annotation are not used", left)]
    return replace(found, notes=notes)
