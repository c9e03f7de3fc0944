"""Trained networks on images: a segmenter predicts masks, a classifier gives CAMs."""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NoReturn, cast, overload

import torch
from torch import Tensor

from recam.catalogue.readouts import own_maps
from recam.core.errors import UserError
from recam.core.labels import class_names_with_background
from recam.interface.images import AnyImage, sources_of
from recam.interface.results import ImageMaps, Prediction
from recam.io.checkpoints import ModelConfig
from recam.methods.cam import peak_normalised
from recam.methods.recam import COMBINATIONS, MEAN
from recam.methods.variant import Readout, Variant
from recam.models import segmenters
from recam.models.backbones import backbone_of
from recam.pipeline.inference import Source, averaged, equal_size_batches
from recam.pipeline.prediction_numbers import PredictionNumbers
from recam.pipeline.segmentation import probabilities_of_images
from recam.runtime.precision import autocast, make_precision
from recam.runtime.progress import progress

BATCH_SIZE = 4
BARE = (1.0,)  # one scale: the image itself


class Segmenter:
    """A trained segmenter, from ``recam.load``.

    ``classes`` are the names of mask values, background first; ``scales`` those of ``predict``.
    ``numbers`` are those that the experiment keeps beside the checkpoint, if there are any.
    """

    def __init__(
        self,
        model: segmenters.Segmenter,
        config: ModelConfig,
        *,
        path: Path,
        numbers: PredictionNumbers | None,
    ):
        self.classes = class_names_with_background(config.classes)
        self.scales = numbers.scales if numbers else BARE
        self._model, self._path = model, path
        self._crf = numbers.crf if numbers else None
        largest = numbers.longest_side if numbers else 0
        self._longest_side = max(config.longest_side, largest) or None
        self._precision = make_precision("auto", next(model.parameters()).device)

    @overload
    def predict(
        self,
        images: AnyImage,
        *,
        scales: Sequence[float] | None = None,
        batch_size: int = BATCH_SIZE,
    ) -> Prediction: ...

    @overload
    def predict(
        self,
        images: Sequence[AnyImage],
        *,
        scales: Sequence[float] | None = None,
        batch_size: int = BATCH_SIZE,
    ) -> list[Prediction]: ...

    def predict(
        self,
        images: AnyImage | Sequence[AnyImage],
        *,
        scales: Sequence[float] | None = None,
        batch_size: int = BATCH_SIZE,
    ) -> Prediction | list[Prediction]:
        """The mask of one image, or a list of masks of a list of images.

        An image is a path, a Pillow image, a uint8 array (H, W, 3) or (H, W), or a tensor
        (3, H, W), uint8 or from 0 to 1. ``scales`` of the image are averaged, each with its mirror
        image; by default they are those of the experiment, from ``prediction.json`` beside the
        checkpoint, and 1 without that file. Images of one size share a batch. Raises UserError for
        an image that cannot be read.
        """
        sources = sources_of(listed(images))
        predictions = probabilities_of_images(
            self._model,
            sources,
            scales=checked_scales(self.scales if scales is None else scales),
            batch_size=_checked_batch_size(batch_size),
            crf=self._crf,
            longest_side=self._longest_side,
            precision=self._precision,
        )
        results: dict[int, Prediction] = {}
        for one in progress(predictions, total=len(sources), what="masks", unit="image"):
            results[one.position] = Prediction(
                mask=one.mask(),
                classes=self.classes,
                image=sources[one.position],
                grid=one.probabilities.to("cpu", torch.float32, copy=True),
            )
        ordered = [results[position] for position in range(len(sources))]
        return ordered if isinstance(images, list | tuple) else ordered[0]

    def maps(self, *_: object, **__: object) -> NoReturn:
        """Raise UserError: a classifier gives maps."""
        raise UserError(
            f"{self._path}: expected a classifier for maps, got a segmenter; load a classifier.pt, "
            "or call predict"
        )


