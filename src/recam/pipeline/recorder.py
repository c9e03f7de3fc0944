"""Records a running training in a live log: losses, learning rates, speed, pictures.

Recording changes no number of a training, and never ends one: a log that fails gives a warning.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from recam.io.live_logs import LiveLog, Picture

WRITE_EVERY = 10  # steps; each writing waits for the device
NAMES = {"": "others", ".bias": "bias"}  # of groups of parameters that have no name of their own

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Point:
    step: int
    losses: dict[str, Tensor]
    rates: dict[str, float]


class Recorder:
    """Gives the points of a training to a log, which ``open_log`` opens after ``done`` steps.

    ``batch_size`` images take a step. ``picture`` draws the network's present maps or masks. Steps
    are counted from ``first``, the steps of an earlier round of training.
    """

    def __init__(
        self,
        open_log: Callable[[int], LiveLog],
        *,
        batch_size: int,
        picture: Callable[[], Picture] | None = None,
        first: int = 0,
    ):
        self.open_log = open_log
        self.batch_size = batch_size
        self.picture = picture
        self.first = first
        self._log: LiveLog | None = None
        self._waiting: list[_Point] = []
        self._since: float | None = None  # seconds; the end of the step before the waiting ones
        self._has_failed = False

    def step(self, step: int, losses: dict[str, Tensor], *, rates: dict[str, float]) -> None:
        """Keep the losses of a step, counted from 1, and its learning rates by group."""
        self._waiting.append(_Point(step=self.first + step, losses=losses, rates=rates))
        if step % WRITE_EVERY == 0:
            self._safely(self._write)

    def epoch(self, step: int, values: dict[str, float]) -> None:
        """Write the means of an epoch that ended with ``step``, and the picture."""
        self._safely(lambda: self._end_epoch(self.first + step, values))
        self._since = None  # the time until the next step is not one of training

    def _end_epoch(self, step: int, values: dict[str, float]) -> None:
        self._write()
        log = self._opened(step)
        log.numbers(step, {f"epoch/{name.replace(' ', '_')}": v for name, v in values.items()})
        if self.picture:
            log.picture(step, "picture", self.picture())
        log.flush()

    def _write(self) -> None:
        if not self._waiting:
            return
        points, self._waiting = self._waiting, []
        flat = torch.stack([loss for point in points for loss in point.losses.values()])
        values = iter(flat.tolist())  # waits for the device, once for all points
        log = self._opened(points[0].step - 1)
        for point in points:
            numbers = {f"loss/{name}": next(values) for name in point.losses}
            numbers |= {f"lr/{NAMES.get(name, name)}": rate for name, rate in point.rates.items()}
            log.numbers(point.step, numbers)
        now = time.monotonic()
        if self._since is not None:
            speed = len(points) * self.batch_size / max(now - self._since, 1e-9)
            log.numbers(points[-1].step, {"speed/images_per_second": speed})
        self._since = now
        log.flush()

    def _opened(self, done: int) -> LiveLog:
        self._log = self._log or self.open_log(done)
        return self._log

    def _safely(self, work: Callable[[], None]) -> None:
        if self._has_failed:
            self._waiting.clear()
            return
        try:
            work()
        except Exception as error:  # whatever fails, the training goes on
            self._has_failed = True
            logger.warning(
                "warning: the log of `watch` ends here, training goes on: %s: %s",
                type(error).__name__,
                error,
            )
