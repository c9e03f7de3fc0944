"""`shapes`: drawn scenes that reproduce the failures of CAMs in minutes and without a download.

Every object is a large body, whose outline and texture several classes share, with a small
discriminative part, which alone identifies the class. A classifier needs only the part, so its
activation maps shrink to the part. Classes co-occur in pairs, so maps also leak onto the partner.
Backgrounds are cluttered 1/f noise with distractors. Colour, scale and rotation are independent of
the class. Objects occlude each other, are occluded, and are cut by the border.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, UInt8
from scipy.ndimage import gaussian_filter
from skimage.color import hsv2rgb

from recam.core.labels import BACKGROUND, mask_id
from recam.core.randomness import numpy_generator
from recam.data.layout import Scene
from recam.datasets.scenery import choose_classes, pink_noise

CLASSES = ("ring", "cross", "star", "crescent", "triangle", "hourglass", "bars", "drop")
BODIES = 2  # classes c and c + BODIES share a body, so co-occurring partners have different bodies
SUPERSAMPLING = 2  # scenes are drawn at this multiple of the size and averaged
VISIBLE_BODY = 0.35  # minimum visible fraction of an object, else objects are placed anew
VISIBLE_PART = 0.6  # minimum visible fraction of its discriminative part

Plane = Float[np.ndarray, "H W"]
BinaryMask = Bool[np.ndarray, "H W"]
Colours = Float[np.ndarray, "H W 3"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Object:
    """A placed object; its colours are drawn once the scene is accepted."""

    kind: int  # index of the body
    x: Plane  # coordinates in units of the body's radius, along the body
    y: Plane
    part: BinaryMask
    whole: BinaryMask  # body and part


def draw_scenes(
    count: int, *, size: int, cooccurrence: float, random_seed: int, split: str
) -> Iterator[Scene]:
    """``count`` scenes of ``size`` x ``size`` pixels; each depends on seed, split and number only.

    ``cooccurrence`` is the probability in [0, 1] that a class appears with its partner (ring and
    cross, star and crescent, ...).
    """
    for number in range(count):
        generator = numpy_generator(random_seed, "shapes", split, number)
        yield _draw_scene(generator, size=size, cooccurrence=cooccurrence)


def _draw_scene(generator: np.random.Generator, *, size: int, cooccurrence: float) -> Scene:
    canvas = size * SUPERSAMPLING
    image = _background(generator, size).repeat(SUPERSAMPLING, axis=0).repeat(SUPERSAMPLING, axis=1)
    for _ in range(generator.integers(2, 6)):
        image[_distractor(generator, canvas)] = _flat_colour(generator)
    classes = choose_classes(generator, num_classes=len(CLASSES), cooccurrence=cooccurrence)
    while True:
        objects = [_place_object(generator, c, canvas) for c in classes]
        occluder = _occluder(generator, canvas)
        owner = _stack(objects, occluder)
        if all(_is_recognisable(o, owner == i) for i, o in enumerate(objects)):
            break
    for obj in objects:
        image[obj.whole] = _object_colours(generator, obj)
    image[occluder] = _flat_colour(generator)
    return Scene(image=_photographed(generator, image), mask=_mask(owner, classes))


def _place_object(generator: np.random.Generator, class_index: int, canvas: int) -> _Object:
    x, y = _local_coordinates(
        canvas,
        centre=generator.uniform(0.08, 0.92, 2) * canvas,
        angle=generator.uniform(0, 2 * np.pi),
        radius=canvas * generator.uniform(0.17, 0.29),
        squeeze=generator.uniform(0.85, 1.2),
    )
    kind = class_index % BODIES
    body = _BODY_OUTLINES[kind](x, y, generator)
    distance, direction = generator.uniform(0, 0.5), generator.uniform(0, 2 * np.pi)
    turn, scale = generator.uniform(0, 2 * np.pi), generator.uniform(0.34, 0.42)
    cos, sin = np.float32(np.cos(turn) / scale), np.float32(np.sin(turn) / scale)
    u = x - np.float32(distance * np.cos(direction))
    v = y - np.float32(distance * np.sin(direction))
    part = _PARTS[class_index](cos * u + sin * v, cos * v - sin * u)
    return _Object(kind=kind, x=x, y=y, part=part, whole=body | part)


def _object_colours(generator: np.random.Generator, obj: _Object) -> Float[np.ndarray, "n 3"]:
    """Colours of the object's pixels: a shaded two-colour texture, and a third for the part."""
    x, y = obj.x[obj.whole], obj.y[obj.whole]
    light, dark = _two_colours(generator)
    texture = _BODY_TEXTURES[obj.kind](x, y)[:, None]
    shade = 1 - 0.125 * (x + y)[:, None]
    colours = (light * texture + dark * (1 - texture)) * shade
    colours[obj.part[obj.whole]] = _contrasting_colour(generator, light, dark)
    return colours


