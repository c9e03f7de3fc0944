"""IRN's random walk over neighbours beside squaring the dense matrix: `python benchmarks/walk.py`.

On made edges at the sizes of a usual image of VOC and of COCO, with the authors' radius, power and
steps. Every row comes from a process of its own, for its peak memory above what imports and inputs
take. On a CPU one squaring of the whole matrix is timed and counted eight times, since eight
take twenty minutes. Differences are to 256 steps one by one in double precision.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from statistics import median

import numpy as np
import torch
from measure import machine, peak_bytes, synchronise
from scipy.sparse import csr_array
from torch import Tensor
from torch.nn import functional

from recam.refine.affinities import pair_offsets
from recam.refine.random_walk import random_walk, transition_weights
from recam.runtime.devices import make_device

SIZES = {"375 x 500 px": (94, 125), "480 x 640 px": (120, 160)}  # of grids at stride 4
MAPS = (1, 3)
RADIUS, POWER, SQUARINGS = 5, 10.0, 8
STEPS = 2**SQUARINGS
ROUNDS = 5
MIB = 1 << 20
NOTE = "On a CPU, seconds of dense squaring are those of one squaring, times 8."
COLUMNS = ("image", "maps", "variant", "seconds", "time", "peak, MiB", "memory", "difference")

Measured = dict[str, float]  # seconds, bytes, and the largest difference over the largest score


def main() -> None:
    """Print one table, two rows for each size and number of maps."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--one", nargs=2, metavar=("VARIANT", "SIZE"), help="as JSON, for itself")
    parser.add_argument("--maps", type=int, nargs="*", default=MAPS)
    args = parser.parse_args()
    device = make_device(args.device)
    torch.set_num_threads(1)
    if args.one:
        variant, size = args.one
        answers = VARIANTS[variant](SIZES[size], args.maps, device)
        print(json.dumps(answers))
        return
    lines = [COLUMNS, ("---",) * len(COLUMNS)]
    for size in SIZES:
        # The matrix is the same for all maps, so it is squared once.
        dense = asked("dense, squared", size, MAPS, args.device)
        for index, maps in enumerate(MAPS):
            sparse = asked("neighbours only", size, (maps,), args.device)[0]
            lines.append(cells(size, maps, "neighbours only", sparse, sparse))
            lines.append(cells(size, maps, "dense, squared", dense[index], sparse))
    print("\n".join(f"| {' | '.join(line)} |" for line in lines))
    print(f"\n{NOTE}" if device.type == "cpu" else "")
    print(f"\nMachine: {machine(device)}.")


def asked(variant: str, size: str, maps: tuple[int, ...], device: str) -> list[Measured]:
    """What a process of its own measured, by number of maps."""
    numbers = [str(number) for number in maps]
    command = [sys.executable, __file__, "--device", device, "--one", variant, size, "--maps"]
    told = subprocess.run([*command, *numbers], stdout=subprocess.PIPE, check=True)  # noqa: S603 ours
    return json.loads(told.stdout)


def cells(size: str, maps: int, variant: str, found: Measured, first: Measured) -> tuple[str, ...]:
    """A row of the table; ratios are to the first of the two."""
    times, memory = (found[name] / first[name] for name in ("seconds", "bytes"))
    is_first = found is first
    return (
        size,
        str(maps),
        variant,
        f"{found['seconds']:,.2f}",
        "1" if is_first else f"**{short(times)}**",
        f"{found['bytes'] / MIB:,.0f}",
        "1" if is_first else f"**{short(memory)}**",
        f"{found['difference']:.0e}" if "difference" in found else "",
    )


def short(ratio: float) -> str:
    """Two decimals where they matter."""
    return f"{ratio:.2f}" if ratio < 10 else f"{ratio:,.0f}"


