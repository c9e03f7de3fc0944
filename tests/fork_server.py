"""Command lines of `python` in forks of one process that has imported the large packages once.

A step, Snakemake and DVC spend most seconds of a small experiment on imports. A fork runs the same
command line in a process of its own, and imports the project's files from their copy, as a new
interpreter would.
"""

import atexit
import contextlib
import gc
import importlib
import json
import os
import runpy
import select
import shutil
import signal
import socket
import subprocess
import sys
import threading
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

from fork_client import NUMBER, SOCKET

COMMANDS = ("python", "snakemake", "dvc")
START = 600  # seconds that the imports may take, on a busy machine
# Packages of the steps and of both engines; none starts a thread when it is imported.
PACKAGES = (
    *("torch.distributed.launcher.api", "torchvision", "timm", "segmentation_models_pytorch"),
    *("pandas", "matplotlib.pyplot", "matplotlib.backends.backend_agg", "scipy.ndimage"),
    *("snakemake.cli", "snakemake.api", "snakemake.report", "smart_open", "docutils.core"),
    *("dvc.cli.parser", "dvc.repo", "dvc.output", "dvc.stage.utils", "scmrepo.git", "ruamel.yaml"),
)


@cache
def commands() -> Path:
    """Start the server of this process; return the folder of its commands.

    The server ends with this process, which holds the other end of its input. A fork uses the
    server that it comes from. A system without pidfd has no server, but the usual commands.
    """
    here = Path(sys.executable).parent
    if (here / SOCKET).exists() or not has_pidfd():
        return here
    folder = Path(mkdtemp(prefix="forks-"))
    client = Path(__file__).with_name("fork_client.py").read_text()
    for name in COMMANDS:
        (folder / name).write_text(f"#!{sys.executable} -IS\n{client}")
        (folder / name).chmod(0o755)
    words = [sys.executable, __file__]
    server = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=folder)
    ready, _, _ = select.select([server.stdout], [], [], START)
    if not ready or server.stdout is None or server.stdout.readline() != b"ready\n":
        server.kill()
        server.wait()
        shutil.rmtree(folder)
        raise RuntimeError("the fork server of the tests did not start")
    _servers.append(server)
    return folder


def has_pidfd() -> bool:
    """Whether Python and the kernel can wait for a process by a file (Linux 5.3)."""
    try:
        os.close(os.pidfd_open(os.getpid()))
    except (AttributeError, OSError):
        return False
    return True


_servers: list[subprocess.Popen[bytes]] = []  # kept, so that their input stays open


@dataclass(frozen=True, kw_only=True)
class Request:
    """A command line and its process; ``files`` are its input and its outputs."""

    words: list[str]
    folder: str
    environment: dict[str, str]
    files: list[int]


def serve(listener: socket.socket) -> Request:
    """Fork for every client; returns in the fork, and never in the server."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # forks that have ended need no farewell
    while True:
        ready, _, _ = select.select([listener, sys.stdin], [], [])
        if sys.stdin in ready:
            shutil.rmtree(Path.cwd())
            os._exit(0)  # the tests have ended
        client, _ = listener.accept()
        with client:
            if not os.fork():
                listener.close()
                return forked(client)


def forked(client: socket.socket) -> Request:
    """Fork again: one process runs the command line, this one tells the client of its end."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    size, files, _, _ = socket.recv_fds(client, NUMBER.size, 3)
    message = client.recv(NUMBER.unpack(size)[0], socket.MSG_WAITALL)
    pid = os.fork()
    if not pid:
        client.close()
        os.setpgid(0, 0)
        return Request(**json.loads(message), files=files)
    for file in [0, 1, 2, *files]:
        os.close(file)  # a pipe ends with the command
    end = os.pidfd_open(pid)
    with contextlib.suppress(OSError):  # of a client that was killed
        client.sendall(NUMBER.pack(pid))
        ready, _, _ = select.select([client, end], [], [])
        if end in ready:
            client.sendall(NUMBER.pack(os.waitpid(pid, 0)[1]))
            os._exit(0)
    os.killpg(pid, signal.SIGKILL)
    os._exit(1)


def run(request: Request, *, python: Path) -> None:
    """Run the command line as the interpreter ``python`` does."""
    for number, file in enumerate(request.files):
        os.dup2(file, number)
        os.close(file)
    os.chdir(request.folder)
    os.environ.clear()
    os.environ.update(request.environment)
    sys.executable = str(python)
    words = request.words
    if words[0] == "-u":
        sys.stdout.reconfigure(write_through=True)
        words = words[1:]
    if words[0] == "-m":
        sys.argv, sys.path[0] = words[1:], request.folder
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
    else:
        sys.argv, sys.path[0] = words, str(Path(words[0]).resolve().parent)
        runpy.run_path(sys.argv[0], run_name="__main__")


def ended(request: Request, *, python: Path) -> int:
    """Run the command line to its end; return its exit code, negative for an interrupt.

    Exit handlers and errors are those of the interpreter. Only the removal of all modules is left
    out, which copies the memory of the packages.
    """
    code: object = 0
    try:
        run(request, python=python)
    except SystemExit as end:
        code = end.code
    except BaseException as error:
        sys.excepthook(type(error), error, error.__traceback__)
        code = -signal.SIGINT if isinstance(error, KeyboardInterrupt) else 1
    if code is not None and not isinstance(code, int):
        print(code, file=sys.stderr)  # noqa: T201 as sys.exit does
        code = 1
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    return code or 0


def main() -> None:
    """Import the packages, then serve in the present folder."""
    for name in PACKAGES:
        importlib.import_module(name)
    gc.freeze()  # a collection in a fork leaves the memory of the packages shared
    if threading.active_count() > 1:
        raise RuntimeError(f"a package started a thread, after which a fork may hang: {PACKAGES}")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(SOCKET)
        listener.listen()
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        python = Path.cwd() / "python"
        request = serve(listener)
    code = ended(request, python=python)
    if code == -signal.SIGINT:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.raise_signal(signal.SIGINT)
    os._exit(code)


if __name__ == "__main__":
    main()
