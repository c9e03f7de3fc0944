"""Hours and memory of a preset on this machine: `python benchmarks/needs.py presets/voc12.yaml`.

Every kind of work is timed on a few made images at the preset's sizes, in a process of its own for
its peak memory, and multiplied by the published numbers of images. On a CPU training is measured
with two images and multiplied, since a whole batch would take minutes.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from commands import Params, numbers_of
from harness import machine, peak_bytes, synchronise
from inputs import made_photographs, made_scores
from torch import Tensor
from torch.optim import SGD

from recam.catalogue.methods import make_classifier
from recam.catalogue.names import REFINERS, needs_irn
from recam.catalogue.readouts import make_readout
from recam.catalogue.refiners import RefinerNumbers, make_irn, make_propagator
from recam.catalogue.segmenters import make_segmenter
from recam.core.labels import IGNORE
from recam.datasets import coco14, voc12
from recam.io.checkpoints import ModelConfig
from recam.models.backbones import backbone_of
from recam.pipeline.inference import maps_of_images
from recam.pipeline.segmentation import masks_of_images
from recam.refine.crf_masks import Crf, confident_labels, crf_refined
from recam.refine.irn import Irn
from recam.refine.pamr import Pamr
from recam.refine.random_walk import Walk
from recam.runtime.devices import make_device
from recam.runtime.precision import autocast, make_precision
from recam.steps.affinity import untrained_affinity
from recam.steps.crf import crf_of
from recam.steps.readout import readout_numbers
from recam.steps.sections.make_cams import MakeCams
from recam.steps.sections.make_pseudo import MakePseudo
from recam.steps.sections.shared import CrfNumbers

# Of each data set: number of classes, an image's usual width and height, and classes in an image.
SETS = {"voc12": (20, (500, 375), 1.5), "coco14": (80, (640, 480), 2.9)}
COUNTS = {"voc12": voc12.COUNTS, "coco14": coco14.COUNTS}
IMAGES_ON_CPU, ROUNDS = 2, 3  # images of a training step
HOUR, GIB = 3600, 1 << 30

Made = tuple[Callable[[], object], int]  # what is timed, and for how many images
Work = Callable[[Params, torch.device, Path], Made]


def main() -> None:
    """Print the needs of two methods, one line a step, and the sums."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("preset", type=Path)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--step", choices=WORKS, help="measure one step only, as JSON")
    args = parser.parse_args()
    params = numbers_of(args.preset)
    if args.step:
        print(json.dumps(measured(args.step, params, make_device(args.device))))
        return
    print(f"| step | ms an image | images | runs | hours | peak, GiB |\n|{' --- |' * 6}")
    hours = 0.0
    for step, (runs, count) in counts_of(params).items():
        command = [sys.executable, __file__, str(args.preset), "--device", args.device]
        done = subprocess.run([*command, "--step", step], stdout=subprocess.PIPE, check=True)  # noqa: S603
        seconds, peak = json.loads(done.stdout)
        spent = runs * count * seconds / HOUR
        hours += spent
        cells = [f"{seconds * 1e3:,.0f}", f"{count:,}", str(runs), f"{spent:,.1f}"]
        print(f"| {' | '.join([step, *cells, f'{peak / GIB:.1f}'])} |", flush=True)
    print(f"| all | | | | {hours:,.1f} | |\n\n{disk(params)}")
    print(f"Machine: {machine(make_device(args.device), threads=torch.get_num_threads())}.")


def counts_of(params: Params) -> dict[str, tuple[int, int]]:
    """Runs for cam and recam, and images of one run, epochs counted."""
    counts = COUNTS[params["download"]["dataset"]]
    trained = {
        s: counts[params[s]["split"]] // params[s]["batch_size"] * params[s]["batch_size"]
        for s in ("train_cam", "train_recam", "train_irn", "train_seg")
    }
    works = {
        "train_cam": (1, trained["train_cam"] * params["train_cam"]["epochs"]),
        "train_recam": (1, trained["train_recam"] * params["train_recam"]["epochs"]),
        "make_cams": (2, counts[params["make_cams"]["split"]]),
        "train_irn, confident pixels": (2, counts[params["train_irn"]["split"]]),
        "train_irn": (2, trained["train_irn"] * params["train_irn"]["epochs"]),
        "make_pseudo": (2, counts[params["make_cams"]["split"]]),
        "train_seg": (2, trained["train_seg"] * params["train_seg"]["epochs"]),
        "evaluate": (2, counts[params["evaluate"]["seg_split"]]),
    }
    without = () if needs_irn(params["make_pseudo"]["refiner"]) else ("train_irn",)
    return {name: work for name, work in works.items() if not name.startswith(without)}


