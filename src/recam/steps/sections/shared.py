"""Fields that several sections have, and the rules of all sections.

A section is strict: text is no number, 2.0 is no whole number, NaN and infinity are refused. Values
stand in params.yaml alone: a field has a default only where the number may be left out.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, WithJsonSchema, model_validator
from pydantic_core import PydanticCustomError

from recam.catalogue.names import nearest


class Section(BaseModel):
    """One section of params.yaml: immutable, complete, without unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


MANY = 12  # names that a message lists
MOST_THREADS = 1024  # more end a process without a message where the system allows fewer


@dataclass(frozen=True)
class OneOf:
    """Metadata of a field that holds a name from a catalogue."""

    names: tuple[str, ...]

    def __call__(self, name: str) -> str:
        """Return a known name; refuse another with the nearest ones."""
        if name in self.names:
            return name
        near = nearest(name, self.names)
        few = len(self.names) <= MANY
        context = {
            "expected": f"one of {', '.join(self.names if few else self.names[:MANY])}"
            + ("" if few else f" and {len(self.names) - MANY} more"),
            "hint": f"; did you mean {' or '.join(near)}?" if near else "",
        }
        raise PydanticCustomError("expected", "expected {expected}{hint}", context)


def name_from(names: tuple[str, ...]) -> tuple[AfterValidator, WithJsonSchema]:
    """Metadata of a field that holds a name from a catalogue: its check and its schema."""
    return AfterValidator(OneOf(names)), WithJsonSchema({"type": "string", "enum": list(names)})


def _known_stride(value: int) -> int:
    if value not in STRIDES:
        raise PydanticCustomError("expected", "", {"expected": "8, 14, 16 or 32"})
    return value


def _usable_path(text: str) -> str:
    try:
        Path(text).expanduser()
    except RuntimeError:  # ~name of nobody
        raise PydanticCustomError("expected", "", {"expected": "a path that exists"}) from None
    if not text or "\0" in text:
        raise PydanticCustomError("expected", "", {"expected": "a path without a zero byte"})
    return text


STRIDES = (8, 14, 16, 32)
PlacePath = Annotated[str, AfterValidator(_usable_path)]  # or a word that stands for one
Split = Annotated[
    str,
    Field(
        pattern="^[A-Za-z0-9_-]+$",
        description="split: the name of a file in ImageSets/Segmentation, without .txt",
    ),
]
BackboneName = Annotated[
    str,
    Field(
        description="tf_efficientnet_lite0, resnet18, resnet34, resnet50, resnet101, or a "
        "convolutional network, Swin or plain vision transformer of timm, with or without a tag"
    ),
]
Weights = Annotated[
    PlacePath,
    Field(description="initial weights of the backbone: imagenet, none, or a state dict's path"),
]
TowerWeights = Annotated[
    PlacePath,
    Field(description="CLIP-ES: weights of the tower: timm, none, or a state dict's path"),
]
WORDS_FOR_WEIGHTS = ("imagenet", "none", "classifier")


def file_of_weights(weights: str) -> Path | None:
    """The file that initial weights name, or None for a word."""
    return None if weights in WORDS_FOR_WEIGHTS else Path(weights).expanduser()


OutputStride = Annotated[
    int,
    AfterValidator(_known_stride),
    WithJsonSchema({"type": "integer", "enum": list(STRIDES)}),
    Field(description="stride of the feature grid, in pixels"),
]
FrozenBatchNorm = Annotated[
    bool, Field(description="batch norms use their stored statistics in training too")
]
FrozenBackbone = Annotated[
    bool,
    Field(
        description="the backbone does not train; its features are computed once for each view of "
        "an image, at three sizes, and read from files"
    ),
]
Epochs = Annotated[int, Field(ge=1, description="passes over the split")]
MinSteps = Annotated[
    int,
    Field(
        ge=0,
        description="minimum number of steps; a split with few images gets more epochs to reach it",
    ),
]
Colour = Annotated[
    float,
    Field(
        ge=0,
        lt=1,
        description="largest relative change of a training image's brightness, contrast and "
        "saturation",
    ),
]
BatchSize = Annotated[int, Field(ge=1, description="images per batch")]
InferencePrecision = Annotated[
    Literal["machine", "bf16", "fp32"],
    Field(
        description="precision of the networks of this step: machine (that of machine.precision), "
        "bf16 or fp32; bf16 also pays on a CPU with instructions for it (AVX512_BF16, AMX)"
    ),
]
HeadRate = Annotated[
    float,
    Field(gt=0, description="initial learning rate of layers that are new on the backbone"),
]
HeldOut = Annotated[
    float,
    Field(
        ge=0,
        le=0.5,
        description="fraction of the split's images that do not train; the classifier's losses, "
        "recall and precision on their labels are recorded after every epoch",
    ),
]
Score = Annotated[float, Field(ge=0, le=1, description="background score, from 0 to 1")]
Threshold = Annotated[
    Literal["fixed", "yen"],
    Field(
        description="background score: fixed (as given below), or yen (from the histogram of "
        "all maps, without ground truth)"
    ),
]
Scale = Annotated[float, Field(gt=0, le=4)]
Scales = Annotated[
    tuple[Scale, ...],
    Field(
        strict=False,
        min_length=1,
        description="image scales, above 0 to 4, whose maps are averaged with those of the mirror "
        "images",
    ),
]
Distances = Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(strict=False, min_length=1)]


