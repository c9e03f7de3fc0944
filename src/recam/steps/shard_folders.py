"""Shards of a step: jobs that make a part of its files each, and the last job, which takes them.

A shard fills a folder of its own in ``shards``, beside the folder of the step and under its key. It
ends with a list of checksums, and a stamp, which is its output for the engines. The last job moves
the files into the folder of the step, computes missing ones, and writes the outputs of the step.
"""

import logging
import shutil
from collections.abc import Iterator
from pathlib import Path

from recam.io.atomic import read_manifest, sha256, write_manifest
from recam.io.resumable import ResumableFolder
from recam.runtime.distributed import is_first, is_first_after_all, wait_for_all
from recam.steps.folders import resumable
from recam.steps.shards import Shard
from recam.steps.without_effect import SHARDS, chosen

PLACE = "shards"  # a folder beside that of the step

logger = logging.getLogger(__name__)


def folder_of(shard: Shard, path: Path, *, key: str) -> ResumableFolder:
    """The folder to fill: that of the shard; for the last job ``path``, with the shards' files."""
    part = shard.part
    if not shard.is_last:
        place = path.parent / PLACE / f"{path.name}.{part.number}-of-{part.of}"
        if is_first():
            _list_of(place).unlink(missing_ok=True)
        return resumable(place, key=key, part=part)
    folder = resumable(path, key=key)
    if is_first():
        for place in folders_of_shards(path, key=key):
            _take(place, folder)
    wait_for_all()
    return folder


def finish_shard(shard: Shard, *folders: ResumableFolder) -> None:
    """Write the lists of checksums of a shard's folders, then its stamp, after all ranks."""
    if not is_first_after_all() or shard.is_last:
        return
    for folder in folders:
        write_manifest(_list_of(folder.path), [folder.partial])
    shard.stamp()


def folders_of_shards(path: Path, *, key: str) -> Iterator[Path]:
    """The folders with files for ``path`` that shards of any number filled under the same key."""
    for place in sorted((path.parent / PLACE).glob(f".{path.name}.*-of-*.partial")):
        key_file = place / ".key"
        if key_file.is_file() and key_file.read_text() == key:
            yield place


def drop_shards(*paths: Path) -> None:
    """Delete the shards' files of the finished folders ``paths``, and stamps of other numbers."""
    number = chosen("machine.shards", variable=SHARDS)
    for path in paths:
        for left in (path.parent / PLACE).glob(f".{path.name}.*-of-*"):
            if left.is_dir():
                shutil.rmtree(left)
            else:
                left.unlink(missing_ok=True)
        for stamp in (path.parent / PLACE).glob(f"{path.name}.*-of-*"):
            if not stamp.name.endswith(f"-of-{number}"):
                stamp.unlink()


def _list_of(place: Path) -> Path:
    return place.with_name(f".{place.name}.sha256")


def _take(shard: Path, folder: ResumableFolder) -> None:
    """Move the files of a shard; one that differs from its list, or is damaged, is left out."""
    place = shard.with_name(shard.name.removeprefix(".").removesuffix(".partial"))
    files = [file for file in sorted(shard.iterdir()) if not file.name.startswith(".")]
    if not _list_of(place).is_file():  # killed, with another number of shards perhaps
        resumable(place, key=(shard / ".key").read_text())  # deletes damaged files
        files = [file for file in files if file.is_file()]
        listed = None
    else:
        listed = read_manifest(_list_of(place))
    for file in files:
        if listed is None or listed.get(f"{shard.name}/{file.name}") == sha256(file):
            folder.take(file)
        else:
            logger.warning("warning: %s is not as its shard wrote it; it is made anew", file)
