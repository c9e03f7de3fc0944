"""Shared by generated data sets: natural-looking backgrounds and co-occurring classes."""

import numpy as np
from jaxtyping import Float
from scipy.ndimage import gaussian_filter
from skimage.color import hsv2rgb


def pink_noise(generator: np.random.Generator, size: int) -> Float[np.ndarray, "H W"]:
    """1/f noise, with the amplitude spectrum of natural images.

    ``size`` x ``size`` values of mean 0 and variance 1, periodic at the borders.
    """
    spectrum = np.fft.rfft2(generator.normal(size=(size, size)))
    frequency = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None, :])
    frequency[0, 0] = np.inf
    noise = np.fft.irfft2(spectrum / frequency, s=(size, size))
    return noise / noise.std()


def choose_classes(
    generator: np.random.Generator, *, num_classes: int, cooccurrence: float
) -> list[int]:
    """Draw one to three different class indices, in random order.

    The partner of the first class (0 and 1, 2 and 3, ...) is added with probability
    ``cooccurrence`` in [0, 1], and any class with probability 0.25. ``num_classes`` is even.
    """
    first = int(generator.integers(num_classes))
    classes = [first]
    if generator.random() < cooccurrence:
        classes.append(first ^ 1)
    if generator.random() < 0.25:
        classes.append(int(generator.integers(num_classes)))
    return [int(c) for c in generator.permutation(list(dict.fromkeys(classes)))]


def landscape(generator: np.random.Generator, size: int) -> Float[np.ndarray, "H W 3"]:
    """Two textures that meet along an uneven line, like land and sky or wall and floor.

    ``size`` x ``size`` RGB colours, most of them in [0, 1].
    """
    slope = np.linspace(-1, 1, size)
    height = slope[:, None] + generator.uniform(-0.3, 0.3) * slope + generator.uniform(-0.6, 0.6)
    height = height + generator.uniform(0.02, 0.2) * pink_noise(generator, size)
    lower = (1 / (1 + np.exp(-height * generator.uniform(8, 40))))[..., None]
    return lower * _texture(generator, size) + (1 - lower) * _texture(generator, size)


def _texture(generator: np.random.Generator, size: int) -> Float[np.ndarray, "H W 3"]:
    coarseness = generator.uniform(0.4, 1.6)
    light = gaussian_filter(pink_noise(generator, size), coarseness, mode="wrap")
    tint = gaussian_filter(pink_noise(generator, size), coarseness, mode="wrap")
    veins = np.sin(generator.uniform(2, 7) * light + tint)
    shade = 0.10 * light + generator.uniform(0, 0.07) * veins
    base = hsv2rgb(generator.uniform((0, 0.05, 0.35), (1, 0.45, 0.85)))
    return base + shade[..., None] + tint[..., None] * generator.normal(0, 0.04, 3)