class Training(Section):
    """Polynomial decay of the learning rates to 0; random size, then a square crop."""

    epochs: Epochs
    min_steps: MinSteps
    batch_size: BatchSize
    optimizer: Annotated[
        Literal["sgd", "adamw"],
        Field(
            description="sgd, or adamw (betas 0.9 and 0.999; no weight decay of biases, norms, "
            "tokens and embeddings of positions)"
        ),
    ]
    momentum: Annotated[float, Field(ge=0, le=1, description="momentum of SGD; adamw ignores it")]
    weight_decay: Annotated[
        float, Field(ge=0, description="L2 penalty of SGD, or the weight decay of AdamW")
    ]
    resize_min: Annotated[
        int, Field(ge=1, description="minimum random length of the longer side, in pixels")
    ]
    resize_max: Annotated[
        int, Field(ge=1, description="maximum random length of the longer side, in pixels")
    ]
    crop: Annotated[int, Field(ge=1, description="side of the square crop, in pixels")]
    colour: Colour

    def epochs_for(self, images: int) -> int:
        """Passes over ``images``: ``epochs``, or as many as ``min_steps`` takes."""
        steps = max(1, images // self.batch_size)
        return max(self.epochs, math.ceil(self.min_steps / steps))

    def _at_most_resize_max(self) -> tuple[str, ...]:
        return "resize_min", "crop"

    @model_validator(mode="after")
    def _sizes_are_in_order(self) -> "Training":
        for name in self._at_most_resize_max():
            value = getattr(self, name)
            if value > self.resize_max:
                words = (
                    f"{name}: expected no more than resize_max ({self.resize_max}), got {value}; "
                    f"lower {name} or raise resize_max"
                )
                raise PydanticCustomError("sentence", "{words}", {"words": words})
        return self


def not_on_features(method: str) -> str:
    """The sentence about a training that needs more than the features of a frozen backbone."""
    return (
        f"frozen_backbone: expected false with {method}, which needs images and not their stored "
        "features alone, got true; set it to false, or choose cam"
    )


def require_fixed_colours(numbers: Training) -> None:
    """Refuse changed colours before a frozen backbone: every colour would be another view."""
    if numbers.colour:
        words = (
            f"colour: expected 0 with frozen_backbone, whose features are computed once, got "
            f"{numbers.colour}; set colour: 0.0"
        )
        raise PydanticCustomError("sentence", "{words}", {"words": words})


class CrfNumbers(Section):
    """The dense CRF (Krähenbühl & Koltun, NIPS 2011)."""

    crf_iterations: Annotated[int, Field(ge=0, description="mean-field iterations of the CRF")]
    crf_sxy: Annotated[
        float,
        Field(gt=0, description="bilateral kernel: standard deviation of position, in pixels"),
    ]
    crf_srgb: Annotated[
        float,
        Field(gt=0, description="bilateral kernel: standard deviation of colour, 0 to 255"),
    ]
    crf_weight: Annotated[float, Field(ge=0, description="weight of the bilateral kernel")]
    crf_smooth_sxy: Annotated[
        float,
        Field(gt=0, description="Gaussian kernel: standard deviation of position, in pixels"),
    ]
    crf_smooth_weight: Annotated[float, Field(ge=0, description="weight of the Gaussian kernel")]


class Replicate(Section):
    """One replicate of the experiment; not a section of its own."""

    random_seed: Annotated[
        int, Field(ge=0, description="random seed of the replicate; every step derives its own")
    ]
