"""Work of trainings with a frozen backbone: the head on features, and the features themselves."""

import math

from torch import nn

from recam.data.augmentation import Augmentation, on_grid
from recam.data.loading import LabelledImages
from recam.io.feature_files import FeatureFiles
from recam.models.backbones import Backbone, backbone_of
from recam.models.frozen import PassThrough, is_frozen, put_backbone
from recam.pipeline.frozen import DrawnViews, FrozenImages, features_function
from recam.steps.bench import Bench
from recam.steps.clock import Run
from recam.steps.sections.shared import Training


def fed_features(model: nn.Module, side: int) -> tuple[int, int, int] | None:
    """Let features take the place of images of a frozen backbone; their shape in a crop."""
    backbone = model.get_submodule("backbone")
    if not isinstance(backbone, Backbone) or not is_frozen(backbone):
        return None
    put_backbone(model, PassThrough(backbone))
    cells = math.ceil(side / backbone.level_strides[-1])
    return backbone.channels, cells, cells


def features_run(bench: Bench, model: nn.Module, numbers: Training) -> tuple[Run, int]:
    """Views of images, read and computed by a frozen backbone, and none stored."""
    backbone, split = backbone_of(model), bench.split
    varied = Augmentation(
        resize_min=numbers.resize_min,
        resize_max=numbers.resize_max,
        crop=numbers.crop,
        mean=backbone.mean,
        std=backbone.std,
    )
    stride = backbone.level_strides[-1]
    images = LabelledImages(split, on_grid(varied, stride=stride), random_seed=0)
    views = DrawnViews(images, FeatureFiles(bench.folder, key="", limit=0), stride=stride)
    compute = features_function(backbone, device=bench.device, precision=bench.precision)
    items = FrozenImages(views, compute)
    return lambda: [items[0, index] for index in range(len(items))], len(items)