def disk(params: Params) -> str:
    """The most that score maps take: a byte a pixel for each present class, before compression."""
    dataset = params["download"]["dataset"]
    _, (width, height), present = SETS[dataset]
    maps = present * width * height * COUNTS[dataset][params["make_cams"]["split"]] / GIB
    words = "Disk for cams and refined maps, calculated, before compression"
    return f"{words}: {2 * maps:,.0f} GiB for each method.\n"


def measured(step: str, params: Params, device: torch.device) -> tuple[float, int]:
    """Seconds an image, the least of some rounds, and peak bytes."""
    with TemporaryDirectory() as folder:
        run, images = WORKS[step](params, device, Path(folder))
        seconds = []
        with autocast(make_precision("auto", device), device):
            run()  # a warm-up
            for _ in range(ROUNDS):
                start = time.perf_counter()
                run()
                synchronise(device)
                seconds.append(time.perf_counter() - start)
    return min(seconds) / images, peak_bytes(device)


def _model_config(params: Params, section: str, **more: Any) -> ModelConfig:
    numbers = params["train_cam"] | params[section]
    names = ("backbone", "output_stride", "frozen_batch_norm")
    classes = tuple(f"class {k}" for k in range(SETS[params["download"]["dataset"]][0]))
    values: dict[str, Any] = {name: numbers[name] for name in names} | {"frozen_stem": False}
    values |= {"classes": classes} | more
    return ModelConfig(**values)


def _training(section: str, method: str = "") -> Work:
    def work(params: Params, device: torch.device, _: Path) -> Made:
        stem = {"frozen_stem": params["train_cam"]["frozen_stem"]}
        config = _model_config(params, section, method=method, weight=1.0, **stem)
        if section == "train_seg":
            config = _segmenter_config(params)
        make: Any = make_segmenter if section == "train_seg" else make_classifier
        model = make(config).train().to(device).to(memory_format=torch.channels_last)
        optimizer = SGD(model.parameters(), lr=1e-4, momentum=params[section]["momentum"])
        at_once = params[section]["batch_size"] // params[section].get(
            "gradient_accumulation_steps", 1
        )
        count = at_once if device.type == "cuda" else IMAGES_ON_CPU
        side, classes = params[section]["crop"], len(config.classes)
        images = torch.randn(count, 3, side, side).to(device).to(memory_format=torch.channels_last)
        targets = torch.zeros(count, classes, dtype=torch.bool)
        targets[:, :2] = True
        if section == "train_seg":
            targets = torch.randint(0, classes + 1, (count, side, side), dtype=torch.uint8)
        targets = targets.to(device)

        return _step(model, optimizer, images, targets), count

    return work


def _step(model: Any, optimizer: SGD, images: Tensor, targets: Tensor) -> Callable[[], object]:
    def run() -> None:
        losses = model.loss(images, targets)
        optimizer.zero_grad(set_to_none=True)
        torch.stack(list(losses.values())).sum().backward()
        optimizer.step()

    return run


def _segmenter_config(params: Params) -> ModelConfig:
    numbers = params["train_seg"]
    return _model_config(
        params, "train_seg", method=numbers["segmenter"], rates=tuple(numbers["rates"])
    )


def _cams(params: Params, device: torch.device, folder: Path) -> Made:
    model = make_classifier(_model_config(params, "train_cam", method="recam", weight=1.0))
    model.to(device).to(memory_format=torch.channels_last).eval()
    numbers, paths = params["make_cams"], _some_photographs(params, "make_cams", device, folder)

    def run() -> None:
        for _ in maps_of_images(
            make_readout("recam", model, readout_numbers(MakeCams(**numbers))),
            paths,
            np.ones((len(paths), len(model.weights)), bool),
            scales=tuple(numbers["scales"]),
            batch_size=numbers["batch_size"],
            normalise=backbone_of(model).normalise,
            device=device,
        ):
            pass

    return run, len(paths)


