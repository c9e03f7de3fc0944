"""Whether ``torch.compile`` pays: a training step of the default, plain and compiled, in turns.

`python benchmarks/compiled.py` prints how much faster a compiled step is, how long the first one
takes, which compiles it, and after how many steps that is won back. On a CPU it needs a C++
compiler. On a GPU the network is the published one.
"""

import argparse
import time
from collections.abc import Callable

import torch
from steps import DEFAULT, LEARNING_RATE, noise_batch
from steps_large import published
from torch import Tensor
from torch.optim import SGD

from recam.catalogue.methods import make_classifier
from recam.runtime.devices import make_device
from recam.runtime.precision import autocast, make_precision

ROUNDS = 15


def main() -> None:
    """Compile, take turns, tell."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="auto")
    torch.set_num_threads(1)
    device = make_device(parser.parse_args().device)
    plain, compiled = (step(device, compile_it=c) for c in (False, True))
    plain()
    first = seconds(compiled)
    pairs = [(seconds(plain), seconds(compiled)) for _ in range(ROUNDS)]
    ratios = sorted(of_compiled / of_plain for of_plain, of_compiled in pairs)
    gained = sorted(of_plain - of_compiled for of_plain, of_compiled in pairs)[ROUNDS // 2]
    pays = f"after {first / gained:,.0f} steps" if gained > 0 else "never"
    print(
        f"compiled: {ratios[ROUNDS // 2]:.2f} of the plain step ({ratios[ROUNDS // 4]:.2f} to "
        f"{ratios[-1 - ROUNDS // 4]:.2f}); first step {first:.0f} s; pays {pays}"
    )


def step(device: torch.device, *, compile_it: bool) -> Callable[[], None]:
    """Losses, forward and backward, and SGD, as ``recam.pipeline.training`` does them."""
    setup = published(device) if device.type == "cuda" else DEFAULT
    torch.manual_seed(0)
    model = make_classifier(setup.model_config).train()
    model.to(device).to(memory_format=torch.channels_last)
    images, labels = noise_batch(setup, device=device)
    loss: Callable[[Tensor, Tensor], dict[str, Tensor]] = model.loss
    if compile_it:
        loss = torch.compile(loss)
    optimizer = SGD(model.parameters(), lr=LEARNING_RATE, momentum=0.9, fused=True)

    def run() -> None:
        with autocast(make_precision("auto", device), device):
            losses = loss(images, labels)
        optimizer.zero_grad(set_to_none=True)
        torch.stack(list(losses.values())).sum().backward()
        optimizer.step()
        if device.type == "cuda":
            torch.cuda.synchronize()

    return run


def seconds(run: Callable[[], None]) -> float:
    """Of one run."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
