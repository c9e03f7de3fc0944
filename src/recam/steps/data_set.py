"""The end of the download step: a checked data set moves to its place."""

import shutil
from pathlib import Path

from recam.data.layout import CHECKSUMS, MASKS, SALIENCY, WEAK_PARTS
from recam.datasets.collection import settle_links
from recam.io.atomic import replace_with, write_manifest


def settle(new: Path, data: Path) -> None:
    """Move each part of the data set ``new`` to ``data``, and write the lists of checksums."""
    others = [part for part in (MASKS, SALIENCY) if (new / part).is_dir()]
    for part in (*WEAK_PARTS, *others):
        settle_links(new / part, data / part)
        replace_with(data / part, new / part)
    shutil.rmtree(new)
    for part in others:
        write_manifest(data / f"{part}.sha256", [data / part])
    write_manifest(data / CHECKSUMS, [data / part for part in WEAK_PARTS])
