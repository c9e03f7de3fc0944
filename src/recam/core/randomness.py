"""Random generators, derived from the replicate's random seed and the names of their use."""

import hashlib

import numpy as np


def derived_seed(random_seed: int, *names: str | int) -> int:
    """A 63-bit seed: a hash of the random seed and of every name."""
    text = "/".join(str(part) for part in (random_seed, *names))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) >> 1


def numpy_generator(random_seed: int, *names: str | int) -> np.random.Generator:
    """A NumPy generator for one use, such as ``numpy_generator(0, "crop", epoch, i)``."""
    return np.random.default_rng(derived_seed(random_seed, *names))
