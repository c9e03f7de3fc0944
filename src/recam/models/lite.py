"""EfficientNet-Lite0, the network of timm's ``tf_efficientnet_lite0``, without timm.

Tan & Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks", ICML 2019,
table 1, without squeeze-and-excitation and swish. The import of timm, of torchvision and of the
compiler that both load takes as long as that of PyTorch. Names of tensors, initial weights and
results are timm's to the bit, as ``tests/models/test_lite.py`` checks.
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

Images = Float[Tensor, "B 3 H W"]
Features = Float[Tensor, "B C h w"]
LITE = "tf_efficientnet_lite0"
STEM, HEAD = 32, 1280  # channels
EPSILON = 1e-3  # of batch norms (TensorFlow's)
LIMIT = 6.0  # of ReLU6


class Stage(NamedTuple):
    """A row of the paper's table: blocks of one width."""

    blocks: int
    kernel: int  # pixels
    stride: int  # of the first block
    growth: int  # channels between the convolutions of a block, in its inputs
    channels: int


STAGES = (
    Stage(blocks=1, kernel=3, stride=1, growth=1, channels=16),
    Stage(blocks=2, kernel=3, stride=2, growth=6, channels=24),
    Stage(blocks=2, kernel=5, stride=2, growth=6, channels=40),
    Stage(blocks=3, kernel=3, stride=2, growth=6, channels=80),
    Stage(blocks=3, kernel=5, stride=1, growth=6, channels=112),
    Stage(blocks=4, kernel=5, stride=2, growth=6, channels=192),
    Stage(blocks=1, kernel=3, stride=1, growth=6, channels=320),
)


class EfficientNetLite0(nn.Module):
    """Convolutions at strides 2, 4, 8, 16 and 32, without a classification head.

    Strides above ``output_stride``, in pixels, become dilation from the next block on.
    """

    num_features = HEAD

    def __init__(self, *, output_stride: int):
        super().__init__()
        self.pretrained_cfg = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}
        self.conv_stem = SameConv(3, STEM, 3, stride=2)
        self.bn1 = _norm(STEM)
        _draw_as_timm()
        self.blocks = nn.Sequential()
        self.feature_info: list[dict[str, int]] = []
        self._ends: list[int] = []  # the stages whose outputs are levels
        inputs, stride, dilation = STEM, 2, 1
        for number, stage in enumerate(STAGES):
            own = stage.stride if stride * stage.stride <= output_stride else 1
            blocks = _blocks(stage, inputs, stride=own, dilation=dilation)
            self.blocks.append(nn.Sequential(*blocks))
            dilation *= stage.stride // own
            inputs, stride = stage.channels, stride * own
            if number + 1 == len(STAGES) or STAGES[number + 1].stride > 1:  # the last of its grid
                self.feature_info.append({"reduction": stride, "num_chs": stage.channels})
                self._ends.append(number)
        self.conv_head = nn.Conv2d(inputs, HEAD, 1, bias=False)
        self.bn2 = _norm(HEAD)
        _initialise(self)

    def forward(self, images: Images) -> Features:
        """Features (B, 1280, h, w)."""
        return self.forward_features(images)

    def forward_features(self, images: Images) -> Features:
        """Features (B, 1280, h, w)."""
        return self._last(self.blocks(self._first(images)))

    def forward_intermediates(
        self,
        images: Images,
        *,
        indices: list[int],
        norm: bool,  # noqa: ARG002 the interface of timm: the levels of this network have no norm
    ) -> tuple[Features, list[Tensor]]:
        """The final features, and those of the levels ``indices``."""
        features, found = self._first(images), list[Tensor]()
        wanted = {self._ends[index] for index in indices}
        for number, stage in enumerate(self.blocks):
            features = stage(features)
            found += [features] * (number in wanted)
        return self._last(features), found

    def _first(self, images: Tensor) -> Tensor:
        return _relu6(self.bn1(self.conv_stem(images)))

    def _last(self, features: Tensor) -> Tensor:
        return _relu6(self.bn2(self.conv_head(features)))


