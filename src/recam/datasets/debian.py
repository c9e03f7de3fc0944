"""Debian packages as a source of data: downloaded and unpacked without root, installed nowhere."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from recam.core.errors import UserError
from recam.io.atomic import replace_with


def unpack(package: Path, target: Path) -> None:
    """Put the files of a ``.deb`` into the folder ``target``, wholly or not at all.

    Raises UserError where ``dpkg-deb`` is missing or refuses the file.
    """
    with _folder_becoming(target) as folder:
        _extract(package, folder)


def download_and_unpack(name: str, target: Path) -> None:
    """Put the files of the package ``name`` into the folder ``target``, wholly or not at all.

    The package manager chooses and verifies the file. Raises UserError where there is no
    ``apt-get`` or it cannot bring the package.
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
        raise UserError(f"{command[0]}: no such command here, expected a Debian system") from error
    except subprocess.CalledProcessError as error:
        reason = (error.stderr.strip().splitlines() or ["no message"])[-1]
        raise UserError(f"{' '.join(command)} failed: {reason}") from error
