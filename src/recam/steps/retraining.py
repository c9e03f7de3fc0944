"""Parts of train_recam: the network before training, and its warm-up."""

from pathlib import Path

from recam.catalogue.methods import METHODS, make_classifier
from recam.data.layout import require_classes
from recam.io.checkpoints import ModelConfig, load_checkpoint
from recam.methods.cam import Cam
from recam.methods.recam import ReCam
from recam.models.initialisation import seeded_initialisation
from recam.pipeline.warmup import WarmUp
from recam.steps.sections.train_recam import TrainRecamRun


def initial_model(
    cam: Path, numbers: TrainRecamRun, classes: tuple[str, ...]
) -> tuple[Cam | ReCam, ModelConfig]:
    """The network of a method, from a trained CAM, and the configuration of that CAM."""
    tensors, of_cam = load_checkpoint(cam)
    require_classes(of_cam.classes, classes, source=cam)
    trained = make_classifier(of_cam)
    trained.load_state_dict(tensors)
    with seeded_initialisation(numbers.random_seed, "train_recam"):
        return METHODS[numbers.method](trained, numbers.weight), of_cam


def warm_up_of(model: Cam | ReCam, numbers: TrainRecamRun) -> WarmUp | None:
    """The warm-up of a model with a re-classifier; None for another one."""
    if not isinstance(model, ReCam):
        return None
    return WarmUp(
        steps=numbers.warmup_steps,
        learning_rate=numbers.lr_warmup,
        momentum=numbers.momentum,
        weight_decay=numbers.weight_decay,
    )
