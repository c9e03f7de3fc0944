"""A step on several devices: one process for each, started and watched by torchrun's own means."""

import argparse
import logging
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from recam.core.errors import UserError
from recam.runtime.devices import how_many, take, visible_gpus
from recam.runtime.distributed import process_group
from recam.steps.command import REPORTED, STOPPED, TOGETHER, is_together, reported

Main = Callable[[argparse.Namespace], None]


def shared(main: Main) -> Main:
    """The same work, in as many processes as `devices` asks for; or together with torchrun's."""

    def work(args: argparse.Namespace) -> None:
        if is_together():
            if REPORTED in os.environ:
                _end_with_starter()
            with process_group():
                main(args)
        elif (count := how_many(args.devices, device=args.device)) > 1:
            _run_together(count, args)
        else:
            main(args)

    return work


def _run_together(count: int, args: argparse.Namespace) -> None:
    """Run this very command line in so many processes, and exit as they did."""
    if args.device != "cpu" and (gpus := visible_gpus()):
        chosen = [gpus[number] for number in take(count, of=len(gpus))]
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(chosen)
    logging.getLogger("torch.distributed").setLevel(logging.CRITICAL)  # the step speaks for itself
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # it warns that layers may be unused
    with tempfile.TemporaryDirectory() as folder:
        config = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=count,
            logs_specs=DefaultLogsSpecs(log_dir=folder),
            run_id=str(os.getpid()),  # by which they know who started them
            rdzv_backend="c10d",
            rdzv_endpoint="localhost:0",
            local_addr="localhost",
            max_restarts=0,
        )
        os.environ[REPORTED] = str(Path(folder, "told"))
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
    sys.exit(code)  # the processes have said how it ended


def _end_with_starter() -> None:
    """Let this process end by itself when the step that started it is gone.

    A step that ends in order ends its processes. One that is killed cannot: they would go on, and
    hold their devices, perhaps for ever. (On Windows a process does not learn of that.)
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
