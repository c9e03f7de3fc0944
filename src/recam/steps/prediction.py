"""The numbers of the predictions of ``evaluate``, kept for ``recam predict``."""

from pathlib import Path

from recam.data.layout import WeakSplit
from recam.io.images import image_size
from recam.pipeline.prediction_numbers import PredictionNumbers
from recam.steps.crf import crf_of
from recam.steps.sections.evaluate import Evaluate


def write_numbers(path: Path, numbers: Evaluate, split: WeakSplit) -> None:
    """Write ``prediction.json``; the longest side is that of the images of ``split``."""
    PredictionNumbers(
        scales=numbers.scales,
        crf=crf_of(numbers) if numbers.crf else None,
        longest_side=max(side for image in split.images for side in image_size(image)),
    ).write(path)
