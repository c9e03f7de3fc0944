"""Files of a folder in a few archives, under the addresses that they would have alone.

``folder/name`` is the address of a file, whether it lies in the folder or in an archive there,
``folder/00000.zip``: ZIP without compression, with at most ``PER_ARCHIVE`` files in the order of
their names. A folder that is being filled has parts instead, see ``recam.io.stores``.

An archive is opened anew for each file that is read, so threads and processes share no position.
"""

import os
import re
import struct
import zlib
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO, NamedTuple
from zipfile import ZIP_STORED, BadZipFile, ZipFile

from recam.core.errors import UserError
from recam.io.origins import ARCHIVE, OF_FOLDERS, PART, damaged, folder_of, remedy_of, unreadable

PER_ARCHIVE = 1000
NAME = re.compile(rf"\d{{5,}}\{ARCHIVE}")  # of an archive of such files
MARK = ".archives"  # hidden file in a folder whose files go into parts
CHANGED = "its checksum differs"
SIGNATURE = b"map1"
# Head of a file in a part: signature, CRC-32 of content and name, their lengths in bytes.
RECORD = struct.Struct("<4sIQH")
# The local header of a file in a ZIP archive ends with the lengths of its name and extra field.
LOCAL_HEADER = struct.Struct("<26xHH")
# Folders whose lists of members are kept; a step reads a few side by side.
FOLDERS = 16


class Member(NamedTuple):
    """The place of a file in an archive or a part."""

    container: str  # its file name
    start: int  # of its local header, or of its content in a part; bytes
    size: int  # bytes
    crc: int  # CRC-32 of its content


class Part:
    """The files in a part, which grows: the scan continues where the last one ended."""

    def __init__(self, path: Path):
        self.path = path
        self.end = 0
        self.members: dict[str, Member] = {}

    def scanned(self) -> "Part":
        """Itself, with the files that were added; those with another checksum are left out."""
        end = self.end  # threads may scan the same files: each counts for itself
        with self.path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            while end + RECORD.size <= size:
                file.seek(end)
                signature, crc, length, length_of_name = RECORD.unpack(file.read(RECORD.size))
                start = end + RECORD.size + length_of_name
                end = start + length
                if signature != SIGNATURE or end > size:
                    break  # a killed process wrote it, or another one is writing it
                name = file.read(length_of_name)
                own = zlib.crc32(file.read(length))
                if zlib.crc32(name, own) == crc:
                    self.members[name.decode()] = Member(self.path.name, start, length, own)
                self.end = end
        return self


_PARTS: dict[Path, Part] = {}  # by path, which no two parts share


def read_content(path: Path) -> bytes:
    """The bytes of a file, alone or in an archive; the address may name the archive.

    Raises UserError for a missing or damaged file and for one that cannot be read.
    """
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError) as error:
        member = _member(path)
        if member is None:
            raise unreadable(path, error) from error
        return _read(folder_of(path) / member.container, path.name, member)
    except OSError as error:
        raise unreadable(path, error) from error


def located(path: Path) -> Path:
    """The address of a file with its archive, ``folder/00000.zip/name``, for messages.

    A file of its own, and one that is missing, keep their address.
    """
    if os.path.lexists(path):
        return path
    member = _member(path)
    return folder_of(path) / member.container / path.name if member else path


def is_stored(path: Path) -> bool:
    """Return True if the file of an address exists, alone or in an archive."""
    return path.is_file() or _member(path) is not None


def files_in(folder: Path, *suffixes: str) -> list[Path]:
    """The addresses ``folder/name`` of maps and masks that end so, in the order of their names.

    Without ``suffixes``, of all. Hidden files are left out; a missing folder has none. Raises
    UserError for a finished folder with both archives and files of their own, and for a damaged
    archive.
    """
    if not folder.is_dir():
        return []
    if not (folder / MARK).exists():
        require_one_form(folder)
    names = _names(folder).union(_names_alone(folder))
    return [folder / name for name in sorted(names) if name.endswith(suffixes or OF_FOLDERS)]


def require_one_form(folder: Path) -> None:
    """Raise UserError for a folder with both archives and maps or masks of their own."""
    archives = _containers(folder, ARCHIVE)
    alone = _names_alone(folder) if archives else []
    if alone:
        raise UserError(
            f"{folder}: expected its files alone or in archives, got both, such as {min(alone)} "
            f"and {archives[0].name}; move the archives or the files elsewhere"
        )


