"""The parts of a method's name, ``TRAINING-REACTIVATION-READOUT``, and the order of methods.

``cam`` is left out before a re-activation: ``recam-lpcam`` is ReCAM of CAM, read out by LPCAM. The
parse needs no catalogue, so figures also name methods of other versions of the project.
"""

from collections.abc import Iterable
from typing import NamedTuple

# Titles of the stages that are scored, by their key in metrics.
STAGES = {"cams": "cams", "pseudo": "pseudo masks", "seg": "segmentation"}
CAM, CONTROL, RECAM, SUPERVISED = "cam", "control", "recam", "supervised"
TRAININGS = (CAM, "seam", "eps", "mctformer", "clip_es")
WITH_SALIENCY = ("eps",)  # trainings that learn from saliency maps
REACTIVATIONS = (CONTROL, RECAM)
READOUTS = ("lpcam", "advcam", "layercam", "gradcampp", "gradcam")


class Parts(NamedTuple):
    """Training, re-activation and read-out; an empty string stands for none."""

    training: str
    reactivation: str = ""
    readout: str = ""

    @property
    def classifier(self) -> str:
        """The name of the method whose checkpoint is read: the same without a read-out."""
        if self.reactivation and self.training == CAM:
            return self.reactivation
        return "-".join(filter(None, self[:2]))

    @property
    def name(self) -> str:
        """The name of the method."""
        return "-".join(filter(None, (self.classifier, self.readout)))


def parts_of(method: str) -> Parts:
    """The parts of a method's name; ``supervised`` is a training of its own."""
    words = method.split("-")
    training = CAM if words[0] in REACTIVATIONS else words.pop(0)
    reactivation = words.pop(0) if words and words[0] in REACTIVATIONS else ""
    return Parts(training, reactivation, "-".join(words))


def learned_saliency(method: str) -> bool:
    """Whether the classifier of a method learned from saliency maps."""
    return parts_of(method).training in WITH_SALIENCY


def ordered(methods: Iterable[str]) -> list[str]:
    """Methods without repetition: by training, re-activation and read-out; supervised is last."""

    def key(method: str) -> tuple[object, ...]:
        known = (TRAININGS, ("", *REACTIVATIONS), ("", *READOUTS))
        places = [_place(part, of) for part, of in zip(parts_of(method), known, strict=True)]
        return method == SUPERVISED, *places

    return sorted(set(methods), key=key)


def before_and_after(methods: Iterable[str]) -> tuple[str, str] | None:
    """The first method with its ReCAM, if both are among the methods: CAM and ReCAM, say."""
    present = ordered(methods)
    for before in present:
        after = parts_of(before)._replace(reactivation=RECAM).name
        if not parts_of(before).reactivation and after in present:
            return before, after
    return None


def _place(part: str, known: tuple[str, ...]) -> tuple[int, str]:
    return (known.index(part) if part in known else len(known)), part
