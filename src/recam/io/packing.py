"""Archives of the files in the parts of a folder."""

from collections.abc import Sequence
from pathlib import Path
from zipfile import ZipFile, ZipInfo

from recam.io.archives import PER_ARCHIVE, files_in, read_content
from recam.io.atomic import replacing
from recam.runtime.progress import progress

# Of every file in an archive, so that the same files give the same bytes.
OLDEST = (1980, 1, 1, 0, 0, 0)
UNIX, MODE = 3, 0o100644 << 16


def pack(unfinished: Path, folder: Path) -> None:
    """Write the files in the parts of ``unfinished`` as archives into ``folder``.

    Bytes depend on names and contents alone: names are in order, times, modes and the number of
    files an archive are fixed.
    """
    folder.mkdir(parents=True)
    files = files_in(unfinished)
    starts = range(0, len(files), PER_ARCHIVE)
    archives = progress(list(enumerate(starts)), total=len(starts), what="pack", unit="archive")
    for number, start in archives:
        write_archive(folder / f"{number:05d}.zip", files[start : start + PER_ARCHIVE])


def write_archive(path: Path, files: Sequence[Path]) -> None:
    """Write files as a ZIP archive without compression, atomically, in the order given."""
    with replacing(path) as temporary, ZipFile(temporary, "w") as archive:
        for file in files:
            info = ZipInfo(file.name, date_time=OLDEST)
            info.create_system, info.external_attr = UNIX, MODE
            archive.writestr(info, read_content(file))
