"""A step on several devices: one process each, started by torchrun's launcher."""

import logging
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from recam.core.errors import UserError
from recam.runtime.devices import how_many, take, visible_gpus
from recam.runtime.distributed import process_group
from recam.runtime.loading import STOPPED
from recam.steps.command import REPORTED, TOGETHER, is_together, reported
from recam.steps.sections.machine import Machine

P = TypeVar("P")
N = TypeVar("N")
S = ParamSpec("S")  # a shard, or nothing
Main = Callable[Concatenate[P, N, Machine, S], None]


def distributed(main: Main[P, N, S]) -> Main[P, N, S]:
    """Run ``main`` in ``machine.devices`` processes, or in the process group of torchrun."""

    @wraps(main)
    def work(paths: P, numbers: N, machine: Machine, *args: S.args, **kwargs: S.kwargs) -> None:
        if is_together():
            if REPORTED in os.environ:
                _end_with_starter()
            with process_group():
                main(paths, numbers, machine, *args, **kwargs)
        elif (count := how_many(machine.devices, device=machine.device)) > 1:
            _run_together(count, machine)
        else:
            main(paths, numbers, machine, *args, **kwargs)

    return work


def _run_together(count: int, machine: Machine) -> None:
    """Run this command line in ``count`` processes, and exit with their exit code."""
    if machine.device != "cpu" and (gpus := visible_gpus()):
        chosen = [gpus[number] for number in take(count, of=len(gpus))]
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(chosen)
    logging.getLogger("torch.distributed").setLevel(
        logging.CRITICAL
    )  # the step reports its own errors
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # it warns that layers may be unused
    with tempfile.TemporaryDirectory() as folder:
        config = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=count,
            logs_specs=DefaultLogsSpecs(log_dir=folder),
            run_id=str(os.getpid()),  # how they recognise the process that started them
            rdzv_backend="c10d",
            rdzv_endpoint="localhost:0",
            local_addr="localhost",
            max_restarts=0,
        )
        os.environ[REPORTED] = str(Path(folder, "reported"))
        try:
            elastic_launch(config, sys.executable)(*sys.argv)
        except ChildFailedError as error:
            code = error.get_first_failure()[1].exitcode
        except SignalException:
            code = STOPPED
        else:
            code = 0
        finally:
            del os.environ[REPORTED]
    if code < 0:
        raise UserError(
            f"devices: one of the {count} processes was killed by signal {-code}, perhaps as "
            "memory ran out; lower batch_size or devices"
        )
    sys.exit(code)  # the processes have reported the error


def _end_with_starter() -> None:
    """Exit when the parent process dies.

    A step that ends in order ends its processes. A killed one cannot, and they would keep their
    devices. (On Windows a process is not informed.)
    """
    if sys.platform == "win32":
        return
    starter = int(os.environ[TOGETHER])

    def watch() -> None:
        while os.getppid() == starter:
            time.sleep(1)
        try:
            reported(
                "devices: the process that started the others was killed, perhaps as memory ran "
                "out; lower batch_size or devices"
            )
        finally:
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
