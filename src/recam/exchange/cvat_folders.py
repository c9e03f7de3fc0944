"""Exports of CVAT as "Segmentation mask 1.1": labelmap.txt, colour masks and lists of images."""

from functools import partial
from pathlib import Path

from recam.core.labels import labels_of_mask
from recam.core.names import clean_name
from recam.data.parts import MASKS
from recam.data.recognition import CVAT, LABELMAP, NAMES
from recam.exchange.cvat import Labelmap, read_coloured, read_labelmap
from recam.exchange.found import Found, Item, Mask, class_names, id_of_path, noted, require_size
from recam.exchange.lists import read_lists
from recam.exchange.source import Source
from recam.runtime.progress import progress


def read_cvat(source: Source) -> Found:
    """Read labels and masks. Raises UserError for a missing image and a colour without a label."""
    labelmap = read_labelmap(source.root / LABELMAP)
    classes = class_names(labelmap.names, str(labelmap.path))
    lists = read_lists(source.root)
    names = list(dict.fromkeys(name for listed in lists.values() for name in listed))
    folder = source.root / MASKS
    masks = {p.relative_to(folder).with_suffix("").as_posix(): p for p in folder.rglob("*.png")}
    unlisted = sorted(masks.keys() - set(names)) if names else []
    names = names or sorted(masks)
    items = [
        _item(source, name, masks.get(name), labelmap, classes)
        for name in progress(names, total=len(names), what="read masks", unit="image")
    ]
    bare = [name for name in names if name not in masks]
    notes = [noted("images without a mask have no label", bare)] if bare else []
    notes += [noted("masks in no list are not used", unlisted)] if unlisted else []
    return Found(
        format=NAMES[CVAT],
        classes=classes,
        items=items,
        splits={split: [id_of_path(n, split) for n in listed] for split, listed in lists.items()},
        notes=notes,
    )


def read_for(
    mask: Path, labelmap: Labelmap, classes: tuple[str, ...], size: tuple[int, int]
) -> Mask:
    """The mask of an image of ``size`` (H, W). Raises UserError for another size."""
    ids = read_coloured(mask, labelmap, classes)
    require_size(str(mask), annotated=(ids.shape[0], ids.shape[1]), image=size)
    return ids


def _item(
    source: Source, name: str, mask: Path | None, labelmap: Labelmap, classes: tuple[str, ...]
) -> Item:
    where = str(mask or source.root)
    image = source.images.find(name, beside=source.root, where=where)
    if mask is None:
        return Item(id=id_of_path(name, where), image=image, labels=frozenset())
    present = labels_of_mask(read_coloured(mask, labelmap, classes), num_classes=len(classes))
    return Item(
        id=id_of_path(name, where),
        image=image,
        labels=frozenset(clean_name(c) for c, is_in in zip(classes, present, strict=True) if is_in),
        mask=partial(read_for, mask, labelmap, classes),
    )