def _local_coordinates(
    canvas: int, *, centre: Float[np.ndarray, "2"], angle: float, radius: float, squeeze: float
) -> tuple[Plane, Plane]:
    pixels = np.arange(canvas, dtype=np.float32) + np.float32(0.5)
    dx = (pixels[None, :] - np.float32(centre[0])) / np.float32(radius)
    dy = (pixels[:, None] - np.float32(centre[1])) / np.float32(radius)
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    x = (cos * dx + sin * dy) * np.float32(squeeze)
    return x, (cos * dy - sin * dx) / np.float32(squeeze)


def _pebble(x: Plane, y: Plane, generator: np.random.Generator) -> BinaryMask:
    angle = np.arctan2(y, x)
    radius = np.ones_like(x)
    for wave in (2, 3, 5):
        radius += generator.uniform(0.03, 0.10) * np.cos(wave * angle + generator.uniform(0, 6.3))
    return np.hypot(x, y) < radius


def _crate(x: Plane, y: Plane, generator: np.random.Generator) -> BinaryMask:
    roundness = generator.uniform(4, 9)
    return np.abs(x / 1.05) ** roundness + np.abs(y / 0.8) ** roundness < 1


_BODY_OUTLINES: tuple[Callable[[Plane, Plane, np.random.Generator], BinaryMask], ...] = (
    _pebble,
    _crate,
)
_BODY_TEXTURES: tuple[Callable[[Plane, Plane], Plane], ...] = (
    lambda x, y: 0.5 + 0.5 * np.tanh(4 * np.sin(9 * x + np.sin(3 * y))),  # bands
    lambda x, y: 0.5 + 0.5 * np.tanh(4 * np.sin(11 * x) * np.sin(11 * y)),  # checks
)


def _star(u: Plane, v: Plane) -> BinaryMask:
    angle = np.arctan2(v, u)
    return np.hypot(u, v) < 0.62 + 0.38 * np.cos(5 * angle)


# Discriminative parts by class; in these coordinates a part fills about the unit disc.
_PARTS: tuple[Callable[[Plane, Plane], BinaryMask], ...] = (
    lambda u, v: (np.hypot(u, v) < 1) & (np.hypot(u, v) > 0.55),
    lambda u, v: (np.maximum(np.abs(u), np.abs(v)) < 1) & (np.minimum(np.abs(u), np.abs(v)) < 0.3),
    _star,
    lambda u, v: (np.hypot(u, v) < 1) & (np.hypot(u - 0.5, v) > 0.75),
    lambda u, v: (v > -0.6) & (v < 1 - 1.75 * np.abs(u)),
    lambda u, v: (np.abs(v) < 0.95) & (np.abs(u) < 0.15 + 0.8 * np.abs(v)),
    lambda u, v: (np.abs(u) < 1) & (np.abs(np.abs(v) - 0.55) < 0.28),
    lambda u, v: np.hypot(u, v) < 0.75 - 0.55 * np.sin(np.arctan2(v, u)),
)


