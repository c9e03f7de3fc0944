"""The works of ``speed.py`` without training, and the list of all.

Plain are, by the authors' public code: one image, scale and mirror image at a time for cams (Chen
et al., CVPR 2022), and the dense transition matrix squared eight times for the walk (Ahn et al.,
CVPR 2019).
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from photographs import made_photographs
from protocol import Setting
from speed_training import (
    Make,
    Run,
    Work,
    as_ours,
    as_plain,
    prepared,
    published,
    starvation,
    train_cam,
    train_recam,
    train_seg,
)
from torch import Tensor
from torch.nn import functional
from walk import POWER, RADIUS, SQUARINGS, STEPS, dense_matrix, made_inputs

from recam.catalogue.methods import make_classifier, maps_of
from recam.io.images import read_image
from recam.methods.cam import EPSILON, peak_normalised
from recam.models.backbones import IMAGENET_MEAN, IMAGENET_STD
from recam.models.folding import folded
from recam.pipeline.inference import maps_of_images
from recam.refine.affinities import pair_offsets
from recam.refine.random_walk import chebyshev_shares, random_walk

SCALES = (1.0, 0.5, 1.5, 2.0)  # of cams; these numbers are those of presets/voc12.yaml
IMAGES_AT_ONCE = 4
PRESENT = [3, 7]  # classes whose cams are kept
MAPS = 3  # that walk
FLOAT = 4  # bytes


def make_cams(device: torch.device) -> Work:
    """Reading, four scales with mirror images, maps of the present classes on the CPU."""
    on_gpu = device.type == "cuda"
    size, images = ((500, 375), 4 * IMAGES_AT_ONCE) if on_gpu else ((250, 188), IMAGES_AT_ONCE)
    setup = published(device, method="recam")[1]

    def make(setting: Setting, *, plain: bool) -> Run:
        paths = made_photographs(setting.folder, images, size=size)
        torch.manual_seed(0)
        model = make_classifier(setup.model_config).eval()
        if plain:
            maps = maps_of(model.to(device), combine="product")
            return as_plain()(partial(plain_cams, maps, paths, device))
        network = folded(prepared(model, device), lambda network, images: network.backbone(images))
        maps = as_ours(maps_of(network, combine="product"), device)
        return partial(our_cams, maps, paths, device)

    return Work(
        name=f"make_cams, {size[0]} x {size[1]} px, {len(SCALES)} scales, K = 20",
        forms={name: partial(make, plain=name == "plain") for name in ("ours", "plain")},
        images=images,
    )


def our_cams(maps: Callable[[Tensor], Tensor], paths: list[Path], device: torch.device) -> Tensor:
    """The library's pass over all images."""
    pairs = maps_of_images(
        maps,
        paths,
        scales=SCALES,
        batch_size=IMAGES_AT_ONCE,
        normalise=_normalise,
        device=device,
    )
    return torch.stack([peak_normalised(found[PRESENT]).cpu() for _, found in pairs])


@torch.inference_mode()
def plain_cams(maps: Callable[[Tensor], Tensor], paths: list[Path], device: torch.device) -> Tensor:
    """One image, one scale and one mirror image at a time, each resized to the image's size."""
    cams: list[Tensor] = []
    for path in paths:
        pixels = torch.from_numpy(read_image(path).copy()).permute(2, 0, 1)[None]
        image = _normalise(pixels.to(device) / 255)
        total = _sum_of_views(maps, image.contiguous())[PRESENT]
        cams.append((total / (total.amax(dim=(1, 2), keepdim=True) + EPSILON)).cpu())
    return torch.stack(cams)


def _normalise(pixels: Tensor) -> Tensor:
    centre, spread = (pixels.new_tensor(v)[:, None, None] for v in (IMAGENET_MEAN, IMAGENET_STD))
    return ((pixels - centre) / spread).contiguous(memory_format=torch.channels_last)


def _sum_of_views(maps: Callable[[Tensor], Tensor], image: Tensor) -> Tensor:
    size = image.shape[2:]
    total = image.new_zeros(())
    for scale in SCALES:
        target = [round(length * scale) for length in size]
        scaled = functional.interpolate(image, size=target, mode="bicubic", antialias=True)
        for mirrored in (False, True):
            found = maps(scaled.flip(3) if mirrored else scaled)
            found = found.flip(3) if mirrored else found
            total = total + functional.interpolate(found, size=size, mode="bilinear")
    return total[0]


def walk(device: torch.device) -> Work:
    """The walk of one image's maps.

    Ours moves at least all weights once for each step of its polynomials, and reads and writes the
    scores.
    """
    grid = (120, 160) if device.type == "cuda" else (40, 60)
    cells, neighbours = grid[0] * grid[1], 2 * len(pair_offsets(RADIUS)) + 1
    steps = len(chebyshev_shares(STEPS)) - 1

    def ours(setting: Setting) -> Run:
        scores, edges = made_inputs(grid, MAPS, setting.device)
        return lambda: random_walk(scores, edges, radius=RADIUS, power=POWER, steps=STEPS)[0]

    def plain(setting: Setting) -> Run:
        scores, edges = made_inputs(grid, MAPS, setting.device)

        def run() -> Tensor:
            power = dense_matrix(edges)
            for _ in range(SQUARINGS):
                power = power @ power
            started = (scores * (1 - edges)).flatten(2)[0]
            return (power @ started.T).T.reshape(scores.shape[1:])

        return run

    return Work(
        name=f"walk, {4 * grid[0]} x {4 * grid[1]} px, {MAPS} maps",
        forms={"ours": ours, "plain": plain},
        least_bytes={"ours": FLOAT * steps * cells * (neighbours + 2 * MAPS)},
    )


def crf(device: torch.device) -> Work:
    """Filters made and ten rounds of mean field; on a GPU of a batch of images.

    A round moves at least: all labels' values six times (read and written by either filter, the
    energies read, the beliefs written), and of every pixel the numbers and the weights of its six
    vertices of the lattice twice. What making the filters moves is not counted.
    """
    from crf import INSTALLED, ITERATIONS, KERNELS, LABELS, labelled, scene, theirs  # noqa: PLC0415

    images = IMAGES_AT_ONCE if device.type == "cuda" else 1
    height, width = 375, 500
    scenes = [scene(height, width, seed=seed) for seed in range(images)]
    values, vertices = 6 * LABELS, 2 * 6 * 2
    least = FLOAT * ITERATIONS * images * height * width * (values + vertices)
    kernels = KERNELS["irn"]
    label = partial(labelled, kernels=kernels, exact_up_to=0, device=device)

    def one_by_one() -> Tensor:
        return torch.cat([label([one]) for one in scenes])

    def program() -> Tensor:
        return torch.stack([theirs(*one, kernels) for one in scenes])

    forms: dict[str, Make | None] = {"ours": lambda _: partial(label, scenes)}
    if images > 1:
        forms["image by image"] = lambda _: one_by_one
    forms["pydensecrf2"] = (lambda _: program) if INSTALLED else None
    return Work(
        name=f"crf, {height} x {width} px, {LABELS} labels",
        forms=forms,
        images=images,
        least_bytes=dict.fromkeys(forms, least),
        agree=False,
    )


WORKS: dict[str, Callable[[torch.device], Work]] = {
    "train_cam": train_cam,
    "train_recam_20": partial(train_recam, classes=20),
    "train_recam_80": partial(train_recam, classes=80),
    "make_cams": make_cams,
    "walk": walk,
    "crf": crf,
    "train_seg": train_seg,
    "starvation": starvation,
}
