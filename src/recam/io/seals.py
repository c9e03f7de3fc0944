"""Checksums of files: inside ZIP archives (.pt, .npz) and PNG, and in lists of checksums.

The comment of an archive ends with the SHA-256 of all bytes before it, so that every reader of ZIP
archives reads the file. CRCs of the members alone leave out the archive's directory.
"""

import hashlib
import io
import os
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from zipfile import ZipFile

from recam.core.errors import UserError
from recam.io.archives import CHANGED, is_stored, read_content
from recam.io.atomic import read_manifest, sha256
from recam.io.origins import damaged, remedy_of, step_of
from recam.io.stores import store

MARK = b"recam sha256 "  # before the checksum
LENGTH = 2  # bytes of the length of the comment, the last field of that record
DIGEST_SIZE = 64  # characters
LONGEST_COMMENT = 1024  # bytes of our comments, at most
LISTED = re.compile(rb"([0-9a-f]{64})  (\w+\.csv)\n")
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
IMAGES, OF_IMAGES = "JPEGImages", "images.sha256"  # the images of a data set, and their list
# Lists of checksums, beside the files that they list.
LISTS = {
    "cut.json": "pseudo.sha256",
    **dict.fromkeys(
        ("metrics.json", "signs.json", "counts.csv", "per_class.csv", "thresholds.csv"),
        "predictions.sha256",
    ),
    **dict.fromkeys(("confusion.csv", "prediction.json"), "predictions.sha256"),
}


def write_sealed(path: Path, archive: io.BytesIO, *, beside: Iterable[Path] = ()) -> None:
    """Write a ZIP archive with its checksum and those of files ``beside`` it, atomically."""
    content = archive.getbuffer()
    comment = "".join(f"{sha256(file)}  {file.name}\n" for file in beside).encode() + MARK
    size = (len(comment) + DIGEST_SIZE).to_bytes(LENGTH, "little")
    digest = hashlib.sha256(content[:-LENGTH])
    digest.update(size + comment)
    store(path, (content[:-LENGTH], size, comment, digest.hexdigest().encode()))


def read_sealed(path: Path, *, kind: str) -> bytes:
    """The content of a ZIP archive. Raises UserError if it is not as it was written.

    An archive without checksum, of an earlier version or another program, is checked by the CRCs
    of its members. ``kind`` is the expected content, for messages.
    """
    content = read_content(path)
    digest = content[-DIGEST_SIZE:]
    if content[-len(MARK) - DIGEST_SIZE : -DIGEST_SIZE] == MARK:
        if hashlib.sha256(memoryview(content)[:-DIGEST_SIZE]).hexdigest().encode() != digest:
            raise damaged(path, CHANGED)
        return content
    try:
        with ZipFile(io.BytesIO(content)) as archive:
            broken = archive.testzip()
    except Exception as error:  # zipfile raises many kinds for damaged archives
        raise not_a(kind, path) from error
    if broken:
        raise damaged(path, CHANGED)
    return content


def not_a(kind: str, path: Path) -> UserError:
    """The error of a file that is damaged beyond recognition, or another one."""
    return UserError(f"{path}: damaged, or not a file of {kind}; {remedy_of(path)}")


def check_png(path: Path, *, missing: str) -> None:
    """Check the CRC of every chunk of a PNG; Pillow skips those of pixels.

    Raises UserError for a CRC that differs, for a cut file, and for a file that cannot be read;
    ``missing`` is the message for a file that no step makes. Another format passes if it is the
    user's.
    """
    if not os.path.lexists(path) and not step_of(path) and not is_stored(path):
        raise UserError(f"{path}: {missing}")
    content = read_content(path)
    _check_list(path, content)
    if not content.startswith(PNG_SIGNATURE):
        if step_of(path):
            raise not_a("pixels in PNG", path)
        return
    start, kind = len(PNG_SIGNATURE), b""
    while kind != b"IEND":
        size = int.from_bytes(content[start : start + 4])
        kind, end = content[start + 4 : start + 8], start + 8 + size
        if end + 4 > len(content):
            raise damaged(path, "its end is missing")
        if int.from_bytes(content[end : end + 4]) != zlib.crc32(content[start + 4 : end]):
            raise damaged(path, CHANGED)
        start = end + 4


def check_image(path: Path) -> None:
    """Compare an image of a data set with the list of the download step, if there is one.

    Raises UserError if it differs: JPEG has no checksum of its own.
    """
    if path.parent.name != IMAGES or not path.is_file():
        return
    manifest = path.parent.with_name(OF_IMAGES)
    if not manifest.is_file():
        return
    if _differs(path, read_content(path), manifest):
        raise UserError(
            f"{path}: its checksum differs from that in {manifest}; restore the image, or run "
            "download again if it was changed on purpose"
        )


def _check_list(path: Path, content: bytes) -> None:
    """Compare a file with the list of checksums beside its folder, if there is one."""
    if not path.parent.name:  # a file in the working directory
        return
    manifest = path.parent.with_name(f"{path.parent.name}.sha256")
    if manifest.is_file() and _differs(path, content, manifest):
        raise damaged(path, f"its checksum differs from that in {manifest.name}")


def _differs(path: Path, content: bytes, manifest: Path) -> bool:
    """Whether a list of checksums has another one of a file; false if it lacks the file."""
    listed = _listed(manifest, manifest.stat().st_mtime_ns)
    digest = listed.get(f"{path.parent.name}/{path.name}")
    return bool(digest) and digest != hashlib.sha256(content).hexdigest()


@lru_cache(maxsize=8)
def _listed(manifest: Path, time: int) -> dict[str, str]:  # noqa: ARG001 a key of the cache
    return read_manifest(manifest)


def read_listed(path: Path) -> str:
    """The text of a small file, which a list of checksums beside it or its checkpoint holds.

    Raises UserError if it differs from the list. A file that no list holds is not checked.
    """
    content = read_content(path)
    for source, digests in _lists_of(path):
        digest = digests.get(path.name)
        if digest and digest != hashlib.sha256(content).hexdigest():
            raise damaged(path, f"its checksum differs from that in {source.name}")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise damaged(path, "expected text") from error


def _lists_of(path: Path) -> Iterator[tuple[Path, Mapping[str, str]]]:
    if path.name in LISTS:
        manifest = path.with_name(LISTS[path.name])
        if manifest.is_file():
            yield manifest, read_manifest(manifest)
    elif path.stem.endswith("_curve"):
        checkpoint = path.with_name(f"{path.stem.removesuffix('_curve')}.pt")
        if checkpoint.is_file():
            yield checkpoint, _digests_in(checkpoint)


def _digests_in(archive: Path) -> dict[str, str]:
    """The checksums of other files in the comment of an archive; none in another file."""
    with archive.open("rb") as file:
        file.seek(0, io.SEEK_END)
        file.seek(max(0, file.tell() - LONGEST_COMMENT))
        listed, _, _ = file.read().rpartition(MARK)
    return {name.decode(): digest.decode() for digest, name in LISTED.findall(listed)}
