"""Section train_cam: the multi-label classifier."""

from typing import Annotated

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from recam.catalogue.names import ON_FEATURES, TRAININGS, needs_texts
from recam.steps.sections.shared import (
    MOST_THREADS,
    BackboneName,
    FrozenBackbone,
    FrozenBatchNorm,
    HeadRate,
    HeldOut,
    OutputStride,
    Replicate,
    Split,
    TowerWeights,
    Training,
    Weights,
    name_from,
    not_on_features,
    require_fixed_colours,
)


class TrainCam(Training):
    """The classifier of stage one."""

    threads: Annotated[
        int,
        Field(
            ge=1,
            le=MOST_THREADS,
            description="threads of this step on a CPU: no other step can run then",
        ),
    ]
    split: Split
    held_out: HeldOut
    backbone: BackboneName
    weights: Weights
    output_stride: OutputStride
    frozen_batch_norm: FrozenBatchNorm
    frozen_stem: Annotated[
        bool, Field(description="the first convolution and its batch norm do not train")
    ]
    frozen_backbone: FrozenBackbone
    lr: Annotated[float, Field(gt=0, description="initial learning rate of the backbone")]
    lr_classifier: HeadRate
    seam_scale: Annotated[
        float,
        Field(gt=0, le=4, description="SEAM: size of the second view, relative to the crop"),
    ]
    seam_weight: Annotated[
        float,
        Field(ge=0, description="SEAM: weight of the difference between the maps of both views"),
    ]
    seam_pcm: Annotated[bool, Field(description="SEAM: train and use the pixel correlation module")]
    clip_tower: Annotated[
        str,
        Field(description="CLIP-ES: image tower, a plain ViT of timm with a projection to texts"),
    ]
    clip_weights: TowerWeights
    clip_stride: Annotated[OutputStride, Field(description="CLIP-ES: patch of the tower, pixels")]
    mctformer_contrast: Annotated[
        float, Field(ge=0, description="MCTformer: weight of the contrast between class tokens")
    ]

    @model_validator(mode="after")
    def _frozen_features_have_one_colour(self) -> "TrainCam":
        if self.frozen_backbone:
            require_fixed_colours(self)
        return self

    def network_of(self, method: str) -> tuple[str, int]:
        """The backbone of the method's classifier, and its output stride."""
        if needs_texts(method):
            return self.clip_tower, self.clip_stride
        return self.backbone, self.output_stride


class TrainCamRun(TrainCam, Replicate):
    """Stage one of one training and replicate."""

    method: Annotated[
        str, *name_from(TRAININGS), Field(description="method by which the classifier is trained")
    ]

    @model_validator(mode="after")
    def _frozen_features_suffice(self) -> "TrainCamRun":
        if self.frozen_backbone and self.method not in ON_FEATURES:
            words = not_on_features(self.method)
            raise PydanticCustomError("sentence", "{words}", {"words": words})
        return self
