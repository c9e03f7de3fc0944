"""Images, masks and score maps as text for the browser, which decodes them exactly."""

import base64
import io
import zlib
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from jaxtyping import Shaped, UInt8
from PIL import Image

from recam.core.errors import UserError
from recam.core.labels import IGNORE, mask_id, seed_mask
from recam.core.metrics import confusion_matrix, miou
from recam.data.layout import IMAGES, find_image
from recam.io.archives import is_stored
from recam.io.images import check_mask, image_size, read_image, read_mask, resized
from recam.io.scores import SCORE_STEPS, ScoredClasses, load_scores
from recam.report.explorer.sources import Experiment, Source

QUALITY = 88  # of JPEG
START = 0.5  # background score where a run is not evaluated yet
PERCENT = 100.0


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodedMaps:
    """Score maps of one method in 200ths, and the mIoU of their mask at the threshold used."""

    ids: list[int]  # mask ids of the maps, ascending
    packed: str  # see ``packed``
    miou: float | None  # percent; None without ground truth


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodedImage:
    """An image with its ground truth and score maps, all of the same size."""

    name: str
    size: tuple[int, int]  # height, width
    stored: tuple[int, int]  # height and width of the image file
    jpeg: str  # base64
    truth: str | None  # see ``packed``
    maps: dict[str, dict[str, EncodedMaps]]  # by stage and method; only files that are there
    changes: dict[str, dict[str, float]]  # percent of pixels, by stage and two methods: "cam recam"


def shrunk(size: tuple[int, int], *, longest: int) -> tuple[int, int]:
    """``size`` (height, width), reduced in proportion to at most ``longest`` pixels a side."""
    scale = min(1.0, longest / max(size))
    height, width = (max(1, round(scale * length)) for length in size)
    return height, width


def sampled(
    values: Shaped[np.ndarray, "n H W"], size: tuple[int, int]
) -> Shaped[np.ndarray, "n h w"]:
    """The values nearest to the pixel centres of a grid of ``size``: no value is made up."""
    rows, columns = (
        ((np.arange(new) + 0.5) * old / new).astype(np.int64)
        for new, old in zip(size, values.shape[1:], strict=True)
    )
    return values[:, rows[:, None], columns]


def in_steps(scored: ScoredClasses) -> UInt8[np.ndarray, "n h w"]:
    """Scores in 200ths, rounded up: above a threshold i/200 if and only if the score is."""
    saved = np.arange(SCORE_STEPS, dtype=np.float32) / np.float32(SCORE_STEPS)
    return np.searchsorted(saved, scored.scores).astype(np.uint8)


def packed(values: UInt8[np.ndarray, "n h w"]) -> str:
    """Differences between a row and the one above, modulo 256, as zlib's stream in base64."""
    differences = np.diff(values, axis=1, prepend=np.uint8(0))
    return base64.b64encode(zlib.compress(differences.tobytes())).decode()


def encoded_image(experiment: Experiment, image_id: str, *, longest: int) -> EncodedImage:
    """An image with all that is known of it. Raises UserError for files that do not fit it."""
    path = find_image(experiment.data / IMAGES, image_id)
    stored = image_size(path)
    size = shrunk(stored, longest=longest)
    truth = _truth(experiment, image_id, stored, size)
    stages = {
        stage: _encoded_stage(experiment, sources, image_id, truth=truth, size=size)
        for stage, sources in experiment.sources.items()
    }
    return EncodedImage(
        name=image_id,
        size=size,
        stored=stored,
        jpeg=_jpeg(resized(read_image(path, at_least=size), size, stored=stored)),
        truth=None if truth is None else packed(truth[None]),
        maps={stage: maps for stage, (maps, _) in stages.items()},
        changes={stage: changes for stage, (_, changes) in stages.items()},
    )


def _encoded_stage(
    experiment: Experiment,
    sources: dict[str, Source],
    image_id: str,
    *,
    truth: UInt8[np.ndarray, "h w"] | None,
    size: tuple[int, int],
) -> tuple[dict[str, EncodedMaps], dict[str, float]]:
    """The maps by method, and the changes between the masks of two methods."""
    loaded = {m: _loaded(experiment, source, image_id, size) for m, source in sources.items()}
    there = {method: scored for method, scored in loaded.items() if scored}
    masks = {method: _mask(scored, sources[method]) for method, scored in there.items()}
    maps = {
        method: EncodedMaps(
            ids=[mask_id(int(index)) for index in scored.classes],
            packed=packed(in_steps(scored)),
            miou=_miou(truth, masks[method], experiment.num_ids),
        )
        for method, scored in there.items()
    }
    changes = {
        f"{one} {other}": round(PERCENT * float((masks[one] != masks[other]).mean()), 2)
        for one, other in combinations(masks, 2)
    }
    return maps, changes


def _truth(
    experiment: Experiment, image_id: str, stored: tuple[int, int], size: tuple[int, int]
) -> UInt8[np.ndarray, "h w"] | None:
    path = experiment.truth(image_id)
    if path is None:
        return None
    mask = read_mask(path)
    check_mask(path, mask, size=stored, num_ids=experiment.num_ids)
    return sampled(mask[None], size)[0]


def _loaded(
    experiment: Experiment, source: Source, image_id: str, size: tuple[int, int]
) -> ScoredClasses | None:
    """The maps of an image at ``size``, in saved steps; None if they are not made yet."""
    path = source.folder / f"{image_id}.npz"
    if not is_stored(path):
        return None
    scored = load_scores(path)
    if len(scored.classes) and scored.classes.max() >= len(experiment.classes):
        raise UserError(
            f"{path}: expected class indices below {len(experiment.classes)}, got "
            f"{scored.classes.max()}; make the maps again"
        )
    reduced = ScoredClasses(scores=sampled(scored.scores, size), classes=scored.classes)
    scores = in_steps(reduced).astype(np.float32) / np.float32(SCORE_STEPS)
    return ScoredClasses(scores=scores, classes=scored.classes)


def _mask(scored: ScoredClasses, source: Source) -> UInt8[np.ndarray, "h w"]:
    threshold = START if source.cut is None else source.cut
    return seed_mask(scored.scores, scored.classes, threshold=threshold)


def _miou(
    truth: UInt8[np.ndarray, "h w"] | None, mask: UInt8[np.ndarray, "h w"], num_ids: int
) -> float | None:
    if truth is None or (truth == IGNORE).all():
        return None
    return round(PERCENT * miou(confusion_matrix(truth, mask, num_ids=num_ids)), 2)


def _jpeg(pixels: UInt8[np.ndarray, "h w 3"]) -> str:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=QUALITY, subsampling=0)
    return base64.b64encode(buffer.getvalue()).decode()
