"""Fresh weights that depend on the replicate."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from recam.core.randomness import derived_seed


@contextmanager
def seeded_initialisation(random_seed: int, *names: str | int) -> Iterator[None]:
    """Make the weights of modules built inside depend on the replicate and the names only.

    Constructors of torch modules draw from torch's global generator and take no other. Its state
    is put back on leaving, so nothing outside is affected.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(derived_seed(random_seed, *names))
        yield
