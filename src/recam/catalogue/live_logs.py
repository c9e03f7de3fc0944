"""Logs of a running training by name. A name is also that of the package that the log needs."""

from recam.io.live_logs import DvcLiveLog, TensorBoardLog

LIVE_LOGS: dict[str, type[TensorBoardLog | DvcLiveLog]] = {
    "tensorboard": TensorBoardLog,
    "dvclive": DvcLiveLog,
}
