"""Parts of train_recam: the network before training, and its warm-up."""

from pathlib import Path

from recam.catalogue.methods import REACTIVATIONS, TRAININGS, make_classifier
from recam.catalogue.names import METHODS
from recam.data.layout import require_classes
from recam.io.checkpoints import ModelConfig, load_network
from recam.methods.recam import ReCam
from recam.methods.variant import Variant
from recam.models.initialisation import seeded_initialisation
from recam.pipeline.warmup import WarmUp
from recam.steps.sections.train_recam import TrainRecamRun


def initial_model(
    cam: Path, numbers: TrainRecamRun, classes: tuple[str, ...]
) -> tuple[Variant, ModelConfig]:
    """The network of a method, from a trained variant, and the configuration of that variant."""
    trained, of_cam = load_network(
        cam,
        make_classifier,
        methods=TRAININGS,
        expected="a classifier of stage one",
        give="a classifier.pt, which train_cam makes",
    )
    require_classes(of_cam.classes, classes, source=cam)
    with seeded_initialisation(numbers.random_seed, "train_recam"):
        reactivate = REACTIVATIONS[METHODS[numbers.method].reactivation]
        return reactivate(trained, numbers.weight), of_cam


def warm_up_of(model: Variant, numbers: TrainRecamRun) -> WarmUp | None:
    """The warm-up of a model with a re-classifier; None for another one."""
    if not isinstance(model, ReCam):
        return None
    return WarmUp(
        steps=numbers.warmup_steps,
        learning_rate=numbers.lr_warmup,
        optimizer=numbers.optimizer,
        momentum=numbers.momentum,
        weight_decay=numbers.weight_decay,
    )
