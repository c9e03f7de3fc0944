"""Training of IRN: masks of confident pixels, made from cams by a CRF, then the network."""

from functools import partial

from recam.catalogue.refiners import make_irn
from recam.core.errors import UserError
from recam.core.randomness import derived_seed
from recam.data.layout import WeakSplit, load_weak_split
from recam.data.loading import MaskedImages
from recam.io.archives import require_one_form
from recam.io.checkpoints import ModelConfig
from recam.io.resumable import ResumableFolder
from recam.models.backbones import backbone_of
from recam.models.initialisation import seeded_initialisation
from recam.models.weights import load_weights
from recam.pipeline.confident import ConfidentLabels, require_foreground, write_confident_masks
from recam.pipeline.training import epochs_done
from recam.refine.irn import STRIDE, Irn
from recam.runtime.devices import make_device
from recam.runtime.distributed import is_first_after_all
from recam.runtime.parts import WHOLE
from recam.steps.command import fingerprint
from recam.steps.crf import crf_of
from recam.steps.fit import Trainee, fit
from recam.steps.launch import distributed
from recam.steps.paths import IrnPaths
from recam.steps.sections.machine import Machine
from recam.steps.sections.train_irn import TrainIrnRun
from recam.steps.shard_folders import drop_shards, finish_shard, folder_of
from recam.steps.shards import Shard


@distributed
def train_irn(paths: IrnPaths, numbers: TrainIrnRun, machine: Machine, shard: Shard) -> None:
    """Make the masks, train the heads on them, save the network; a shard makes masks only."""
    _require_room(numbers)
    split = load_weak_split(paths.data, numbers.split)
    inputs = (paths.data, paths.cams)
    key = fingerprint(paths, numbers, machine, inputs=inputs)
    masks = folder_of(shard, paths.checkpoint.with_name("irn_masks"), key=key)
    if epochs_done(paths.state, key=key) < numbers.epochs_for(len(split.ids)):
        _make_masks(paths, numbers, machine, split=split, masks=masks)
    if not shard.is_last:
        finish_shard(shard, masks)
        return
    model, model_config = _initial_network(numbers, split.classes)
    seed = derived_seed(numbers.random_seed, "train_irn")
    trainee = Trainee(
        model=model,
        model_config=model_config,
        images=partial(MaskedImages, split, masks.partial, random_seed=seed),
        learning_rates={
            "edge_head": numbers.lr_edges,
            "displacement_head": numbers.lr_displacements,
        },
        inputs=inputs,
        resize_unit=numbers.resize_unit,
        keeps_state=True,
    )
    fit(trainee, paths, numbers, machine)
    if is_first_after_all():
        masks.drop()
        drop_shards(masks.path)


def _initial_network(numbers: TrainIrnRun, classes: tuple[str, ...]) -> tuple[Irn, ModelConfig]:
    model_config = ModelConfig(
        method="irn",
        backbone=numbers.backbone,
        output_stride=numbers.output_stride,
        classes=classes,
        frozen_batch_norm=True,
        frozen_stem=True,
        radius=numbers.radius,
    )
    with seeded_initialisation(numbers.random_seed, "train_irn"):
        model = make_irn(model_config)
    load_weights(backbone_of(model), name=numbers.backbone, weights=numbers.weights)
    return model, model_config


def _require_room(numbers: TrainIrnRun) -> None:
    reach = 2 * (numbers.radius - 1) * STRIDE
    if numbers.crop <= reach:
        raise UserError(
            f"crop: expected more than {reach} pixels, so that pairs of radius {numbers.radius} "
            f"fit, got {numbers.crop}; raise crop or lower radius"
        )


def _make_masks(
    paths: IrnPaths,
    numbers: TrainIrnRun,
    machine: Machine,
    *,
    split: WeakSplit,
    masks: ResumableFolder,
) -> None:
    """Masks of confident pixels, 255 elsewhere, for the images of the split, or of its part."""
    require_one_form(paths.cams)
    images = {paths.cams / f"{i}.npz": p for i, p in zip(split.ids, split.images, strict=True)}
    labels = ConfidentLabels(
        foreground=numbers.foreground,
        background=numbers.background,
        certainty=numbers.certainty,
        crf=crf_of(numbers),
    )
    write_confident_masks(
        images,
        masks,
        labels=labels,
        num_classes=len(split.classes),
        device=make_device(machine.device, threads=machine.threads),
    )
    if is_first_after_all() and masks.part == WHOLE:
        require_foreground(masks.partial, split.ids)
