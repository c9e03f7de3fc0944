"""Logs of a running training for TensorBoard and DVCLive.

A log is a folder. It is opened after the last step that a resumed training keeps: later points of
the killed run leave it, so that a curve has no step twice.
"""

import csv
import logging
import shutil
import time
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import UInt8

from recam.io.atomic import write_text

Picture = UInt8[np.ndarray, "H W 3"]


@runtime_checkable
class LiveLog(Protocol):
    """Curves and pictures of one training, by step."""

    def numbers(self, step: int, values: dict[str, float]) -> None:
        """Add a point to each curve; a name has the form ``group/name``."""
        ...

    def picture(self, step: int, name: str, picture: Picture) -> None:
        """Add an RGB picture."""
        ...

    def flush(self) -> None:
        """Write everything to disk."""
        ...


class TensorBoardLog:
    """An event file. The viewer drops the points after ``done`` in files of killed runs.

    Events are written by ``flush``, without a thread beside the training as torch's writer has.
    """

    def __init__(self, folder: Path, *, done: int):
        from tensorboard.compat.proto import event_pb2  # noqa: PLC0415 recam[watch]

        if not done:
            shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True)
        self._file = folder / f"events.out.tfevents.{time.time_ns()}.recam"  # read in this order
        self._protocol: Any = event_pb2
        self._events: list[bytes] = []
        start = self._protocol.SessionLog(status=self._protocol.SessionLog.START)
        self._add(file_version="brain.Event:2")
        self._add(step=done + 1, session_log=start)

    def numbers(self, step: int, values: dict[str, float]) -> None:
        """Add a point to each curve."""
        from torch.utils.tensorboard.summary import scalar  # noqa: PLC0415 recam[watch]

        for name, value in values.items():
            self._add(step=step, summary=scalar(name, value))

    def picture(self, step: int, name: str, picture: Picture) -> None:
        """Add an RGB picture."""
        from torch.utils.tensorboard.summary import image  # noqa: PLC0415 recam[watch]

        self._add(step=step, summary=image(name, picture, dataformats="HWC"))

    def flush(self) -> None:
        """Write everything to disk."""
        from tensorboard.summary.writer.record_writer import RecordWriter  # noqa: PLC0415

        with self._file.open("ab") as file:
            for event in self._events:
                RecordWriter(file).write(event)
        self._events.clear()

    def _add(self, **content: object) -> None:
        event = self._protocol.Event(wall_time=time.time(), **content)
        self._events.append(event.SerializeToString())


class DvcLiveLog:
    """A TSV for each curve and PNGs, as DVCLive writes them. No DVC experiment is saved."""

    def __init__(self, folder: Path, *, done: int):
        from dvclive.live import Live  # noqa: PLC0415 recam[watch]

        class Curves(Live):
            """Files alone: DVC's repository, which may be running this step, is not opened."""

            def _init_dvc(self) -> None:
                pass

        logging.getLogger("dvclive").setLevel(logging.WARNING)
        if done:
            _cut(folder, done)
        else:
            shutil.rmtree(folder, ignore_errors=True)
        self._live = Curves(str(folder), resume=done > 0, save_dvc_exp=False, dvcyaml=False)

    def numbers(self, step: int, values: dict[str, float]) -> None:
        """Add a point to each curve."""
        self._live.step = step
        for name, value in values.items():
            self._live.log_metric(name, value)

    def picture(self, step: int, name: str, picture: Picture) -> None:
        """Add an RGB picture."""
        self._live.step = step
        self._live.log_image(f"{name}/{step}.png", picture)

    def flush(self) -> None:
        """Write the last value of each curve; the curves are on disk."""
        # Not `end` or `next_step`: they would add files to a running `dvc exp run`.
        self._live.make_summary()


def _cut(folder: Path, done: int) -> None:
    """Delete the points and pictures of later steps."""
    for file in (folder / "plots" / "metrics").rglob("*.tsv"):
        rows = list(csv.reader(file.read_text(encoding="utf-8").splitlines(), delimiter="\t"))
        # The last row of a killed run may be cut.
        whole = [row for row in rows[1:] if len(row) == len(rows[0]) and row[0].isdecimal()]
        kept = [*rows[:1], *(row for row in whole if int(row[0]) <= done)]
        write_text(file, "".join("\t".join(row) + "\n" for row in kept))
    for file in (folder / "plots" / "images").rglob("*.png"):
        if int(file.stem) > done:
            file.unlink()
