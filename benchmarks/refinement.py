"""The dense CRF beside ``pydensecrf2``, the field's program: a topic of ``run.py``.

`python benchmarks/crf.py` prints in how many pixels of made images the same label wins: with the
filters here, with that program, and by all pairs of pixels. The program is no dependency, as it
needs a compiler (``pip install pydensecrf2``); without it, its part is left out.
"""

import sys
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from importlib import import_module
from importlib.util import find_spec

import numpy as np
import torch
from protocol import Comparison, Maker, Setting, Variant
from torch import Tensor

from recam.refine.crf import CrfKernels, DenseCrf, unary_of_labels

IRN = CrfKernels(
    gaussian_sxy=3.0,
    gaussian_weight=3.0,
    bilateral_sxy=50.0,
    bilateral_srgb=5.0,
    bilateral_weight=10.0,
)
KERNELS = {
    "irn": IRN,
    "refine": replace(IRN, bilateral_sxy=30.0, bilateral_srgb=13.0),
    "deeplab": replace(
        IRN, gaussian_sxy=1.0, bilateral_sxy=67.0, bilateral_srgb=3.0, bilateral_weight=4.0
    ),
}
SIZES = {"128 x 128 px": (128, 128, 9), "375 x 500 px": (375, 500, 3)}  # and rounds
LABELS, ITERATIONS, CERTAINTY = 3, 10, 0.7
FLIPPED, BLOCK = 0.3, 7  # of the labels, and pixels: blocks of that side are drawn anew
NOISE = 5  # of 255, standard deviation of the colours
PIXELS_OF_ALL_PAIRS = 1 << 14  # 1 GiB of weights
INSTALLED = find_spec("pydensecrf") is not None
Labeller = Callable[[np.ndarray, Tensor, CrfKernels], Tensor]


@cache
def scene(height: int, width: int, *, seed: int = 0) -> tuple[np.ndarray, Tensor]:
    """Discs before a shaded ground, (H, W, 3) in 8 bits, and energies of noisy labels."""
    generator = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    mask = np.zeros((height, width), dtype=np.int64)
    for label in range(1, LABELS):
        row, column = generator.uniform(0.25, 0.75, size=2)
        inside = (y - row * height) ** 2 + (x - column * width) ** 2 < (0.25 * height) ** 2
        mask[inside] = label
    shade = 40 * np.sin(6 * x / width) * np.cos(5 * y / height)
    colours = generator.uniform(50, 205, size=(LABELS, 3))[mask] + shade[..., None]
    image = colours + generator.normal(scale=NOISE, size=colours.shape)
    blocks = (y // BLOCK, x // BLOCK)
    flipped = generator.random(mask.shape)[blocks] < FLIPPED
    labels = np.where(flipped, generator.integers(LABELS, size=mask.shape)[blocks], mask)
    unary = unary_of_labels(torch.from_numpy(labels), num_labels=LABELS, certainty=CERTAINTY)
    return image.round().clip(0, 255).astype(np.uint8), unary


def labelled(
    scenes: list[tuple[np.ndarray, Tensor]],
    kernels: CrfKernels,
    *,
    exact_up_to: int,
    device: torch.device,
) -> Tensor:
    """The labels (B, H, W) of images of one size with their energies, by one ``DenseCrf``."""
    images, unaries = zip(*scenes, strict=True)
    pixels = torch.from_numpy(np.stack(images)).to(device).permute(0, 3, 1, 2) / 255
    crf = DenseCrf(pixels, kernels=kernels, exact_up_to=exact_up_to)
    return crf.posteriors(torch.stack(unaries).to(device), iterations=ITERATIONS).argmax(1)


def ours(*, exact_up_to: int, device: torch.device) -> Labeller:
    """``DenseCrf``, made anew for every image."""

    def run(image: np.ndarray, unary: Tensor, kernels: CrfKernels) -> Tensor:
        return labelled([(image, unary)], kernels, exact_up_to=exact_up_to, device=device)[0]

    return run


def theirs(image: np.ndarray, unary: Tensor, kernels: CrfKernels) -> Tensor:
    """``pydensecrf2`` with the same model, on the CPU."""
    height, width = image.shape[:2]
    crf = import_module("pydensecrf.densecrf").DenseCRF2D(width, height, len(unary))
    crf.setUnaryEnergy(unary.flatten(1).numpy())
    crf.addPairwiseGaussian(sxy=kernels.gaussian_sxy, compat=kernels.gaussian_weight)
    crf.addPairwiseBilateral(
        sxy=kernels.bilateral_sxy,
        srgb=kernels.bilateral_srgb,
        rgbim=image,
        compat=kernels.bilateral_weight,
    )
    found = torch.from_numpy(np.array(crf.inference(ITERATIONS)))
    return found.argmax(0).view(height, width)


def lattice(*, device: torch.device) -> Labeller:
    """What all but tiny images get."""
    return ours(exact_up_to=0, device=device)


def program(*, device: torch.device) -> Labeller:  # noqa: ARG001 one signature for all
    """The field's program, on the CPU whatever the device."""
    return theirs


def maker(make: Callable[..., Labeller], height: int, width: int, kernels: CrfKernels) -> Maker:
    """One image, filters and inference."""

    def prepare(setting: Setting) -> Variant:
        image, unary = scene(height, width)
        label = make(device=setting.device)
        return lambda: label(image, unary, kernels)

    return prepare


VARIANTS = ({"pydensecrf2": program} if INSTALLED else {}) | {
    "ours": lattice,
}
if not INSTALLED:
    print("pydensecrf2 is not installed: its part of the comparison is left out.", file=sys.stderr)

COMPARISONS = [
    Comparison(
        name=f"{name}, {size}",
        variants={
            variant: maker(make, height, width, kernels) for variant, make in VARIANTS.items()
        },
        rounds=rounds,
        memory=True,
    )
    for size, (height, width, rounds) in SIZES.items()
    for name, kernels in KERNELS.items()
]


def main() -> None:
    """Print the shares of pixels in which the same label wins."""
    torch.set_num_threads(1)
    cpu = torch.device("cpu")
    exact = ours(exact_up_to=PIXELS_OF_ALL_PAIRS, device=cpu)
    labellers = {"all pairs": exact} | {k: make(device=cpu) for k, make in VARIANTS.items()}
    for size in ((48, 40), (96, 96), (128, 128)):
        for name, kernels in KERNELS.items():
            image, unary = scene(*size, seed=1)
            found = {k: label(image, unary, kernels) for k, label in labellers.items()}
            pairs = [(a, b) for i, a in enumerate(found) for b in list(found)[i + 1 :]]
            shares = [f"{a} = {b}: {(found[a] == found[b]).float().mean():.2%}" for a, b in pairs]
            print(f"{size[0]} x {size[1]}, {name}: {'; '.join(shares)}")


if __name__ == "__main__":
    main()