def _evaluate(params: Params, device: torch.device, folder: Path) -> Made:
    model = make_segmenter(_segmenter_config(params))
    model.to(device).to(memory_format=torch.channels_last).eval()
    numbers, paths = params["evaluate"], _some_photographs(params, "evaluate", device, folder)

    def run() -> None:
        for _ in masks_of_images(
            model,
            paths,
            scales=tuple(numbers["scales"]),
            batch_size=numbers["batch_size"],
            crf=_crf(numbers) if numbers["crf"] else None,
        ):
            pass

    return run, len(paths)


def _some_photographs(
    params: Params, section: str, device: torch.device, folder: Path
) -> list[Path]:
    count = params[section]["batch_size"] if device.type == "cuda" else 1
    return made_photographs(folder, count, size=SETS[params["download"]["dataset"]][1])


def _irn(params: Params, device: torch.device) -> Irn:
    radius = params["train_irn"]["radius"]
    return make_irn(_model_config(params, "train_irn", method="irn", radius=radius)).to(device)


def _crf(numbers: Params) -> Crf:
    own = {name: numbers[name] for name in CrfNumbers.model_fields}
    return crf_of(CrfNumbers.model_validate(own))


def _scored_photographs(
    params: Params, count: int, device: torch.device, folder: Path
) -> tuple[Tensor, Tensor]:
    one = made_scores(folder, size=SETS[params["download"]["dataset"]][1], device=device)
    scores, pixels = (grid.repeat(count, 1, 1, 1) for grid in one)
    return scores, pixels


def _confident_pixels(params: Params, device: torch.device, folder: Path) -> Made:
    numbers = params["train_irn"]
    at_once = 4 if device.type == "cuda" else 1
    scores, pixels = _scored_photographs(params, at_once, device, folder)
    given = {name: numbers[name] for name in ("foreground", "background", "certainty")}
    crf = _crf(numbers)
    return lambda: confident_labels(scores, pixels, crf=crf, **given), len(scores)


def _train_irn(params: Params, device: torch.device, _: Path) -> Made:
    numbers = params["train_irn"]
    model = _irn(params, device).train().to(memory_format=torch.channels_last)
    heads = [p for p in model.parameters() if p.requires_grad]
    optimizer = SGD(heads, lr=1e-4, momentum=numbers["momentum"])
    count = numbers["batch_size"] if device.type == "cuda" else IMAGES_ON_CPU
    side = numbers["crop"]
    images = torch.randn(count, 3, side, side).to(device).to(memory_format=torch.channels_last)
    masks = torch.randint(0, 3, (count, side, side), dtype=torch.uint8)
    masks[:, ::2] = IGNORE
    masks = masks.to(device)

    return _step(model, optimizer, images, masks), count


def _pseudo(params: Params, device: torch.device, folder: Path) -> Made:
    numbers = params["make_pseudo"]
    refiner = numbers["refiner"]
    refiner_numbers = RefinerNumbers(
        pamr=Pamr(
            dilations=tuple(numbers["pamr_dilations"]), iterations=numbers["pamr_iterations"]
        ),
        walk=Walk(
            radius=numbers["irn_radius"], power=numbers["irn_power"], steps=numbers["irn_steps"]
        ),
        irn=_irn(params, device).eval() if needs_irn(refiner) else None,
        affinity=untrained_affinity(
            MakePseudo.model_validate(numbers),
            _model_config(params, "train_cam", method="affinity"),
            device,
        ),
    )
    propagate = make_propagator(refiner, refiner_numbers)
    scores, pixels = _scored_photographs(params, numbers["batch_size"], device, folder)
    crf = _crf(numbers)

    def run() -> None:
        with torch.inference_mode():
            maps = propagate(scores, pixels)
            if REFINERS[refiner].has_crf:
                crf_refined(maps, pixels, background=numbers["crf_background"], crf=crf)

    return run, len(scores)


WORKS: dict[str, Work] = {
    "train_cam": _training("train_cam", "cam"),
    "train_recam": _training("train_recam", "recam"),
    "make_cams": _cams,
    "train_irn, confident pixels": _confident_pixels,
    "train_irn": _train_irn,
    "make_pseudo": _pseudo,
    "train_seg": _training("train_seg"),
    "evaluate": _evaluate,
}


if __name__ == "__main__":
    main()
