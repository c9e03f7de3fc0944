"""Self-training of a segmenter: a second round on its own masks of the training images."""

import logging
from typing import cast

from recam.checks.masks import are_ground_truth
from recam.data.layout import WeakSplit
from recam.io.resumable import ResumableFolder
from recam.models.segmenters import Segmenter
from recam.pipeline.own_masks import OwnMasks, write_own_masks
from recam.runtime.devices import make_device
from recam.runtime.distributed import is_first, wait_for_all
from recam.runtime.precision import make_precision
from recam.steps.command import fingerprint
from recam.steps.crf import crf_of
from recam.steps.fit import Trainee, save, trained
from recam.steps.folders import resumable
from recam.steps.paths import SegmenterPaths
from recam.steps.sections.machine import Machine
from recam.steps.sections.shared import CrfNumbers
from recam.steps.sections.train_seg import TrainSeg, TrainSegRun
from recam.steps.segmenter import trainee_on

logger = logging.getLogger(__name__)


def has_second_round(paths: SegmenterPaths, numbers: TrainSegRun) -> bool:
    """Whether the segmenter trains itself; on ground truth, as the upper bound, it does not."""
    return numbers.self_training == "second_round" and not are_ground_truth(paths.masks)


def fit_twice(
    first: Trainee,
    split: WeakSplit,
    paths: SegmenterPaths,
    numbers: TrainSegRun,
    machine: Machine,
) -> None:
    """Train ``first``, then a segmenter with the same initial weights on the masks of ``first``.

    Writes the second one, with the curve of both. A killed run is resumed in its round. Raises
    UserError if no pixel of the new masks is foreground.
    """
    curve = trained(first, paths, _of_first_round(numbers), machine, state=paths.state)
    folder = _own_masks(first, split, paths, numbers, machine)
    logger.info("second round, on the masks of the first one")
    second = trainee_on(folder.partial, split, paths, numbers, seed_names=("second",))
    epochs = curve[-1].epoch
    state = paths.second_state
    curve += trained(second, paths, numbers, machine, state=state, epochs_before=epochs)
    save(second, paths, curve)


def forget_second_round(paths: SegmenterPaths) -> None:
    """Delete the masks and the state of a second round, of this run or of a killed one."""
    folder = resumable(paths.own_masks, key="")  # another key: its files are deleted
    if is_first():
        folder.drop()
        paths.second_state.unlink(missing_ok=True)


def own_masks_of(numbers: TrainSeg) -> OwnMasks:
    """The parameters of own masks, from those of the step."""
    return OwnMasks(
        scales=numbers.self_training_scales,
        batch_size=numbers.batch_size,
        confidence=numbers.self_training_confidence,
        crf=crf_of(numbers),
    )


def _of_first_round(numbers: TrainSegRun) -> TrainSegRun:
    """The numbers without those of own masks: after a change of these the first round is kept."""
    masks = (*CrfNumbers.model_fields, "self_training_confidence", "self_training_scales")
    return numbers.model_copy(update=dict.fromkeys(masks))


def _own_masks(
    trainee: Trainee,
    split: WeakSplit,
    paths: SegmenterPaths,
    numbers: TrainSegRun,
    machine: Machine,
) -> ResumableFolder:
    """The trained segmenter's masks of the split, in a folder that is never finished."""
    key = fingerprint(paths, numbers, machine, inputs=trainee.inputs)
    folder = resumable(paths.own_masks, key=key)
    device = make_device(machine.device, threads=machine.threads)
    write_own_masks(
        cast(Segmenter, trainee.model),
        split,
        folder,
        numbers=own_masks_of(numbers),
        precision=make_precision(machine.precision, device),
    )
    wait_for_all()
    return folder
