"""Debian packages as a source of data, downloaded and unpacked without installation or root."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from recam.core.errors import UserError
from recam.io.atomic import replace_with


def unpack(package: Path, target: Path) -> None:
    """Extract a ``.deb`` file atomically into the new folder ``target``.

    Raises UserError if ``dpkg-deb`` is missing or fails.
    """
    with _folder_becoming(target) as folder:
        _extract(package, folder)


def download_and_unpack(name: str, target: Path) -> None:
    """Download the package ``name`` and extract it atomically into the new folder ``target``.

    ``apt-get`` chooses and verifies the file. Raises UserError if ``apt-get`` or ``dpkg-deb`` is
    missing or fails.
    """
    with _folder_becoming(target) as folder:
        _run(["apt-get", "download", name], folder)
        for package in list(folder.glob("*.deb")):
            _extract(package, folder)
            package.unlink()


@contextmanager
def _folder_becoming(target: Path) -> Iterator[Path]:
    target.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=target.parent, prefix=".") as temporary:
        folder = Path(temporary) / target.name
        folder.mkdir()
        yield folder
        replace_with(target, folder)


def _extract(package: Path, folder: Path) -> None:
    _run(["dpkg-deb", "--extract", str(package), str(folder)], Path())


def _run(command: list[str], folder: Path) -> None:
    try:
        subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)  # noqa: S603 - no shell
    except FileNotFoundError as error:
        raise UserError(f"{command[0]}: command not found, expected a Debian system") from error
    except subprocess.CalledProcessError as error:
        reason = (error.stderr.strip().splitlines() or ["no message"])[-1]
        raise UserError(f"{' '.join(command)}: failed ({reason})") from error
