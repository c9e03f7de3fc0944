"""Stage one: train a multi-label classifier with binary cross-entropy. Its maps are CAMs."""

from _library import run

from recam.catalogue.methods import make_classifier
from recam.catalogue.names import needs_texts
from recam.core.randomness import derived_seed
from recam.data.layout import load_weak_split
from recam.io.checkpoints import ModelConfig
from recam.models.backbones import backbone_of
from recam.models.initialisation import seeded_initialisation
from recam.models.weights import load_weights
from recam.pipeline.held_out import divided
from recam.steps.clip import save_tower
from recam.steps.fit import Trainee, fit
from recam.steps.labelled import labelled, saliency_of
from recam.steps.launch import distributed
from recam.steps.paths import TrainCamPaths
from recam.steps.sections.machine import Machine
from recam.steps.sections.train_cam import TrainCamRun

NEW = ("classifier", "pcm", "class_tokens")  # the layers that no weights are loaded into


@distributed
def main(paths: TrainCamPaths, numbers: TrainCamRun, machine: Machine) -> None:
    """Build the network, load its weights, train it, save it."""
    whole = load_weak_split(paths.data, numbers.split)
    if needs_texts(numbers.method):
        save_tower(paths, numbers, classes=whole.classes)
        return
    saliency = saliency_of(numbers.method, paths.saliency_maps, whole)
    split, held_out = divided(whole, numbers.held_out)
    model_config = ModelConfig(
        method=numbers.method,
        backbone=numbers.backbone,
        output_stride=numbers.output_stride,
        classes=split.classes,
        frozen_batch_norm=numbers.frozen_batch_norm,
        frozen_stem=numbers.frozen_stem,
        frozen_backbone=numbers.frozen_backbone,
        view_scale=numbers.seam_scale,
        view_weight=numbers.seam_weight,
        pcm=numbers.seam_pcm,
        contrast=numbers.mctformer_contrast,
    )
    with seeded_initialisation(numbers.random_seed, "train_cam"):
        model = make_classifier(model_config)
    load_weights(backbone_of(model), name=numbers.backbone, weights=numbers.weights)
    trainee = Trainee(
        model=model,
        model_config=model_config,
        images=labelled(
            split, saliency, random_seed=derived_seed(numbers.random_seed, "train_cam")
        ),
        learning_rates={"backbone": numbers.lr} | dict.fromkeys(NEW, numbers.lr_classifier),
        held_out=held_out and labelled(held_out, saliency, random_seed=0),
        inputs=paths.inputs(),
    )
    fit(trainee, paths, numbers, machine)


if __name__ == "__main__":
    run(main)
