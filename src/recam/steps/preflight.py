"""Whether an experiment can run on a data set, told before anything is trained."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from recam.catalogue.names import (
    CLUSTERED,
    METHODS,
    SUPERVISED,
    needs_irn,
    needs_texts,
)
from recam.checks.experiment import (
    crop_warnings,
    grid_warnings,
    longer_sides,
    pseudo_mask_errors,
    scoring_notes,
    split_errors,
    supervision_errors,
)
from recam.checks.saliency import saliency_errors, saliency_folder
from recam.data.layout import IMAGES, MASKS, SPLITS, find_image, read_split
from recam.datasets.collection import Collection
from recam.runtime.threads import usable_cores
from recam.steps.params import Experiment
from recam.steps.prompts import read_prompts
from recam.steps.sections.machine import Machine
from recam.steps.sections.shared import Training


@dataclass(frozen=True, slots=True, kw_only=True)
class DataFacts:
    """The parts of a data set that decide whether an experiment can run on it."""

    splits: Mapping[str, tuple[str, ...]]  # image ids
    images: Mapping[str, Path]  # of every id in a split
    with_mask: frozenset[str]  # ids with ground truth
    longest_side: int | None = None  # pixels to which the download step downscales images


def facts_of_layout(root: Path) -> DataFacts:
    """The facts of a data set folder in the layout. Raises UserError for a missing file."""
    names = sorted(path.stem for path in (root / SPLITS).glob("[!.]*.txt"))
    splits = {name: read_split(root, name) for name in names}
    ids = [image_id for listed in splits.values() for image_id in listed]
    return DataFacts(
        splits=splits,
        images={image_id: find_image(root / IMAGES, image_id) for image_id in ids},
        with_mask=frozenset(path.stem for path in (root / MASKS).glob("*.png")),
    )


def facts_of_collection(found: Collection, *, longest_side: int | None) -> DataFacts:
    """The facts of a data set in its original place, before the download step."""
    return DataFacts(
        splits=found.splits,
        images=found.images,
        with_mask=frozenset(found.masks),
        longest_side=longest_side,
    )


def errors_of(numbers: Experiment, facts: DataFacts) -> list[str]:
    """Contradictions between numbers and data, on which a step would stop; opens no file.

    Raises UserError if the folder of saliency maps is missing.
    """
    if unknown := split_errors(chosen_splits(numbers), facts.splits):
        return unknown
    name, mapped = numbers.train_seg.split, numbers.make_cams.split
    ids = facts.splits[name]
    errors = supervision_errors(name, ids, facts.with_mask) if SUPERVISED in numbers.methods else []
    if folder := saliency_folder(numbers.download.saliency):
        errors += saliency_errors(folder, facts.splits)
    if set(numbers.methods) != {SUPERVISED}:
        errors += pseudo_mask_errors(name, ids, (mapped, facts.splits[mapped]))
    return errors


def warnings_of(numbers: Experiment, facts: DataFacts) -> list[str]:
    """Warnings and notes about data on which the experiment runs and gives poor or no scores.

    Only for data without ``errors_of``. Reads the headers of images; raises UserError for an
    unreadable one.
    """
    chosen = chosen_splits(numbers)
    longer = {split: _longer_sides(facts, split) for split in set(chosen.values())}
    cams, final = numbers.make_cams, numbers.evaluate
    sentences = grid_warnings(
        longer[cams.split],
        key="make_cams.scales",
        scales=cams.scales,
        stride=numbers.train_cam.output_stride,
    )
    sentences += grid_warnings(
        longer[final.seg_split],
        key="evaluate.scales",
        scales=final.scales,
        stride=numbers.train_seg.output_stride,
    )
    sentences += shard_warnings(numbers, facts)
    for (split, crop), keys in _crops(numbers).items():
        sentences += crop_warnings(longer[split], key=keys, crop=crop)
    for key in ("evaluate.maps_split", "evaluate.seg_split"):
        ids = facts.splits[chosen[key]]
        sentences += scoring_notes(key, chosen[key], ids, facts.with_mask)
    return sentences


def machine_errors(machine: Machine, gpus: int) -> list[str]:
    """An error if a step asks for more devices than this machine has; ``gpus`` are its GPUs."""
    if not isinstance(machine.devices, int):
        return []
    on_gpus = machine.device != "cpu" and gpus > 0
    there, kind = (gpus, "GPUs") if on_gpus else (usable_cores(), "cores")
    if machine.devices <= there:
        return []
    return [
        f"machine.devices: expected at most {there}, the {kind} of this machine, got "
        f"{machine.devices}; lower it"
    ]


def shard_warnings(numbers: Experiment, facts: DataFacts) -> list[str]:
    """A warning if some shards have no image to work on."""
    shards, split = numbers.machine.shards, numbers.make_cams.split
    count = len(facts.splits[split])
    if shards <= count:
        return []
    return [
        f"machine.shards: expected at most {count}, the images of split {split}, got {shards}; the "
        "others have nothing to do, so lower it"
    ]


def watch_errors(watch: str) -> list[str]:
    """An error if the package of the log that ``watch`` names is not installed."""
    if watch == "none" or find_spec(watch):
        return []
    return [
        f"watch: expected the package {watch}, which is not installed; run `pip install "
        "'recam[watch]'`, or set watch: none"
    ]


def weights_errors(numbers: Experiment) -> list[str]:
    """Errors about initial weights that a network cannot start from."""
    named = {
        "train_cam.weights": numbers.train_cam.weights,
        "train_irn.weights": numbers.train_irn.weights,
        "train_seg.weights": numbers.train_seg.weights,
        "make_pseudo.affinity_weights": numbers.make_pseudo.affinity_weights,
    }
    errors = [
        f"{name}: expected {', '.join(_words(name))} or the path of a file, got "
        f"{weights}, which does not exist; correct it"
        for name, weights in named.items()
        if weights not in _words(name) and not Path(weights).expanduser().is_file()
    ]
    cam, seg = numbers.train_cam.backbone, numbers.train_seg.backbone
    if numbers.train_seg.weights == "classifier" and cam != seg:
        errors.append(
            f"train_seg.backbone: expected that of train_cam ({cam}), whose weights it starts "
            f"from, got {seg}; make them the same, or set train_seg.weights to imagenet"
        )
    return errors


def texts_errors(numbers: Experiment, made: Path) -> list[str]:
    """Errors about text vectors and their tower, where a method needs them.

    ``made`` is the output of embed_texts: once it exists, no text encoder is needed. Raises
    UserError for a wrong file of prompts.
    """
    if not any(map(needs_texts, numbers.methods)):
        return []
    errors: list[str] = []
    if (tower := numbers.train_cam.clip_weights) not in ("timm", "none") and not _is_file(tower):
        errors.append(
            f"train_cam.clip_weights: expected timm, none or the path of a file, got {tower}, "
            "which does not exist; correct it"
        )
    given = numbers.embed_texts.vectors
    if given != "none":
        if not _is_file(given):
            errors.append(
                f"embed_texts.vectors: expected none or the path of a file, got {given}, which "
                "does not exist; correct it"
            )
        return errors
    read_prompts(Path(numbers.embed_texts.prompts))
    if not made.exists() and not find_spec("open_clip"):
        errors.append(
            "embed_texts: expected the package open_clip, which is not installed; run `pip install "
            "'recam[clip]'`, or set embed_texts.vectors to text vectors made on another machine"
        )
    return errors


def _is_file(path: str) -> bool:
    return Path(path).expanduser().is_file()


def _words(key: str) -> tuple[str, ...]:
    return ("classifier",) * (key == "train_seg.weights") + ("imagenet", "none")


def chosen_splits(numbers: Experiment) -> dict[str, str]:
    """The splits that the experiment reads, by the dotted key of their parameter."""
    used = ["train_cam", "make_cams", "train_seg"]
    used += ["train_recam"] * any(m in METHODS and METHODS[m].reactivation for m in numbers.methods)
    used += ["make_clusters"] * any(method in CLUSTERED for method in numbers.methods)
    used += ["train_irn"] * needs_irn(numbers.make_pseudo.refiner)
    chosen = {f"{name}.split": getattr(numbers, name).split for name in used}
    final = numbers.evaluate
    return chosen | {
        "evaluate.maps_split": final.maps_split,
        "evaluate.seg_split": final.seg_split,
    }


def _crops(numbers: Experiment) -> dict[tuple[str, int], str]:
    """Split and crop in pixels of every training -> the keys of the crop, separated by commas."""
    found: dict[tuple[str, int], list[str]] = defaultdict(list)
    for key, split in chosen_splits(numbers).items():
        section = key.partition(".")[0]
        if isinstance(training := getattr(numbers, section), Training):
            found[split, training.crop].append(f"{section}.crop")
    return {training: ", ".join(keys) for training, keys in found.items()}


def _longer_sides(facts: DataFacts, split: str) -> list[int]:
    """Longer sides in pixels, as the download step leaves them."""
    found = longer_sides(facts.images[image_id] for image_id in facts.splits[split])
    return [min(pixels, facts.longest_side or pixels) for pixels in found]
