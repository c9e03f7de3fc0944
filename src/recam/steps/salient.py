"""Parts of train_saliency: the network of CCAM and its training."""

from functools import partial
from pathlib import Path

from recam.catalogue.backbones import make_backbone
from recam.core.randomness import derived_seed
from recam.data.layout import WeakSplit
from recam.data.loading import LabelledImages
from recam.io.checkpoints import ModelConfig
from recam.methods.ccam import Ccam
from recam.models.initialisation import seeded_initialisation
from recam.models.weights import load_weights
from recam.steps.fit import Trainee
from recam.steps.sections.train_saliency import TrainSaliencyRun

STEP = "train_saliency"  # its random draws are its own


def initial_ccam(numbers: TrainSaliencyRun, classes: tuple[str, ...]) -> tuple[Ccam, ModelConfig]:
    """CCAM on a backbone with its initial weights; batch norms train."""
    model_config = ModelConfig(
        method="ccam",
        backbone=numbers.backbone,
        output_stride=numbers.output_stride,
        classes=classes,
        frozen_batch_norm=False,
        frozen_stem=False,
    )
    with seeded_initialisation(numbers.random_seed, STEP):
        backbone = make_backbone(model_config)
        channels = backbone.channels + backbone.level_channels[-2]
        model = Ccam(backbone, channels=channels, rank_decay=numbers.rank_decay)
    load_weights(backbone, name=numbers.backbone, weights=numbers.weights)
    return model, model_config


def trainee_of(
    model: Ccam,
    model_config: ModelConfig,
    split: WeakSplit,
    numbers: TrainSaliencyRun,
    *,
    inputs: tuple[Path, ...],
) -> Trainee:
    """The training of CCAM on all images of the split; a finished one is not repeated."""
    seed = derived_seed(numbers.random_seed, STEP)
    return Trainee(
        model=model,
        model_config=model_config,
        images=partial(LabelledImages, split, random_seed=seed),
        learning_rates={"backbone": numbers.lr, "region_head": numbers.lr_head},
        keeps_state=True,
        inputs=inputs,
    )
