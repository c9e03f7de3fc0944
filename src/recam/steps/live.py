"""The live log of a training step, by the parameter ``watch``.

``watch`` changes no result, so it is no argument of a step: a change of it must rerun nothing.
"""

import sys
from pathlib import Path

from torch import nn

from recam.catalogue.live_logs import LIVE_LOGS
from recam.data.loading import LabelledImages, MaskedImages
from recam.pipeline.live_pictures import picture_of
from recam.pipeline.recorder import Recorder
from recam.steps.command import WATCH
from recam.steps.paths import TrainingPaths
from recam.steps.without_effect import chosen

LOGS = Path("logs/watch")


def recorder_of(
    model: nn.Module,
    images: LabelledImages | MaskedImages,
    paths: TrainingPaths,
    *,
    batch_size: int,
) -> Recorder | None:
    """The recorder of the running step; None unless ``watch`` names a log."""
    make = LIVE_LOGS.get(chosen("watch", variable=WATCH))
    if make is None:
        return None
    folder = log_folder(paths.checkpoint)
    return Recorder(
        lambda done: make(folder, done=done),
        batch_size=batch_size,
        picture=picture_of(model, images),
    )


def log_folder(checkpoint: Path) -> Path:
    """The folder of the running step's log: logs/watch/seed0/recam/train_recam."""
    return LOGS.joinpath(*checkpoint.absolute().parts[-3:-1], Path(sys.argv[0]).stem)