def made_inputs(grid: tuple[int, int], maps: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Scores (1, maps, h, w), and edges (1, h, w) that are smooth, thin and strong in places."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(1, maps + 1, *(length // 8 for length in grid), generator=generator)
    smooth = functional.interpolate(noise, size=grid, mode="bicubic")
    edges = (-10 * smooth[:, 0].abs()).exp()  # lines where the noise changes its sign
    return smooth[:, 1:].sigmoid().to(device), edges.to(device)


def sparse_walk(grid: tuple[int, int], maps: list[int], device: torch.device) -> list[Measured]:
    """The library's walk."""
    answers: list[Measured] = []
    for number in maps:
        scores, edges = made_inputs(grid, number, device)
        random_walk(scores[..., :9, :9], edges[..., :9, :9], radius=2, power=POWER, steps=1)
        before = peak_bytes(device)
        walked, seconds = timed(
            lambda s=scores, e=edges: random_walk(s, e, radius=RADIUS, power=POWER, steps=STEPS),
            device,
            rounds=ROUNDS,
        )
        peak = peak_bytes(device) - before
        exact = exact_walk(scores.cpu(), edges.cpu())
        off = np.abs(walked[0].cpu().numpy() - exact).max() / exact.max()
        answers.append({"seconds": seconds, "bytes": peak, "difference": float(off)})
    return answers


def dense_walk(grid: tuple[int, int], maps: list[int], device: torch.device) -> list[Measured]:
    """The matrix of all pairs of pixels, squared eight times, and what it makes of the scores."""
    inputs = [made_inputs(grid, number, device) for number in maps]
    edges = inputs[0][1]
    before = peak_bytes(device)
    power, seconds = timed(lambda: dense_matrix(edges), device)
    on_gpu = device.type == "cuda"
    for _ in range(SQUARINGS if on_gpu else 1):
        power, more = timed(lambda p=power: p @ p, device)
        seconds += more if on_gpu else SQUARINGS * more
    answers: list[Measured] = []
    for scores, _ in inputs:
        start = (scores * (1 - edges)).flatten(2)[0]
        walked, more = timed(lambda s=start: (power @ s.T).T, device)
        found = {"seconds": seconds + more, "bytes": float(peak_bytes(device) - before)}
        if on_gpu:
            exact = exact_walk(scores.cpu(), edges.cpu()).reshape(walked.shape)
            off = np.abs(walked.cpu().numpy() - exact).max() / exact.max()
            found["difference"] = float(off)
        answers.append(found)
    return answers


def dense_matrix(edges: Tensor) -> Tensor:
    """How one step weighs all pixels, a row for each pixel. In float32, as the authors have it."""
    rows, columns, weights = entries(edges)
    count = edges[0].numel()
    dense = torch.zeros(count, count, device=edges.device)
    dense[rows, columns] = weights
    return dense


def exact_walk(scores: Tensor, edges: Tensor) -> np.ndarray:
    """Scores (maps, h, w) after all steps one by one, in double precision."""
    rows, columns, weights = entries(edges.double())
    count = edges[0].numel()
    step = csr_array((weights.numpy(), (rows.numpy(), columns.numpy())), shape=(count, count))
    walked = (scores * (1 - edges)).double().flatten(2)[0].T.numpy()
    for _ in range(STEPS):
        walked = step @ walked
    return walked.T.reshape(scores.shape[1:])


def entries(edges: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Row, column and weight of every pair of neighbours in the matrix of one step."""
    weights = transition_weights(edges, radius=RADIUS, power=POWER)[0]
    height, width = edges.shape[1:]
    half = pair_offsets(RADIUS)
    offsets = [(0, 0), *half, *((-dy, -dx) for dy, dx in half)]
    steps = torch.tensor([dy * width + dx for dy, dx in offsets], device=edges.device)
    rows = torch.arange(height * width, device=edges.device).expand(len(offsets), -1)
    present = weights.flatten(1) > 0  # neighbours beyond the border weigh nothing
    columns = rows + steps[:, None]
    return rows[present], columns[present], weights.flatten(1)[present]


def timed(
    run: Callable[[], Tensor], device: torch.device, *, rounds: int = 1
) -> tuple[Tensor, float]:
    """A result, and how many seconds it took, the median of some rounds."""
    clock = time.perf_counter if device.type == "cuda" else time.process_time
    results: list[Tensor] = []
    seconds: list[float] = []
    for _ in range(rounds):
        results.clear()
        synchronise(device)
        start = clock()
        results.append(run())
        synchronise(device)
        seconds.append(clock() - start)
    return results[0], median(seconds)


VARIANTS = {"neighbours only": sparse_walk, "dense, squared": dense_walk}


if __name__ == "__main__":
    main()
