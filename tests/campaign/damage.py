"""Damage to the bytes of a file: bit rot, bad copies, files of other programs."""

from collections.abc import Callable
from pathlib import Path

from foreign import FOREIGN
from trial import Scene


def replaced(file: Path, content: bytes) -> None:
    """Write a file anew: the hard link to the finished run is cut first."""
    file.unlink(missing_ok=True)
    file.write_bytes(content)


def _unchanged(scene: Scene, file: Path) -> bool | None:
    return True


def _flipped(scene: Scene, file: Path) -> bool | None:
    damaged = bytearray(file.read_bytes())
    damaged[scene.random.randrange(len(damaged))] ^= 1 << scene.random.randrange(8)
    replaced(file, bytes(damaged))
    return None


def _cut(scene: Scene, file: Path) -> bool | None:
    content = file.read_bytes()
    replaced(file, content[: scene.random.randrange(len(content))])
    return False


def _zeros(scene: Scene, file: Path) -> bool | None:
    content = file.read_bytes()
    replaced(file, bytes(len(content)))
    return False


def _block(scene: Scene, file: Path) -> bool | None:
    """A block of the disk that reads as zeros."""
    content = bytearray(file.read_bytes())
    start = scene.random.randrange(len(content))
    content[start : start + 512] = bytes(len(content[start : start + 512]))
    replaced(file, bytes(content))
    return None


def _longer(scene: Scene, file: Path) -> bool | None:
    replaced(file, file.read_bytes() + bytes(scene.random.randint(1, 100)))
    return None


def _foreign(scene: Scene, file: Path) -> bool | None:
    replaced(file, scene.random.choice(list(FOREIGN.values())))
    return False


def _missing(scene: Scene, file: Path) -> bool | None:
    file.unlink()
    return False


def _folder(scene: Scene, file: Path) -> bool | None:
    file.unlink()
    file.mkdir()
    return False


def _loop(scene: Scene, file: Path) -> bool | None:
    file.unlink()
    file.symlink_to(scene.random.choice([file.name, "nowhere"]))
    return False


OF_BYTES: dict[str, Callable[[Scene, Path], bool | None]] = {
    "unchanged": _unchanged,
    "flipped bit": _flipped,
    "a flipped bit": _flipped,
    "truncated": _cut,
    "zeros": _zeros,
    "zero block": _block,
    "longer": _longer,
    "foreign": _foreign,
    "missing": _missing,
    "folder": _folder,
    "broken link": _loop,
}
