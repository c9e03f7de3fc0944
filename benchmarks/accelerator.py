"""Forms that may pay on a GPU: layout and precision, CUDA graphs, cuDNN's search, copies, batches.

Steps are those of train_cam in the published setup; cams are those of `maps`. Forms that a CPU
cannot take say so. `training/compiled` has `torch.compile`, and `refinement` the CRF of a batch.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from itertools import pairwise

import torch
from forms import as_ours, as_plain, prepared, step_of
from harness import Make, Run, Setting, Work, Works, answer
from inputs import DEFAULT, Setup, noise_batch, published
from refinement import MAPS, POWER, RADIUS, STEPS, made_inputs
from torch import Tensor, nn

from recam.catalogue.methods import make_classifier
from recam.refine.random_walk import random_walk

NEEDS_GPU = "needs a GPU"
WARM_STEPS = 3  # before a CUDA graph is captured, as torch's documentation has it
BATCHES = 8  # of a run that copies them
AT_ONCE = 4  # images that walk together

Losses = Callable[[Tensor, Tensor], dict[str, Tensor]]
Forms = dict[str, Make | str | None]


def train_cam(device: torch.device) -> Setup:
    """The published setup of stage one."""
    setup = published(device)
    return replace(setup, model_config=replace(setup.model_config, method="cam"))


def network(setup: Setup, device: torch.device, *, precision: str) -> tuple[nn.Module, Losses]:
    """The same network at every call, and its losses."""
    torch.manual_seed(0)
    model = prepared(make_classifier(setup.model_config).train(), device)
    return model, as_ours(model.loss, device, precision=precision)


def step(
    setting: Setting, *, setup: Setup, precision: str = "auto", contiguous: bool = False
) -> Run:
    """A step on noise; ``contiguous`` has images and weights in that layout."""
    model, losses = network(setup, setting.device, precision=precision)
    images, labels = noise_batch(setup, setting.device)
    if contiguous:
        model.to(memory_format=torch.contiguous_format)
        images = images.contiguous()
    return step_of(model, lambda: losses(images, labels), plain=False)


def layouts(device: torch.device) -> Work:
    """Channels-last bf16, which the steps choose on a GPU, beside other layouts and precisions."""
    setup = train_cam(device)
    forms: Forms = {"ours": partial(step, setup=setup)}
    forms |= {
        f"{layout}, {precision}": partial(
            step, setup=setup, precision=precision, contiguous=layout == "contiguous"
        )
        for precision in ("bf16", "fp32")
        for layout in ("channels-last", "contiguous")
    }

    def rounded(setting: Setting) -> Run:
        return as_plain()(step(setting, setup=setup, precision="fp32"))

    on_gpu = device.type == "cuda"
    forms["channels-last, fp32 with TF32"] = rounded if on_gpu else NEEDS_GPU
    return Work(name=f"train_cam, {_words(setup)}", forms=forms, tolerance=None)


def graphs(device: torch.device, *, setup: Setup) -> Work:
    """A step whose kernels are launched one by one, and all at once by a CUDA graph."""
    forms: Forms = {"ours": partial(step, setup=setup)}
    forms["CUDA graph"] = partial(graphed, setup=setup) if device.type == "cuda" else NEEDS_GPU
    name = f"{setup.model_config.method}, {setup.model_config.backbone}, {_words(setup)}"
    return Work(name=f"CUDA graph of a step: {name}", forms=forms, tolerance=None)


def graphed(setting: Setting, *, setup: Setup) -> Run:
    """The step, captured after a few that were not."""
    run = step(setting, setup=setup)
    beside = torch.cuda.Stream()
    beside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(beside):
        for _ in range(WARM_STEPS):
            run()
    torch.cuda.current_stream().wait_stream(beside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        run()
    return graph.replay


def search(device: torch.device) -> Work:
    """The search of cuDNN for the fastest kernel of each shape, done in the first steps."""
    setup = train_cam(device)

    def searched(setting: Setting) -> Run:
        run = step(setting, setup=setup)

        def with_search() -> None:
            torch.backends.cudnn.benchmark = True
            run()
            torch.backends.cudnn.benchmark = False

        return with_search

    forms: Forms = {"ours": partial(step, setup=setup)}
    forms["cudnn.benchmark"] = searched if device.type == "cuda" else NEEDS_GPU
    return Work(name=f"cuDNN's search: train_cam, {_words(setup)}", forms=forms, tolerance=None)


def copies(device: torch.device) -> Work:
    """Steps on batches from pinned memory, copied beside the computation, and from other memory."""
    setup = train_cam(device)

    def make(setting: Setting, *, pinned: bool) -> Run:
        model, losses = network(setup, setting.device, precision="auto")
        images, labels = noise_batch(setup, torch.device("cpu"))
        images = images.pin_memory() if pinned else images

        def of_next() -> dict[str, Tensor]:
            batch = images.to(setting.device, non_blocking=pinned)
            return losses(batch, labels.to(setting.device, non_blocking=pinned))

        run = step_of(model, of_next, plain=False)

        def many() -> None:
            for _ in range(BATCHES):
                run()

        return many

    forms: Forms = {"ours": NEEDS_GPU, "pageable": NEEDS_GPU}
    if device.type == "cuda":
        forms = {"ours": partial(make, pinned=True), "pageable": partial(make, pinned=False)}
    name = f"copies: train_cam, {_words(setup)}"
    return Work(name=name, forms=forms, images=BATCHES, tolerance=None, has_memory=False)


def launches(device: torch.device) -> Work:
    """Cams fetched batch by batch, and each batch fetched after the next one was launched."""
    setup = published(device)

    def make(setting: Setting, *, ahead: bool) -> Run:
        torch.manual_seed(0)
        model = prepared(make_classifier(setup.model_config).eval(), setting.device)
        images, _ = noise_batch(replace(setup, batch=AT_ONCE), torch.device("cpu"))
        compute = as_ours(model.maps, setting.device)

        def launched() -> Iterator[Tensor]:
            for _ in range(BATCHES):
                yield compute(images.to(setting.device))

        @torch.no_grad()
        def run() -> Tensor:
            if not ahead:
                return torch.cat([one.cpu() for one in launched()])
            found, last = list[Tensor](), torch.empty(0)
            for one, following in pairwise(launched()):
                found.append(one.cpu())
                last = following
            return torch.cat([*found, last.cpu()])

        return run

    forms = {"ours": partial(make, ahead=False), "next batch first": partial(make, ahead=True)}
    return Work(
        name=f"cams of {BATCHES} batches, {AT_ONCE} x {setup.side} px",
        forms=forms,
        images=BATCHES * AT_ONCE,
        has_memory=False,
    )


def walks(device: torch.device) -> Work:
    """The walks of several images together, and one after the other."""
    grid = (120, 160) if device.type == "cuda" else (40, 60)
    scores, edges = made_inputs(grid, device)
    scores, edges = scores.repeat(AT_ONCE, 1, 1, 1), edges.repeat(AT_ONCE, 1, 1)
    walk = partial(random_walk, radius=RADIUS, power=POWER, steps=STEPS)

    def one_by_one() -> Tensor:
        pairs = zip(scores.split(1), edges.split(1), strict=True)
        return torch.cat([walk(*pair) for pair in pairs])

    return Work(
        name=f"walk, {AT_ONCE} images, {4 * grid[0]} x {4 * grid[1]} px, {MAPS} maps",
        forms={"ours": lambda _: one_by_one, "together": lambda _: partial(walk, scores, edges)},
        images=AT_ONCE,
        tolerance=1e-4,
    )


def _words(setup: Setup) -> str:
    return f"{setup.batch} x {setup.side} px, K = {len(setup.model_config.classes)}"


WORKS: Works = {
    "layouts": layouts,
    "graphs": lambda device: graphs(device, setup=train_cam(device)),
    "default_graphs": partial(graphs, setup=DEFAULT),
    "search": search,
    "copies": copies,
    "launches": launches,
    "walks": walks,
}


if __name__ == "__main__":
    answer(WORKS, __doc__)
