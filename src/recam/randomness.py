"""One integer per replicate; every step derives its own generators from it and from its name."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def derived_seed(random_seed: int, *names: str | int) -> int:
    """A 63-bit seed that depends on the replicate and on every name, and on nothing else."""
    text = "/".join(str(part) for part in (random_seed, *names))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) >> 1


def numpy_generator(random_seed: int, *names: str | int) -> np.random.Generator:
    """A NumPy generator of its own for one use, e.g. ``numpy_generator(0, "crop", epoch, i)``."""
    return np.random.default_rng(derived_seed(random_seed, *names))


@contextmanager
def seeded_initialisation(random_seed: int, *names: str | int) -> Iterator[None]:
    """Make the weights of modules built inside depend on the replicate and the names only.

    Constructors of torch modules draw from torch's global generator and take no other. Its state
    is put back on leaving, so nothing outside is affected.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(derived_seed(random_seed, *names))
        yield
