"""Archives from public addresses: resumed when broken off, verified, unpacked once."""

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

SECONDS_OF_SILENCE = 60  # after which a connection counts as broken off
MB = 10**6  # bytes, and what a connection that breaks off may lose at most
OR_YOURSELF = "try again, or fetch it yourself into the folder given as download.source"

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Archive:
    """A file on the network that has one right content."""

    url: str
    md5: str  # as its publisher states it, in hexadecimal

    @property
    def name(self) -> str:
        """The file's name, the last part of its address."""
        return PurePosixPath(urlsplit(self.url).path).name


def unpacked(archive: Archive, *, given: Path | None, folder: Path) -> Path:
    """The folder of the archive's files, below ``folder`` and named after it; unpacked once.

    An archive that lies in the folder ``given`` is taken from there and kept; else it is fetched
    into ``folder`` and deleted when all of it is unpacked. What was broken off goes on. Raises
    UserError where it cannot be fetched, is not the right file, or cannot be unpacked.
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
    if whole.exists():  # unpacking it was broken off
        _verify(whole, archive.md5)
        return whole
    in_one = _download(archive.url, part)
    wrong = _wrong_md5(part, archive.md5)
    if wrong and not in_one:
        logger.info("%s: the pieces do not fit together, fetching it anew", archive.url)
        part.unlink()
        _download(archive.url, part)
        wrong = _wrong_md5(part, archive.md5)
    if wrong:
        part.unlink()
        raise UserError(
            f"{archive.url}: expected a file with MD5 {archive.md5}, got {wrong} and deleted "
            f"it; {OR_YOURSELF}"
        )
    return part.replace(whole)


def _verify(file: Path, md5: str) -> None:
    if wrong := _wrong_md5(file, md5):
        raise UserError(f"{file}: expected MD5 {md5}, got {wrong}; replace or remove it")


def _wrong_md5(path: Path, expected: str) -> str | None:
    """The file's checksum where it is another than expected."""
    with path.open("rb") as file:
        md5 = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    return None if md5 == expected.lower() else md5


def _download(url: str, part: Path) -> bool:
    """Bring what ``part`` lacks, as long as it grows; true where one answer gave all of it."""
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
                logger.info("%s: broken off (%s), going on", url, error)
            else:
                return in_one


def _ask(url: str, *, start: int) -> HTTPResponse | None:
    """The answer to a request for the bytes from ``start`` on; None where there are none."""
    headers = {"User-Agent": "recam"} | ({"Range": f"bytes={start}-"} if start else {})
    try:
        request = Request(url, headers=headers)  # noqa: S310 - no address is the user's
        return urlopen(request, timeout=SECONDS_OF_SILENCE)  # noqa: S310
    except HTTPError as error:
        error.close()
        if start and error.code == 416:
            return None
        raise _unreachable(url, error) from error
    except (OSError, HTTPException, ValueError) as error:
        raise _unreachable(url, getattr(error, "reason", error)) from error


def _unreachable(url: str, why: object) -> UserError:
    line = " ".join(str(why).split())  # some errors have several
    return UserError(f"{url}: cannot be fetched ({line}); {OR_YOURSELF}")


def _save(response: HTTPResponse, part: Path, *, mode: str) -> None:
    """Write what comes. Raises HTTPException where the connection breaks off."""
    total = (response.length or 0) // MB
    with _named(part), part.open(mode) as file:
        for block in progress(_blocks(response), total=total, what=f"fetch {part.stem}", unit="MB"):
            file.write(block)


def _blocks(response: HTTPResponse) -> Iterator[bytes]:
    try:
        while block := response.read(MB):
            yield block
    except OSError as error:  # here still known to be no error of the disk
        raise HTTPException(str(error)) from error
    if response.length:  # what lacks of the Content-Length: reading does not complain of it
        raise HTTPException(f"closed {response.length} bytes too early")


@contextmanager
def _named(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno and not error.filename:
            error.filename = str(path)  # writing to an open file names none
        raise


def _unpack(file: Path, target: Path) -> None:
    """Make ``target`` of the archive's members, in one move when all are there."""
    partial = target.with_name(f".{target.name}.partial")
    partial.mkdir(exist_ok=True)
    try:
        with _named(partial):
            (_unzip if file.suffix == ".zip" else _untar)(file, partial)
    except (tarfile.TarError, BadZipFile, BadGzipFile, EOFError, zlib.error) as error:
        rmtree(partial)
        line = " ".join(str(error).split())
        raise UserError(f"{file}: damaged or unsafe ({line}); replace or remove it") from error
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
