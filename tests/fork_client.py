"""A command line of `python`, run by the fork server of the tests (fork_server.py).

Copies of this file named `python`, `snakemake` and `dvc` lie beside the server's socket, first in
the path of the graph tests. Input, outputs, folder, environment, exit code and signals are those of
this process. The modules of the standard library that it imports load in 20 ms.
"""

import json
import os
import signal
import socket
import struct
import sys

FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
NUMBER = struct.Struct("!i")
SOCKET = "socket"  # beside the commands


def main() -> int:
    """Run the command line in a fork of the server; return its wait status."""
    here, name = os.path.split(sys.argv[0])
    words = sys.argv[1:] if name == "python" else ["-m", name, *sys.argv[1:]]
    if not words or (words[0].startswith("-") and words[0] not in ("-m", "-u")):
        os.execv(sys.executable, [sys.executable, *words])  # noqa: S606 no shell is meant
    folder = os.getcwd()  # noqa: PTH109 pathlib would take longer to load than the rest
    request = {"words": words, "folder": folder, "environment": dict(os.environ)}
    os.chdir(here)  # the path of a socket has at most 107 bytes
    with socket.socket(socket.AF_UNIX) as server:
        server.connect(SOCKET)
        message = json.dumps(request).encode()
        socket.send_fds(server, [NUMBER.pack(len(message))], [0, 1, 2])
        server.sendall(message)
        pid = received(server)
        for number in FORWARDED:
            signal.signal(number, lambda number, _: os.kill(pid, number))
        return received(server)


def received(server: socket.socket) -> int:
    """The next number from the server."""
    message = server.recv(NUMBER.size, socket.MSG_WAITALL)
    if len(message) < NUMBER.size:
        sys.exit("the fork server of the tests has ended")
    return NUMBER.unpack(message)[0]


if __name__ == "__main__":
    code = os.waitstatus_to_exitcode(main())
    if code < 0:
        if -code != signal.SIGKILL:
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code)
