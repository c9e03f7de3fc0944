"""Refinement: IRN's random walk, and the dense CRF beside ``pydensecrf2``, the field's program.

Plain is for the walk the dense transition matrix, squared eight times (Ahn et al., CVPR 2019).
``pydensecrf2`` needs a compiler, so it is no dependency: `pip install pydensecrf2`; without it its
rows are left empty.
"""

from dataclasses import replace
from functools import cache, partial
from importlib import import_module
from importlib.util import find_spec

import numpy as np
import torch
from harness import Make, Run, Setting, Target, Work, Works, answer
from torch import Tensor
from torch.nn import functional

from recam.refine.affinities import pair_offsets
from recam.refine.crf import CrfKernels, DenseCrf, unary_of_labels
from recam.refine.random_walk import chebyshev_shares, random_walk, transition_weights

RADIUS, POWER, SQUARINGS = 5, 10.0, 8
STEPS = 2**SQUARINGS
MAPS = 3  # that walk
FLOAT = 4  # bytes

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
VOC, SMALL = (375, 500), (128, 128)  # height and width
LABELS, ITERATIONS, CERTAINTY = 3, 10, 0.7
AT_ONCE = 4  # images that a GPU refines together
FLIPPED, BLOCK = 0.3, 7  # of the labels, and pixels: blocks of that side are redrawn
NOISE = 5  # of 255, standard deviation of the colours
PIXELS_OF_ALL_PAIRS = 1 << 14  # 1 GiB of weights

Scene = tuple[np.ndarray, Tensor]


def walk(device: torch.device) -> Work:
    """The walk of one image's maps, at COCO's usual size on a GPU.

    Ours moves at least all weights once for each step of its polynomials, and reads and writes the
    scores.
    """
    grid = (120, 160) if device.type == "cuda" else (40, 60)
    neighbours = 2 * len(pair_offsets(RADIUS)) + 1
    steps = len(chebyshev_shares(STEPS)) - 1
    scores, edges = made_inputs(grid, device)

    def ours() -> Tensor:
        return random_walk(scores, edges, radius=RADIUS, power=POWER, steps=STEPS)[0]

    def plain() -> Tensor:
        power = dense_matrix(edges)
        for _ in range(SQUARINGS):
            power = power @ power
        started = (scores * (1 - edges)).flatten(2)[0]
        return (power @ started.T).T.reshape(scores.shape[1:])

    return Work(
        name=f"walk, {4 * grid[0]} x {4 * grid[1]} px, {MAPS} maps",
        forms={"ours": lambda _: ours, "plain": lambda _: plain},
        has_limit=True,
        least_bytes=FLOAT * steps * grid[0] * grid[1] * (neighbours + 2 * MAPS),
        targets=(
            Target(form="plain", what="time", at_least=20, device="cuda"),
            Target(form="plain", what="time", at_least=10, device="cpu"),
        ),
    )


def crf(device: torch.device, *, numbers: str) -> Work:
    """Filters made and ten rounds of mean field; on a GPU of a batch of images.

    A round moves at least: all labels' values six times (read and written by either filter, the
    energies read, the beliefs written), and of every pixel the numbers and the weights of its six
    vertices of the lattice twice. The bytes that making the filters moves are not counted.
    """
    images = AT_ONCE if device.type == "cuda" else 1
    scenes = [scene(*VOC, seed=seed) for seed in range(images)]
    values, vertices = 6 * LABELS, 2 * 6 * 2
    label = partial(labelled, kernels=KERNELS[numbers], exact_up_to=0, device=device)

    def one_by_one() -> Tensor:
        return torch.cat([label([one]) for one in scenes])

    forms: dict[str, Make | None] = {"ours": lambda _: partial(label, scenes)}
    if images > 1:
        forms["image by image"] = lambda _: one_by_one
    forms["pydensecrf2"] = program(scenes, KERNELS[numbers])
    return Work(
        name=f"crf, {numbers}, {VOC[0]} x {VOC[1]} px, {LABELS} labels",
        forms=forms,
        images=images,
        has_agreement=True,
        has_limit=True,
        least_bytes=FLOAT * ITERATIONS * images * VOC[0] * VOC[1] * (values + vertices),
    )


