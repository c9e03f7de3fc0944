"""Declarations of a step's files and folders: the type says how many, the mark says which way.

A step lists them as a dataclass::

    class Paths:
        data: Annotated[Path, In("data set in VOC layout")]
        cut: Annotated[Path | None, Optional("JSON of the threshold")]
        tables: Annotated[list[Path], Out("IoU by class, then mIoU by threshold", count=2)]
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, NamedTuple, get_type_hints

from recam.io.origins import OWN_MASKS


@dataclass(frozen=True, slots=True)
class In:
    """An input; ``several`` takes one path or more."""

    help: str
    several: bool = False

    @property
    def nargs(self) -> str | None:
        """How many values, in the words of argparse."""
        return "+" if self.several else None


@dataclass(frozen=True, slots=True)
class Optional:
    """An input that may be left out, or be given without a value: None."""

    help: str
    nargs: str = "?"


@dataclass(frozen=True, slots=True)
class Out:
    """An output; the first one of a step is locked while the step runs."""

    help: str
    count: int = 1

    @property
    def nargs(self) -> int | None:
        """How many values, in the words of argparse."""
        return self.count if self.count > 1 else None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingPaths:
    """The paths that all training steps have."""

    data: Annotated[Path, In("data set in VOC layout; its masks are not read")]
    checkpoint: Annotated[Path, Out("trained network")]
    curve: Annotated[Path, Out("CSV of the losses by epoch")]

    @property
    def state(self) -> Path:
        """The file that keeps an unfinished run; no engine knows of it."""
        return self.checkpoint.with_name(f"{self.checkpoint.stem}.last.pt")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassifierPaths(TrainingPaths):
    """The paths of the steps that train a classifier."""

    saliency_maps: Annotated[Path | None, Optional("folder of saliency maps, grey PNG; EPS")]

    def inputs(self, *others: Path) -> tuple[Path, ...]:
        """The paths whose content decides what is trained, ``others`` among them."""
        return self.data, *others, *([self.saliency_maps] if self.saliency_maps else [])


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainCamPaths(ClassifierPaths):
    """The paths of train_cam."""

    texts: Annotated[Path | None, Optional("output of embed_texts; CLIP-ES")]


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmenterPaths(TrainingPaths):
    """The paths of train_seg."""

    masks: Annotated[Path, In("folder of masks to train on, palette PNG")]
    classifier: Annotated[Path, In("checkpoint of train_cam, for weights: classifier")]

    @property
    def own_masks(self) -> Path:
        """The folder of masks for the second round of self-training."""
        return self.checkpoint.with_name(OWN_MASKS)

    @property
    def second_state(self) -> Path:
        """The file that keeps the unfinished second round of self-training."""
        return self.checkpoint.with_name(f"{self.checkpoint.stem}.second.last.pt")


@dataclass(frozen=True, slots=True, kw_only=True)
class IrnPaths(TrainingPaths):
    """The paths of train_irn."""

    cams: Annotated[Path, In("folder of cams")]


class Declared(NamedTuple):
    """A field of a dataclass of paths."""

    name: str
    mark: In | Optional | Out


def declared_paths(paths: type[Any]) -> Iterator[Declared]:
    """The fields of a dataclass of paths with their marks, in order.

    Raises TypeError for a field without a mark.
    """
    hints = get_type_hints(paths, include_extras=True)
    for field in fields(paths):
        marks = getattr(hints[field.name], "__metadata__", ())
        found = [mark for mark in marks if isinstance(mark, In | Optional | Out)]
        if len(found) != 1:
            raise TypeError(f"{field.name}: expected one of In, Out and Optional in its type")
        yield Declared(field.name, found[0])
