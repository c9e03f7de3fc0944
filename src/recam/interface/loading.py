"""Loading trained networks by the path of their checkpoint."""

from os import PathLike
from pathlib import Path

from recam.catalogue.methods import load_classifier
from recam.catalogue.names import METHODS
from recam.catalogue.segmenters import SEGMENTERS, load_segmenter
from recam.core.errors import UserError
from recam.interface.files import DEVICES, checkpoint_file
from recam.interface.networks import Classifier, Segmenter
from recam.io.checkpoints import load_checkpoint
from recam.pipeline.prediction_numbers import numbers_beside
from recam.runtime.devices import make_device


def load(path: str | PathLike[str], *, device: str = "auto") -> Segmenter | Classifier:
    """The trained network of a checkpoint: a segmenter or a classifier, by its content.

    ``device`` is ``auto`` (a GPU if there is one), ``cpu``, ``cuda`` or ``cuda:1``. Raises
    UserError for a missing, damaged or foreign file, and for another ``device``.
    """
    if not DEVICES.fullmatch(device):
        raise UserError(f"device: expected auto, cpu, cuda or cuda:1, got {device}")
    file = checkpoint_file(Path(path))
    _, config = load_checkpoint(file)
    if config.method in SEGMENTERS:
        segmenter, config = load_segmenter(file)
        on_device = segmenter.to(make_device(device))
        return Segmenter(on_device, config, path=file, numbers=numbers_beside(file))
    if config.method in METHODS:
        classifier, classes = load_classifier(file)
        return Classifier(classifier.to(make_device(device)), classes, path=file)
    raise UserError(
        f"{file}: expected a segmenter or a classifier, got a network of method {config.method}; "
        "give a segmenter.pt, which train_seg makes, or a classifier.pt, which train_cam or "
        "train_recam makes"
    )