def exact_crf(device: torch.device, *, numbers: str) -> Work:
    """The lattice beside the sum over all pairs of pixels, which small images get."""
    scenes = [scene(*SMALL, seed=1)]
    given = {"kernels": KERNELS[numbers], "device": device}

    def run(exact_up_to: int) -> Make:
        return lambda _: partial(labelled, scenes, exact_up_to=exact_up_to, **given)

    return Work(
        name=f"crf, {numbers}, {SMALL[0]} x {SMALL[1]} px, {LABELS} labels",
        forms={
            "ours": run(0),
            "all pairs": run(PIXELS_OF_ALL_PAIRS),
            "pydensecrf2": program(scenes, KERNELS[numbers]),
        },
        has_agreement=True,
    )


def made_inputs(grid: tuple[int, int], device: torch.device) -> tuple[Tensor, Tensor]:
    """Scores (1, maps, h, w), and edges (1, h, w) that are smooth, thin and strong in places."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(1, MAPS + 1, *(length // 8 for length in grid), generator=generator)
    smooth = functional.interpolate(noise, size=grid, mode="bicubic")
    edges = (-10 * smooth[:, 0].abs()).exp()  # lines where the noise changes its sign
    return smooth[:, 1:].sigmoid().to(device), edges.to(device)


def dense_matrix(edges: Tensor) -> Tensor:
    """The weights of one step, a row for each pixel, in float32 as the authors have it."""
    height, width = edges.shape[1:]
    weights = transition_weights(edges, radius=RADIUS, power=POWER)[0].flatten(1)
    half = pair_offsets(RADIUS)
    offsets = [(0, 0), *half, *((-dy, -dx) for dy, dx in half)]
    steps = torch.tensor([dy * width + dx for dy, dx in offsets], device=edges.device)
    rows = torch.arange(height * width, device=edges.device).expand(len(offsets), -1)
    present = weights > 0  # neighbours beyond the border weigh nothing
    matrix = torch.zeros(height * width, height * width, device=edges.device)
    matrix[rows[present], (rows + steps[:, None])[present]] = weights[present]
    return matrix


@cache
def scene(height: int, width: int, *, seed: int) -> Scene:
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
    scenes: list[Scene], *, kernels: CrfKernels, exact_up_to: int, device: torch.device
) -> Tensor:
    """The labels (B, H, W) of images of one size with their energies, by one ``DenseCrf``."""
    images, unaries = zip(*scenes, strict=True)
    pixels = torch.from_numpy(np.stack(images)).to(device).permute(0, 3, 1, 2) / 255
    crf = DenseCrf(pixels, kernels=kernels, exact_up_to=exact_up_to)
    return crf.posteriors(torch.stack(unaries).to(device), iterations=ITERATIONS).argmax(1)


def program(scenes: list[Scene], kernels: CrfKernels) -> Make | None:
    """``pydensecrf2`` with the same model, on the CPU, where it is installed."""
    if find_spec("pydensecrf") is None:
        return None
    densecrf = import_module("pydensecrf.densecrf")

    def label(image: np.ndarray, unary: Tensor) -> Tensor:
        height, width = image.shape[:2]
        crf = densecrf.DenseCRF2D(width, height, len(unary))
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

    def make(_: Setting) -> Run:
        return lambda: torch.stack([label(*one) for one in scenes])

    return make


WORKS: Works = {
    "walk": walk,
    **{f"crf_{numbers}": partial(crf, numbers=numbers) for numbers in KERNELS},
    **{f"exact_crf_{numbers}": partial(exact_crf, numbers=numbers) for numbers in KERNELS},
}


if __name__ == "__main__":
    answer(WORKS, __doc__)
