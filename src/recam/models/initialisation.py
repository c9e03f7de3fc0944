"""Initial weights that depend on the replicate's random seed."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from recam.core.randomness import derived_seed


@contextmanager
def seeded_initialisation(random_seed: int, *names: str | int) -> Iterator[None]:
    """Seed the initial weights of modules built inside the block by the random seed and the names.

    Constructors of torch modules draw from torch's global generator and accept no other. Its state
    is restored at the end of the block.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(derived_seed(random_seed, *names))
        yield
