"""FLOPs of classifiers, without computing: `python benchmarks/flops.py presets/voc12.yaml ...`.

Counts the FLOPs of one image in train_cam, train_recam and make_cams for each method of params.yaml
with the overlays. Times, at a sustained rate, and the memory of training in float32 are calculated
from shapes: tensors are fake and hold no numbers, so any network takes seconds.
"""

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from commands import ROOT
from needs import COUNTS, SETS
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.autograd.graph import saved_tensors_hooks
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils.flop_counter import FlopCounterMode

from recam.catalogue.methods import make_classifier
from recam.catalogue.names import METHODS, SUPERVISED
from recam.catalogue.readouts import make_readout
from recam.io.checkpoints import ModelConfig
from recam.methods.variant import Variant
from recam.steps.params import Experiment, check, merged
from recam.steps.readout import readout_numbers
from recam.steps.sections.shared import Training
from recam.steps.yaml_files import read_params

GIGA, TERA, HOUR, GIB = 1e9, 1e12, 3600, 1 << 30
HEADS = ("step", "method", "GFLOPs an image", "PFLOPs", "hours at {:g} TFLOP/s", "memory, GiB")
FLOAT = 4  # bytes
COPIES = {"sgd": 3, "adamw": 4}  # of the parameters: themselves, gradients, and the optimizer's


def main() -> None:
    """Print a row for each step and method."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("overlays", nargs="+", type=Path, help="presets, in their order")
    parser.add_argument("--tflops", type=float, default=10.0, help="sustained, in TFLOP/s")
    args = parser.parse_args()
    files = [read_params(path) for path in (ROOT / "params.yaml", *args.overlays)]
    values = files[0].values
    for file in files[1:]:
        values = merged(values, file.values)
    print(
        f"| {' | '.join(HEADS).format(args.tflops)} |\n| --- | --- |{' ---: |' * (len(HEADS) - 2)}"
    )
    for step, method, each, images, memory in rows_of(check(values, files)):
        total = each * images
        hours = total / (args.tflops * TERA) / HOUR
        cells = (f"{each / GIGA:,.0f}", f"{total / 1e15:,.0f}", f"{hours:,.1f}", memory)
        print(f"| {' | '.join([step, method, *cells])} |", flush=True)


def rows_of(numbers: Experiment) -> Iterator[tuple[str, str, int, int, str]]:
    """Step, method, FLOPs of an image, images, and memory."""
    methods = [METHODS[name] for name in numbers.methods if name != SUPERVISED]
    for name in sorted({method.training for method in methods}):
        yield "train_cam", name, *_training(name, numbers.train_cam, numbers)
    for name in sorted({method.classifier for method in methods if method.reactivation}):
        yield "train_recam", name, *_training(name, numbers.train_recam, numbers)
    for method in methods:
        yield "make_cams", method.name, *_maps(method.name, numbers), ""


def _training(method: str, section: Training, numbers: Experiment) -> tuple[int, int, str]:
    num_classes = SETS[numbers.download.dataset][0]
    model = _model(method, numbers).train()
    with _fake(), FlopCounterMode(display=False) as counter, _saved() as saved:
        images = torch.rand(1, 3, section.crop, section.crop)
        losses = model.loss(images, torch.ones(1, num_classes, dtype=torch.bool))
        torch.stack(list(losses.values())).sum().backward()
    parameters = sum(parameter.numel() for parameter in model.parameters()) * FLOAT
    bytes_ = section.batch_size * sum(saved.values()) + COPIES[section.optimizer] * parameters
    images_of_epoch = COUNTS[numbers.download.dataset][getattr(section, "split", "")]
    steps = section.epochs_for(images_of_epoch) * (images_of_epoch // section.batch_size)
    return counter.get_total_flops(), steps * section.batch_size, f"{bytes_ / GIB:.1f}"


def _maps(method: str, numbers: Experiment) -> tuple[int, int]:
    num_classes, (width, height), _ = SETS[numbers.download.dataset]
    model = _model(METHODS[method].classifier, numbers).eval()
    readout = make_readout(method, model, readout_numbers(numbers.make_cams))
    with torch.no_grad(), _fake(), FlopCounterMode(display=False) as counter:
        present = torch.zeros(1, num_classes, dtype=torch.bool)
        for scale in numbers.make_cams.scales:
            readout(torch.rand(1, 3, round(height * scale), round(width * scale)), present)
    return counter.get_total_flops(), COUNTS[numbers.download.dataset][numbers.make_cams.split]


def _model(method: str, numbers: Experiment) -> Variant:
    section = numbers.train_cam
    config = ModelConfig(
        method=method,
        backbone=section.backbone,
        output_stride=section.output_stride,
        classes=tuple(f"class {k}" for k in range(SETS[numbers.download.dataset][0])),
        frozen_batch_norm=section.frozen_batch_norm,
        frozen_stem=section.frozen_stem,
        weight=numbers.train_recam.weight,
        view_scale=section.seam_scale,
        pcm=section.seam_pcm,
        contrast=section.mctformer_contrast,
    )
    return make_classifier(config)


def _fake() -> FakeTensorMode:
    return FakeTensorMode(allow_non_fake_inputs=True)  # parameters are real


@contextmanager
def _saved() -> Iterator[dict[int, int]]:
    """The bytes of every storage that is kept for the backward pass, parameters left out."""
    found: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        if not isinstance(tensor, torch.nn.Parameter):
            storage = tensor.untyped_storage()
            found[StorageWeakRef(storage).cdata] = storage.nbytes()
        return tensor

    with saved_tensors_hooks(keep, lambda tensor: tensor):
        yield found


if __name__ == "__main__":
    main()
