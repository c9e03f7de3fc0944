"""CPU seconds of each step before its first line of work, and the packages that take them.

`python benchmarks/start.py` starts the command line of every step with `--help`, which imports all
that its script imports, and builds the network of the default with and without a training step.
`--beside FOLDER` measures another checkout in turns; the first round may also compile files. The
second table has a package's import after those to its left.
"""

import argparse
import os
import resource
import shlex
import subprocess
import sys
from pathlib import Path
from statistics import median, quantiles

ROOT = Path(__file__).parents[1]
SCRIPTS = Path("workflow", "scripts")
CAUSES = (
    *("numpy", "torch", "torch._dynamo", "torchvision", "timm"),
    *("pandas", "scipy", "skimage", "sklearn", "matplotlib.figure", "pydantic"),
)
NETWORK = """
import torch
from recam.catalogue.backbones import make_backbone
from recam.io.checkpoints import ModelConfig
from recam.models.weights import load_weights
name = "tf_efficientnet_lite0"
config = ModelConfig(method="cam", backbone=name, output_stride=16, classes=("any",),
                     frozen_batch_norm=False, frozen_stem=False)
model = torch.nn.Module()
model.backbone = make_backbone(config)
load_weights(model.backbone, name=name, weights="imagenet")
"""
STEP = """
from recam.pipeline.optimizer import Recipe, make_optimizer
recipe = Recipe(epochs=1, learning_rates={"backbone": 0.1}, momentum=0.9, weight_decay=0.0)
optimizer, _ = make_optimizer(model, recipe, steps=1)
model.backbone(torch.zeros(2, 3, 32, 32)).square().mean().backward()
optimizer.step()
"""
LOADED = "import importlib, sys; importlib.import_module(sys.argv[1]); print(*sys.modules)"
BY_CAUSE = """
import importlib, sys, time
last = 0.0
for name in sys.argv[1:]:
    importlib.import_module(name)
    print(time.process_time() - last)
    last = time.process_time()
"""


def main() -> None:
    """Measure and print both tables."""
    steps = sorted(p.stem for p in (ROOT / SCRIPTS).glob("*.py") if not p.stem.startswith("_"))
    works = {step: [str(SCRIPTS / f"{step}.py"), "--help"] for step in steps}
    works |= {"network": ["-c", NETWORK], "training": ["-c", NETWORK + STEP]}
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", choices=[*works, []])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--beside", type=Path, help="another checkout, measured in turns")
    args = parser.parse_args()
    names = args.names or list(works)
    folders = [ROOT, *([args.beside.resolve()] if args.beside else [])]
    heads = ["here, s", *(["beside, s", "beside / here"] * (len(folders) > 1))]
    print(f"| start of | {' | '.join(heads)} |\n| --- |{' ---: |' * len(heads)}", flush=True)
    for name in names:
        print(
            f"| {name} | {' | '.join(cells(works[name], folders, rounds=args.rounds))} |",
            flush=True,
        )
    heads = [*CAUSES, "all others"]
    print(f"\n| start of | {' | '.join(heads)} |\n| --- |{' ---: |' * len(heads)}", flush=True)
    for step in (name for name in names if name in steps):
        print(f"| {step} | {' | '.join(by_cause(step, rounds=args.rounds))} |", flush=True)
    print(f"\n`{shlex.join(['python', 'benchmarks/start.py', *sys.argv[1:]])}`")


def cells(words: list[str], folders: list[Path], *, rounds: int) -> list[str]:
    """CPU seconds in each checkout, and the ratio of two."""
    times = [[seconds(folder, words) for folder in folders] for _ in range(rounds)]
    ratios = [other / here for here, *others in times for other in others]
    found = [spread(list(column)) for column in zip(*times, strict=True)]
    return [*found, *([f"**{median(ratios):.2f}**"] * bool(ratios))]


def seconds(folder: Path, words: list[str]) -> float:
    """CPU seconds, user and system, of a Python process in that checkout."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    python(folder, words)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def by_cause(step: str, *, rounds: int) -> list[str]:
    """CPU seconds of the packages that a step imports, and of the rest of its script."""
    folder = ROOT / SCRIPTS
    loaded = set(python(folder, ["-c", LOADED, step]).split())
    chosen = [cause for cause in CAUSES if cause in loaded]
    found = [python(folder, ["-c", BY_CAUSE, *chosen, step]).split() for _ in range(rounds)]
    medians = [median(map(float, column)) for column in zip(*found, strict=True)]
    times = dict(zip([*chosen, step], medians, strict=True))
    return [f"{times[name]:.2f}" if name in times else "" for name in (*CAUSES, step)]


def python(folder: Path, words: list[str]) -> str:
    """The output of Python in that folder, with the library of its checkout."""
    source = folder.parents[1] if folder.name == SCRIPTS.name else folder
    run = subprocess.run(  # noqa: S603 ours
        [sys.executable, *words],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(source / "src"), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if run.returncode:
        sys.exit(f"{folder}: {shlex.join(words)[:80]} failed: {run.stderr[-500:]}")
    return run.stdout


def spread(values: list[float]) -> str:
    """The median, and the quartiles of at least two values."""
    if len(values) < 2:
        return f"{values[0]:.2f}"
    low, _, high = quantiles(values, method="inclusive")
    return f"{median(values):.2f} ({low:.2f} to {high:.2f})"


if __name__ == "__main__":
    main()