class SameConv(nn.Conv2d):
    """A convolution without bias whose grid has ceil(length / stride) cells (TensorFlow's SAME).

    Of an odd number of padded pixels the larger part lies at the right and below.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, *, stride: int, groups: int = 1):
        super().__init__(inputs, outputs, kernel, stride=stride, groups=groups, bias=False)

    def forward(self, input: Tensor) -> Tensor:
        """The convolution of the padded grid."""
        kernel, stride = self.kernel_size[0], self.stride[0]
        down, across = (
            max((math.ceil(side / stride) - 1) * stride + kernel - side, 0)
            for side in input.shape[2:]
        )
        sides = (across // 2, across - across // 2, down // 2, down - down // 2)
        return super().forward(functional.pad(input, sides))


class _Separable(nn.Module):
    """A depthwise convolution, then a linear one of single cells."""

    def __init__(self, inputs: int, stage: Stage, *, stride: int, dilation: int):
        super().__init__()
        self.conv_dw = _depthwise(inputs, stage.kernel, stride=stride, dilation=dilation)
        self.bn1 = _norm(inputs)
        self.conv_pw = nn.Conv2d(inputs, stage.channels, 1, bias=False)
        self.bn2 = _norm(stage.channels)

    def forward(self, features: Tensor) -> Tensor:
        return self.bn2(self.conv_pw(_relu6(self.bn1(self.conv_dw(features)))))


class _Inverted(nn.Module):
    """An inverted residual: wider, a depthwise convolution, and narrower without activation."""

    def __init__(self, inputs: int, stage: Stage, *, stride: int, dilation: int):
        super().__init__()
        wide = inputs * stage.growth
        self.has_skip = inputs == stage.channels and stride == 1
        self.conv_pw = nn.Conv2d(inputs, wide, 1, bias=False)
        self.bn1 = _norm(wide)
        self.conv_dw = _depthwise(wide, stage.kernel, stride=stride, dilation=dilation)
        self.bn2 = _norm(wide)
        self.conv_pwl = nn.Conv2d(wide, stage.channels, 1, bias=False)
        self.bn3 = _norm(stage.channels)

    def forward(self, features: Tensor) -> Tensor:
        inner = _relu6(self.bn1(self.conv_pw(features)))
        inner = _relu6(self.bn2(self.conv_dw(inner)))
        inner = self.bn3(self.conv_pwl(inner))
        return inner + features if self.has_skip else inner


def _blocks(stage: Stage, inputs: int, *, stride: int, dilation: int) -> Iterator[nn.Module]:
    """The blocks of a stage. Where its stride is removed, its first block keeps the dilation."""
    kind = _Separable if stage.growth == 1 else _Inverted
    yield kind(inputs, stage, stride=stride, dilation=dilation)
    dilation *= stage.stride // stride
    for _ in range(1, stage.blocks):
        yield kind(stage.channels, stage, stride=1, dilation=dilation)


def _depthwise(channels: int, kernel: int, *, stride: int, dilation: int) -> nn.Conv2d:
    if stride > 1:  # no stage has both
        return SameConv(channels, channels, kernel, stride=stride, groups=channels)
    padding = dilation * (kernel // 2)
    return nn.Conv2d(
        channels,
        channels,
        kernel,
        padding=padding,
        dilation=dilation,
        groups=channels,
        bias=False,
    )


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=EPSILON)


def _relu6(features: Tensor) -> Tensor:
    return functional.hardtanh(features, 0.0, LIMIT, inplace=True)


def _draw_as_timm() -> None:
    """Draw the weights of a trial layer of timm's, so that all later draws are the same."""
    for _ in range(2):
        nn.Conv2d(8, 8, 1)


def _initialise(network: nn.Module) -> None:
    """Normal weights by the fan-out of a group, as in TensorFlow's network.

    Weights without memory are left out: torch would import its compiler for them.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d) and not module.weight.is_meta:
            area = module.kernel_size[0] * module.kernel_size[1]
            fan_out = area * module.out_channels // module.groups
            with torch.no_grad():
                module.weight.normal_(0, math.sqrt(2.0 / fan_out))
