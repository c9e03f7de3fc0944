"""Memory and time of the refiner `affinity` on one made photograph, on the CPU.

`python benchmarks/affinity.py --size 1600 1200 --affinity features` prints the bytes that are known
before, the growth of the process's peak memory, and seconds. Networks have random weights.
"""

import argparse
import time
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from commands import numbers_of
from harness import peak_bytes
from inputs import made_scores

from recam.catalogue.backbones import make_backbone
from recam.io.checkpoints import ModelConfig
from recam.pipeline.pseudo_masks import MIB
from recam.steps.affinity import affinity_on
from recam.steps.sections.make_pseudo import MakePseudo

LITE = ModelConfig(
    method="affinity",
    backbone="tf_efficientnet_lite0",
    output_stride=16,
    classes=(),
    frozen_batch_norm=False,
    frozen_stem=False,
)
BACKBONES = {"features": LITE, "attention": replace(LITE, backbone="vit_small_patch16_224")}
CPU = torch.device("cpu")


def main() -> None:
    """Print one line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, nargs=2, default=(1600, 1200), help="width, height")
    parser.add_argument("--affinity", choices=BACKBONES, default="features")
    args = parser.parse_args()
    asked = {"refiner": "affinity", "affinity": args.affinity}
    numbers = MakePseudo.model_validate(numbers_of()["make_pseudo"] | asked)
    torch.set_num_threads(1)
    refine = affinity_on(make_backbone(BACKBONES[args.affinity]).eval(), numbers)
    with TemporaryDirectory() as folder, torch.inference_mode():
        width, height = args.size
        small = made_scores(Path(folder), size=(64, 64), device=CPU)
        refine(*small)  # loads PyTorch's kernels
        needed, scale = refine.need(height, width, 2), refine.scale_of(height, width)
        before, start = peak_bytes(CPU), time.perf_counter()
        refine(*made_scores(Path(folder), size=(width, height), device=CPU))
        took, grown = time.perf_counter() - start, peak_bytes(CPU) - before
    print(
        f"{args.affinity}, {width} x {height} pixels, 2 maps, memory: {numbers.memory}: scale "
        f"{scale:.2f}, {needed / MIB:.0f} MiB known before, {grown / MIB:.0f} MiB measured, "
        f"{took:.1f} s"
    )


if __name__ == "__main__":
    main()
