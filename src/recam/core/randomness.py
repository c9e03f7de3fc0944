"""One integer per replicate; every step derives its own generators from it and from its name."""

import hashlib

import numpy as np


def derived_seed(random_seed: int, *names: str | int) -> int:
    """A 63-bit seed that depends on the replicate and on every name, and on nothing else."""
    text = "/".join(str(part) for part in (random_seed, *names))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) >> 1


def numpy_generator(random_seed: int, *names: str | int) -> np.random.Generator:
    """A NumPy generator of its own for one use, e.g. ``numpy_generator(0, "crop", epoch, i)``."""
    return np.random.default_rng(derived_seed(random_seed, *names))