class Classifier:
    """A trained classifier, from ``recam.load``; ``classes`` are the names of its outputs."""

    def __init__(self, model: Variant, classes: tuple[str, ...], *, path: Path):
        self.classes = classes
        self._model, self._path = model, path
        self._precision = make_precision("auto", next(model.parameters()).device)

    @overload
    def maps(
        self,
        images: AnyImage,
        labels: Sequence[str],
        *,
        scales: Sequence[float] = BARE,
        combine: str = MEAN,
        batch_size: int = BATCH_SIZE,
    ) -> ImageMaps: ...

    @overload
    def maps(
        self,
        images: Sequence[AnyImage],
        labels: Sequence[Sequence[str]],
        *,
        scales: Sequence[float] = BARE,
        combine: str = MEAN,
        batch_size: int = BATCH_SIZE,
    ) -> list[ImageMaps]: ...

    def maps(
        self,
        images: AnyImage | Sequence[AnyImage],
        labels: Sequence[str] | Sequence[Sequence[str]],
        *,
        scales: Sequence[float] = BARE,
        combine: str = MEAN,
        batch_size: int = BATCH_SIZE,
    ) -> ImageMaps | list[ImageMaps]:
        """CAMs of the named labels of one image, or a list of them for a list of images.

        Images are as in ``Segmenter.predict``; a list of them needs a list of lists of names.
        ``scales`` of the image are averaged, each with its mirror image. ``combine`` of the two
        classifiers of ReCAM is ``mean``, ``product``, ``classifier``, ``reclassifier`` or ``sum``
        (``make_cams.combine`` of params.yaml); other classifiers ignore it. Raises UserError for an
        unknown name and for an image that cannot be read.
        """
        several = isinstance(images, list | tuple)
        sources = sources_of(listed(images))
        given = cast(Sequence[Sequence[str]], labels if several else [labels])
        names = _names_by_image(given, self.classes, len(sources))
        results: dict[int, ImageMaps] = {}
        computed = self._computed(
            sources,
            names,
            scales=checked_scales(scales),
            readout=own_maps(self._model, combine=checked_combination(combine)),
            batch_size=_checked_batch_size(batch_size),
        )
        for one in progress(computed, total=len(sources), what="maps", unit="image"):
            position, maps, probabilities = one
            chosen = [self.classes.index(name) for name in names[position]]
            results[position] = ImageMaps(
                labels=names[position],
                maps=peak_normalised(maps[chosen]).numpy(),
                probabilities=probabilities[chosen].numpy(),
                image=sources[position],
            )
        ordered = [results[position] for position in range(len(sources))]
        return ordered if several else ordered[0]

    def _computed(
        self,
        sources: list[Source],
        names: list[tuple[str, ...]],
        *,
        scales: tuple[float, ...],
        readout: Readout,
        batch_size: int,
    ) -> Iterator[tuple[int, Tensor, Tensor]]:
        """The position, the maps and the probabilities of every image; maps of its named labels.

        Those of other classes may hold any finite values.
        """
        device = next(self._model.parameters()).device
        for batch in equal_size_batches(sources, batch_size=batch_size):
            with torch.no_grad(), autocast(self._precision, device):
                images = backbone_of(self._model).normalise(batch.pixels.to(device))
                named = [[each in names[n] for each in self.classes] for n in batch.positions]
                present = torch.tensor(named, device=device)
                maps = averaged(readout, images, present, scales=scales).cpu()
                probabilities = self._model.logits(images).sigmoid().cpu()
            yield from zip(batch.positions, maps, probabilities, strict=True)

    def predict(self, *_: object, **__: object) -> NoReturn:
        """Raise UserError: a segmenter predicts."""
        raise UserError(
            f"{self._path}: expected a segmenter to predict, got a classifier; load a "
            "segmenter.pt, or call maps"
        )


def listed(images: object) -> Sequence[object]:
    """Several images as they are, one as a list of one."""
    return cast(Sequence[object], images) if isinstance(images, list | tuple) else [images]


def checked_scales(scales: Sequence[float]) -> tuple[float, ...]:
    """The scales. Raises UserError without one, and for one that is not above 0."""
    if not scales or not all(0 < scale < math.inf for scale in scales):
        raise UserError(f"scales: expected numbers above 0, got {scales}; give (1.0,), say")
    return tuple(scales)


def checked_combination(combine: str) -> str:
    """The name of a combination of ReCAM's classifiers. Raises UserError for another."""
    known = (MEAN, *COMBINATIONS)
    if combine not in known:
        raise UserError(f"combine: expected one of {', '.join(known)}, got {combine}")
    return combine


def _checked_batch_size(number: int) -> int:
    if number < 1:
        raise UserError(f"batch_size: expected at least 1, got {number}")
    return number


def _names_by_image(
    labels: Sequence[Sequence[str]], classes: tuple[str, ...], images: int
) -> list[tuple[str, ...]]:
    """The names of every image. Raises UserError for other numbers and unknown names."""
    if len(labels) != images:
        raise UserError(
            f"labels: expected a list of names for each of {images} images, got {len(labels)}"
        )
    for names in labels:
        if isinstance(names, str):
            raise UserError(
                f"labels: expected a list of names, got the text {names!r}; give a list"
            )
        for name in names:
            if name not in classes:
                raise UserError(f"labels: expected names among {shortened(classes)}, got {name!r}")
    return [tuple(names) for names in labels]


def shortened(names: Sequence[str], *, most: int = 8) -> str:
    """Names in a sentence; of many, the first ``most``."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
