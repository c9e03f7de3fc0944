"""Backbones: one interface to the networks of torchvision and timm.

A backbone maps normalised images (B, 3, H, W) to features (B, C, h, w). It stores the mean and the
standard deviation, of pixels in [0, 1], that its weights expect, and has an early, finer level for
decoders.
"""

from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from recam.core.errors import UserError
from recam.models.depthwise import use_fast_depthwise_gradients
from recam.models.timm_networks import create_timm, grid_of, require_grid

if TYPE_CHECKING:
    from torchvision.models import ResNet

Images = Float[Tensor, "B 3 H W"]
Early = Float[Tensor, "B c h4 w4"]
Features = Float[Tensor, "B C h w"]
TORCHVISION = ("resnet18", "resnet34", "resnet50", "resnet101")  # all other backbones are timm's
SKIP_STRIDE = 4  # of the early level, in pixels
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)


class Backbone(nn.Module, ABC):
    """The interface of all backbones."""

    channels: int  # of the final features
    skip_channels: int  # of the early level; 0 without one
    level_channels: tuple[int, ...]  # of every level, the finest first
    level_strides: tuple[int, ...]  # pixels
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    head_limit = 4  # extra tensors of a classification head that a weights file may hold
    head_parts: tuple[str, ...] = ()  # parts of a network whose tensors do not count as extra

    def forward(self, images: Images) -> Features:
        """Final features (B, channels, h, w)."""
        return self.with_skip(images)[1]

    def normalise(self, pixels: Images) -> Images:
        """(pixels - mean) / std of pixels in [0, 1], in channels-last memory format."""
        mean, std = (pixels.new_tensor(v)[:, None, None] for v in (self.mean, self.std))
        return ((pixels - mean) / std).contiguous(memory_format=torch.channels_last)

    @abstractmethod
    def with_skip(self, images: Images) -> tuple[Early, Features]:
        """The early level, at stride 4, and the final features."""

    @abstractmethod
    def levels(self, images: Images) -> list[Tensor]:
        """The features (B, c, h, w) of every level, the finest first."""

    def with_levels(self, images: Images) -> tuple[list[Tensor], Features]:
        """Every level, the finest first, and the final features, of one pass.

        Here the last level is the final features; a network with layers behind it overrides this.
        """
        levels = self.levels(images)
        return levels, levels[-1]

    @abstractmethod
    def freeze_stem(self) -> None:
        """Freeze the first convolution and its norm, affine parameters and statistics included."""


