"""Class re-activation maps (ReCAM, CVPR 2022): pixel masks from image-level labels alone."""

from importlib import import_module, metadata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from recam.interface.loading import load
    from recam.interface.reactivation import reactivate

    __version__: str

__all__ = ["__version__", "load", "reactivate"]

_HOMES = {"load": "recam.interface.loading", "reactivate": "recam.interface.reactivation"}


def __getattr__(name: str) -> object:
    """The interface, imported when it is first used: ``import recam`` alone imports no torch."""
    if name == "__version__":
        return metadata.version("recam")
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'recam' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
