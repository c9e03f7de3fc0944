"""Downloads of archives: resumed after an interruption, verified by checksum, unpacked once."""

import hashlib
import logging
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from gzip import BadGzipFile
from http.client import HTTPException, HTTPResponse
from pathlib import Path, PurePosixPath
from shutil import rmtree
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen
from zipfile import BadZipFile, ZipFile

from recam.core.errors import UserError
from recam.runtime.progress import progress

TIMEOUT = 60  # seconds without data, after which a connection counts as broken
MB = 10**6  # bytes; also the block size, so a broken connection loses at most this much
REMEDY = "try again, or download it by hand into a folder and set download.source to it"

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Archive:
    """A downloadable file."""

    url: str
    md5: str | None  # hexadecimal, as published; None: unknown, unpacking alone verifies the file

    @property
    def name(self) -> str:
        """The file name, which is the last part of the URL."""
        return PurePosixPath(urlsplit(self.url).path).name


def unpacked(archive: Archive, *, given: Path | None, folder: Path) -> Path:
    """Unpack the archive once below ``folder``, and return the new folder, named after it.

    An archive in the folder ``given`` is used and kept; otherwise it is downloaded into ``folder``
    and deleted after unpacking. Both steps resume after an interruption. Raises UserError if the
    archive cannot be downloaded, has another checksum or cannot be unpacked.
    """
    target = folder / Path(archive.name.removesuffix(".gz")).stem
    if target.is_dir():
        return target
    folder.mkdir(parents=True, exist_ok=True)
    if given is not None and (given / archive.name).is_file():
        _verify(given / archive.name, archive.md5)
        _unpack(given / archive.name, target)
    else:
        fetched = _fetch(archive, folder)
        _unpack(fetched, target)
        fetched.unlink()
    return target


def _fetch(archive: Archive, folder: Path) -> Path:
    whole, part = folder / archive.name, folder / f"{archive.name}.part"
    if whole.exists():  # unpacking was interrupted
        _verify(whole, archive.md5)
        return whole
    in_one = _download(archive.url, part)
    found = _other_md5(part, archive.md5)
    if found and not in_one:
        logger.info("%s: the resumed download has another checksum, downloading anew", archive.url)
        part.unlink()
        _download(archive.url, part)
        found = _other_md5(part, archive.md5)
    if found:
        part.unlink()
        raise UserError(
            f"{archive.url}: expected MD5 {archive.md5}, got {found} and deleted the file; {REMEDY}"
        )
    return part.replace(whole)


def _verify(file: Path, md5: str | None) -> None:
    if found := _other_md5(file, md5):
        raise UserError(f"{file}: expected MD5 {md5}, got {found}; replace or remove it")


def _other_md5(path: Path, expected: str | None) -> str | None:
    """The file's checksum if it differs from the expected one; None without an expected one."""
    if expected is None:
        return None
    with path.open("rb") as file:
        md5 = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    return None if md5 == expected.lower() else md5


def _download(url: str, part: Path) -> bool:
    """Download the rest of ``part``, retrying while it grows; true if in one response."""
    while True:
        before = part.stat().st_size if part.exists() else 0
        response = _ask(url, start=before)
        if response is None:
            return False
        with response:
            in_one = response.status != 206
            try:
                _save(response, part, mode="wb" if in_one else "ab")
            except HTTPException as error:
                if part.stat().st_size <= before:
                    raise _unreachable(url, error) from error
                logger.info("%s: connection broken (%s), resuming", url, error)
            else:
                return in_one


def _ask(url: str, *, start: int) -> HTTPResponse | None:
    """The response for the bytes from ``start`` on; None if there are no more bytes."""
    headers = {"User-Agent": "recam"} | ({"Range": f"bytes={start}-"} if start else {})
    try:
        request = Request(url, headers=headers)  # noqa: S310 - no URL comes from the user
        return urlopen(request, timeout=TIMEOUT)  # noqa: S310
    except HTTPError as error:
        error.close()
        if start and error.code == 416:
            return None
        raise _unreachable(url, error) from error
    except (OSError, HTTPException, ValueError) as error:
        raise _unreachable(url, getattr(error, "reason", error)) from error


def _unreachable(url: str, why: object) -> UserError:
    line = " ".join(str(why).split())  # some messages have several lines
    return UserError(f"{url}: cannot be downloaded ({line}); {REMEDY}")


def _save(response: HTTPResponse, part: Path, *, mode: str) -> None:
    """Write the response to ``part``. Raises HTTPException if the connection breaks."""
    total = (response.length or 0) // MB
    with _named(part), part.open(mode) as file:
        for block in progress(
            _blocks(response), total=total, what=f"download {part.stem}", unit="MB"
        ):
            file.write(block)


def _blocks(response: HTTPResponse) -> Iterator[bytes]:
    try:
        while block := response.read(MB):
            yield block
    except OSError as error:  # raised here, it is an error of the network, not of the disk
        raise HTTPException(str(error)) from error
    if response.length:  # bytes missing from the Content-Length, which read() ignores
        raise HTTPException(f"closed {response.length} bytes too early")


@contextmanager
def _named(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno and not error.filename:
            error.filename = str(path)  # errors from an open file carry no name
        raise


def _unpack(file: Path, target: Path) -> None:
    """Extract the archive's members into ``target``, which appears once it is complete."""
    partial = target.with_name(f".{target.name}.partial")
    partial.mkdir(exist_ok=True)
    try:
        with _named(partial):
            (_unzip if file.suffix == ".zip" else _untar)(file, partial)
    except (tarfile.TarError, BadZipFile, BadGzipFile, EOFError, zlib.error) as error:
        rmtree(partial)
        line = " ".join(str(error).split())
        raise UserError(
            f"{file}: expected an intact archive, got a damaged or unsafe one ({line}); replace or "
            "remove it"
        ) from error
    partial.replace(target)


def _untar(file: Path, folder: Path) -> None:
    with tarfile.open(file, "r:*") as tar:
        items = tar.getmembers()
        for item in progress(items, total=len(items), what=f"unpack {file.name}", unit="file"):
            safe = tarfile.data_filter(item, str(folder))
            if not _is_there(folder / safe.name, size=safe.size):
                tar.extract(item, folder, filter="data")


def _unzip(file: Path, folder: Path) -> None:
    with ZipFile(file) as archive:
        items = archive.infolist()
        for item in progress(items, total=len(items), what=f"unpack {file.name}", unit="file"):
            path = PurePosixPath(item.filename)
            if path.is_absolute() or ".." in path.parts:
                raise BadZipFile(f"{item.filename!r} would lie outside the folder")
            if not _is_there(folder / path, size=item.file_size):
                archive.extract(item, folder)


def _is_there(path: Path, *, size: int) -> bool:
    return path.is_file() and path.stat().st_size == size