def _background(generator: np.random.Generator, size: int) -> Colours:
    planes = [gaussian_filter(pink_noise(generator, size), 0.7, mode="wrap") for _ in range(4)]
    noise = np.stack(planes, axis=-1)  # slightly out of focus
    common, own = noise[..., :1], noise[..., 1:]
    base = generator.uniform(0.25, 0.75, 3)
    return base + 0.13 * common + 0.07 * own


def _distractor(generator: np.random.Generator, canvas: int) -> BinaryMask:
    x, y = _local_coordinates(
        canvas,
        centre=generator.uniform(0, 1, 2) * canvas,
        angle=generator.uniform(0, 2 * np.pi),
        radius=canvas * generator.uniform(0.04, 0.14),
        squeeze=generator.uniform(0.4, 2.5),
    )
    return (
        np.abs(x) ** 2 + np.abs(y) ** 2 < 1
        if generator.random() < 0.5
        else (np.maximum(np.abs(x), np.abs(y)) < 1)
    )


def _occluder(generator: np.random.Generator, canvas: int) -> BinaryMask:
    if generator.random() < 0.6:
        return np.zeros((canvas, canvas), dtype=bool)
    x, y = _local_coordinates(
        canvas,
        centre=generator.uniform(0.1, 0.9, 2) * canvas,
        angle=generator.uniform(0, 2 * np.pi),
        radius=canvas * generator.uniform(0.03, 0.06),
        squeeze=1.0,
    )
    return (np.abs(y) < 1) & (np.abs(x) < 8)


def _stack(objects: list[_Object], occluder: BinaryMask) -> np.ndarray:
    """The number of the topmost object at each pixel, or -1 for background."""
    owner = np.full(occluder.shape, -1)
    for number, obj in enumerate(objects):
        owner[obj.whole] = number
    owner[occluder] = -1
    return owner


def _is_recognisable(obj: _Object, seen: BinaryMask) -> bool:
    area = np.pi * 0.17**2 * seen.size  # smallest full area, a lower bound for truncated objects
    return bool(
        seen.sum() > VISIBLE_BODY * max(obj.whole.sum(), area)
        and (seen & obj.part).sum() > VISIBLE_PART * 0.34**2 * area
        and (seen & obj.part).sum() > VISIBLE_PART * obj.part.sum()
    )


def _mask(owner: np.ndarray, classes: list[int]) -> UInt8[np.ndarray, "h w"]:
    ids = np.array([*(mask_id(c) for c in classes), BACKGROUND], dtype=np.uint8)
    return ids[owner[::SUPERSAMPLING, ::SUPERSAMPLING]]  # owner -1 selects the last entry


def _flat_colour(generator: np.random.Generator) -> Float[np.ndarray, "3"]:
    return hsv2rgb(generator.uniform((0, 0.1, 0.2), (1, 0.9, 0.95)))


def _two_colours(generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    hue = generator.random()
    light = hsv2rgb(np.array([hue, generator.uniform(0.2, 0.7), generator.uniform(0.65, 0.95)]))
    dark = hsv2rgb(np.array([(hue + 0.08) % 1, generator.uniform(0.4, 0.9), 0.45]))
    return light, dark


def _contrasting_colour(
    generator: np.random.Generator, light: np.ndarray, dark: np.ndarray
) -> np.ndarray:
    candidates = hsv2rgb(generator.uniform((0, 0.3, 0.1), (1, 1, 1), (8, 3)))
    distance = np.minimum(
        np.linalg.norm(candidates - light, axis=1), np.linalg.norm(candidates - dark, axis=1)
    )
    return candidates[distance.argmax()]


def _photographed(generator: np.random.Generator, canvas: Colours) -> UInt8[np.ndarray, "h w 3"]:
    """The canvas averaged to the image size, with sensor noise."""
    size = canvas.shape[0] // SUPERSAMPLING
    image = canvas.reshape(size, SUPERSAMPLING, size, SUPERSAMPLING, 3).mean(axis=(1, 3))
    image += generator.normal(0, 0.015, image.shape)
    return np.round(np.clip(image, 0, 1) * 255).astype(np.uint8)