class TorchvisionResNet(Backbone):
    """A torchvision ResNet without its head, at output stride 8, 16 or 32.

    A lower output stride removes the strides of the last stages. By default nothing is dilated, as
    in the authors' network (strides 2, 2, 2, 1 for output stride 16).

    ``dilated`` replaces removed strides, of a stage itself and of earlier stages, by dilation of
    all its 3x3 convolutions: layer3 by 2 and layer4 by 4 at output stride 8, layer4 by 2 at 16
    (Chen et al., "DeepLab", TPAMI 2018, section 3.1). The first block of a stage is dilated too, as
    in DeepLabV2's network; torchvision's ``replace_stride_with_dilation`` gives that block the
    dilation of the stage before.
    """

    mean = IMAGENET_MEAN
    std = IMAGENET_STD

    def __init__(self, name: str, *, output_stride: int, dilated: bool = False):
        super().__init__()
        import torchvision  # noqa: PLC0415 slow to import

        network = cast("ResNet", torchvision.models.get_model(name, weights=None))
        stem = ("conv1", "bn1", "relu", "maxpool")
        self.stem = nn.Sequential(OrderedDict((n, network.get_submodule(n)) for n in stem))
        self.layer1, self.layer2 = network.layer1, network.layer2
        self.layer3, self.layer4 = network.layer3, network.layer4
        for stage, natural in ((self.layer3, 16), (self.layer4, 32)):
            if output_stride < natural:
                _remove_stride(stage)
                if dilated:
                    _dilate(stage, natural // output_stride)
        self.channels: int = network.fc.in_features
        self.skip_channels: int = self.channels // 8
        self.level_channels = (64, *(self.channels // n for n in (8, 4, 2, 1)))
        self.level_strides = (4, 4, *(min(stride, output_stride) for stride in (8, 16, 32)))

    def with_skip(self, images: Images) -> tuple[Early, Features]:
        """The output of the first stage, at stride 4, and the final features."""
        early = self.layer1(self.stem(images))
        return early, self.layer4(self.layer3(self.layer2(early)))

    def levels(self, images: Images) -> list[Tensor]:
        """The stem and the four stages."""
        features = [self.stem(images)]
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            features.append(stage(features[-1]))
        return features

    def round_up_pooling(self) -> None:
        """Round the size of the stem's pooled grid up, as in DeepLabV2's network."""
        cast(nn.MaxPool2d, self.stem.get_submodule("maxpool")).ceil_mode = True

    def freeze_stem(self) -> None:
        """Freeze conv1 and bn1, affine parameters and statistics included."""
        self.stem.requires_grad_(requires_grad=False)
        freeze_batch_norm(self.stem)


class TimmBackbone(Backbone):
    """A timm network with a feature grid by name, without its head: convolutions, Swin and others.

    Networks whose features are channels-last give them channels-first here.

    Raises UserError if the network lacks ``output_stride`` or a feature grid of images of any size.
    """

    def __init__(self, name: str, *, output_stride: int):
        super().__init__()
        self.name = name
        self.network = create_timm(name, output_stride=output_stride)
        require_grid(name, self.network)
        use_fast_depthwise_gradients(self)
        config = self.network.pretrained_cfg
        self.mean, self.std = triple(config["mean"]), triple(config["std"])
        self.channels = self.network.num_features
        levels = self.network.feature_info
        self.level_channels = tuple(level["num_chs"] for level in levels)
        self.level_strides = tuple(level["reduction"] for level in levels)
        has_early = SKIP_STRIDE in self.level_strides
        self._skip_index = self.level_strides.index(SKIP_STRIDE) if has_early else None
        self.skip_channels = (
            0 if self._skip_index is None else self.level_channels[self._skip_index]
        )

    def forward(self, images: Images) -> Features:
        """Final features (B, channels, h, w)."""
        return grid_of(self.network, self.network.forward_features(images))

    def with_skip(self, images: Images) -> tuple[Early, Features]:
        """The level at stride 4 and the final features. Raises UserError without such a level."""
        if self._skip_index is None:
            raise no_early_level(self.name, self.level_strides)
        indices = [self._skip_index]
        final, (early,) = self.network.forward_intermediates(images, indices=indices, norm=False)
        return early, grid_of(self.network, final)

    def levels(self, images: Images) -> list[Tensor]:
        """The last features of each level that timm lists."""
        return self.with_levels(images)[0]

    def with_levels(self, images: Images) -> tuple[list[Tensor], Features]:
        """The levels that timm lists and the final features, which may lie behind the last."""
        indices = list(range(len(self.level_channels)))
        final, levels = self.network.forward_intermediates(images, indices=indices, norm=False)
        return levels, grid_of(self.network, final)

    def freeze_stem(self) -> None:
        """Freeze the first convolution and its norm, or the embedding of patches."""
        for name, module in self.network.named_children():
            if name in {"conv_stem", "conv1", "bn1", "stem", "patch_embed"}:
                module.requires_grad_(requires_grad=False)
                freeze_batch_norm(module)


def backbone_of(model: nn.Module) -> Backbone:
    """The backbone of a method or segmenter. Raises TypeError if it is not a ``Backbone``."""
    backbone = model.get_submodule("backbone")
    if not isinstance(backbone, Backbone):
        raise TypeError(f"expected a backbone of recam.models, got {type(backbone).__name__}")
    return backbone


def no_early_level(name: str, strides: Sequence[int]) -> UserError:
    """An error for a backbone that a decoder with an early level cannot use."""
    got = ", ".join(map(str, sorted(set(strides))))
    return UserError(
        f"backbone {name}: expected a level at stride {SKIP_STRIDE}, got {got}; choose another "
        "backbone, or a segmenter that needs no such level, such as deeplabv2"
    )


def triple(values: Sequence[float]) -> tuple[float, float, float]:
    """One value for each of red, green and blue. Raises ValueError for any other count."""
    red, green, blue = values
    return red, green, blue


def freeze_batch_norm(model: nn.Module, *, affine: bool = False) -> None:
    """Make every batch norm use its stored statistics in training, too.

    ``affine`` also freezes scale and shift; otherwise they are trained.
    """
    for module in model.modules():
        if isinstance(module, BATCH_NORMS):
            stay_in_eval(module.eval())
            if affine:
                module.requires_grad_(requires_grad=False)


def share_batch_norms(model: nn.Module, *, device: torch.device) -> None:
    """Compute the statistics of batch norms over the whole batch, not over each rank's shard.

    Frozen batch norms keep their stored statistics. Raises UserError on a CPU, where PyTorch has no
    synchronised batch norm.
    """
    trained = [m for m in model.modules() if isinstance(m, BATCH_NORMS) and not _is_frozen(m)]
    if not trained:
        return
    if device.type == "cpu":
        raise UserError(
            "devices: trainable batch norms cannot be synchronised between processes on a CPU; set "
            "devices: 1, or frozen_batch_norm: true if the head has no batch norm"
        )
    from timm.layers.norm_act import convert_sync_batchnorm  # noqa: PLC0415 slow to import

    frozen = [name for name, m in model.named_modules() if _is_frozen(m)]
    convert_sync_batchnorm(model)
    for name in frozen:  # the conversion drops the freeze
        stay_in_eval(model.get_submodule(name).eval())


def _is_frozen(module: nn.Module) -> bool:
    return "train" in vars(module)


def stay_in_eval(module: nn.Module) -> None:
    """Keep a module, without its children, in its mode: ``train`` does nothing from now on."""

    def train(mode: bool = True) -> nn.Module:  # noqa: ARG001 torch's signature
        return module

    module.train = train


def _remove_stride(stage: nn.Sequential) -> None:
    for module in stage.modules():
        if isinstance(module, nn.Conv2d) and module.stride == (2, 2):
            module.stride = (1, 1)


def _dilate(stage: nn.Sequential, rate: int) -> None:
    for module in stage.modules():
        if isinstance(module, nn.Conv2d) and module.kernel_size == (3, 3):
            module.dilation = module.padding = (rate, rate)
