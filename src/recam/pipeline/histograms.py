"""Histograms of best scores that shards count, so that nobody reads all maps for one threshold."""

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from jaxtyping import Int64

from recam.core.metrics import LEVELS
from recam.io.atomic import write_text
from recam.pipeline.pseudo_masks import score_histogram

HISTOGRAM = ".histogram.json"  # in the folder of the maps that it counts


def write_histogram(folder: Path, files: Iterable[Path]) -> None:
    """Write the histogram of ``files`` into ``folder``, with their names."""
    files = list(files)
    counts = score_histogram(files).tolist()
    text = json.dumps({"names": [file.name for file in files], "counts": counts})
    write_text(folder / HISTOGRAM, text)


def total_histogram(files: Iterable[Path], folders: Iterable[Path]) -> Int64[np.ndarray, "levels"]:
    """The ``score_histogram`` of ``files``, with the counts that lie in ``folders``.

    A file counts once: a histogram with the name of a file that is counted already is left out.
    """
    left = {file.name: file for file in files}
    total = np.zeros(LEVELS + 1, np.int64)
    for saved in (folder / HISTOGRAM for folder in folders):
        if not saved.is_file():
            continue
        found = json.loads(saved.read_text(encoding="utf-8"))
        if set(found["names"]) <= left.keys():
            total += np.array(found["counts"], np.int64)
            for name in found["names"]:
                del left[name]
    return total + score_histogram(left.values())