@lru_cache(maxsize=FOLDERS)
def archived_files(
    folder: Path,
    time: int,  # noqa: ARG001 a key of the cache
    inode: int,  # noqa: ARG001
) -> dict[str, Member]:
    """The place of each file in the archives of a folder, by name.

    ``time`` and ``inode`` are those of the folder: another one of the same name is listed anew.
    Raises UserError for a damaged archive, names and compression of other programs, and for a file
    in two archives.
    """
    found: dict[str, Member] = {}
    for archive in _containers(folder, ARCHIVE):
        for name, place in _listed(archive):
            if name in found:
                raise UserError(
                    f"{archive}: expected each file in one archive, got {name} also in "
                    f"{found[name].container}; {remedy_of(archive)}"
                )
            found[name] = place
    return found


def _names_alone(folder: Path) -> list[str]:
    with os.scandir(folder) as entries:
        return [e.name for e in entries if e.name.endswith(OF_FOLDERS) and e.name[0] != "."]


def _member(path: Path) -> Member | None:
    """The place of a file in an archive or a part; None if it has none."""
    folder = folder_of(path)
    try:
        if (folder / MARK).exists():
            return _in_parts(folder, path.name)
        return _archived(folder).get(path.name)
    except OSError:  # reading the file itself gives its reason
        return None


def _archived(folder: Path) -> dict[str, Member]:
    state = folder.stat()
    return archived_files(folder, state.st_mtime_ns, state.st_ino)


def _in_parts(folder: Path, name: str) -> Member | None:
    """The place of a file in the parts of a folder, which are read again unless it is known."""
    parts = _parts(folder)
    for part in [*parts, *(part.scanned() for part in parts)]:
        if name in part.members:
            return part.members[name]
    return None


def _parts(folder: Path) -> list[Part]:
    return [_PARTS.setdefault(path, Part(path)) for path in _containers(folder, PART)]


def _names(folder: Path) -> set[str]:
    """The names of all files in the archives or parts of a folder."""
    if (folder / MARK).exists():
        return {name for part in _parts(folder) for name in [*part.scanned().members]}
    return {*_archived(folder)}


def _containers(folder: Path, suffix: str) -> list[Path]:
    with os.scandir(folder) as entries:
        names = [entry.name for entry in entries if entry.name.endswith(suffix)]
    return sorted(folder / name for name in names if suffix == PART or NAME.fullmatch(name))


def _listed(archive: Path) -> Iterator[tuple[str, Member]]:
    """The files in an archive. Raises UserError for names and compression of other programs."""
    try:
        with ZipFile(archive) as opened:
            listed = opened.infolist()
    except OSError as error:
        raise unreadable(archive, error) from error
    except (BadZipFile, ValueError, NotImplementedError) as error:
        raise damaged(archive, "its list of files cannot be read") from error
    for info in listed:
        if "/" in info.filename or not info.filename.endswith(OF_FOLDERS):
            raise UserError(
                f"{archive}: expected files named <id>.npz or <id>.png, got {info.filename}; "
                f"{remedy_of(archive)}"
            )
        if info.compress_type != ZIP_STORED:
            raise UserError(
                f"{archive}: expected files without compression, got {info.filename} compressed; "
                f"pack them by zip -0, or {remedy_of(archive)}"
            )
        place = Member(archive.name, info.header_offset, info.file_size, info.CRC)
        yield info.filename, place


def _read(container: Path, name: str, member: Member) -> bytes:
    try:
        with container.open("rb") as file:
            file.seek(member.start)
            if container.suffix != PART:
                _skip_header(file)
            content = file.read(member.size)
    except OSError as error:
        raise unreadable(container, error) from error
    if len(content) != member.size or zlib.crc32(content) != member.crc:
        raise damaged(container / name, CHANGED)
    return content


def _skip_header(file: BinaryIO) -> None:
    head = file.read(LOCAL_HEADER.size)
    if len(head) == LOCAL_HEADER.size:
        file.seek(sum(LOCAL_HEADER.unpack(head)), os.SEEK_CUR)
