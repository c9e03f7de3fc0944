"""Segmenters of segmentation-models-pytorch (smp): its architectures over its encoders."""

from collections.abc import Sequence
from typing import Protocol, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from recam.core.errors import UserError
from recam.models.backbones import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    SKIP_STRIDE,
    TORCHVISION,
    Backbone,
    Early,
    Features,
    Images,
    freeze_batch_norm,
    triple,
)
from recam.models.segmenters import Segmenter

# In pixels. DPT is left out: it needs vision transformers, which have no level at stride 4.
OUTPUT_STRIDES: dict[str, tuple[int, ...]] = {
    "unet": (32,),
    "unetplusplus": (32,),
    "manet": (32,),
    "linknet": (32,),
    "fpn": (32,),
    "pspnet": (8, 16, 32),
    "deeplabv3": (8, 16),
    "deeplabv3plus": (8, 16),
    "pan": (16, 32),
    "upernet": (32,),
    "segformer": (32,),
}
ARCHITECTURES = tuple(OUTPUT_STRIDES)
STEMS = {"conv_stem", "conv1", "bn1", "stem", "patch_embed"}  # first modules of encoders
TRIAL = (64, 96)  # height and width of the image that a new network is tried with


class SmpEncoder(Backbone):
    """An encoder of smp, in the words of our backbones: a torchvision ResNet or a timm network.

    Its tensors are those of the same backbone of ours, less what comes after the last level.
    """

    head_limit = 32  # some lack their network's last convolutions too: HRNet's are 30 tensors

    def __init__(self, network: nn.Module, *, is_torchvision: bool):
        super().__init__()
        self.network = network
        if is_torchvision:
            self.mean, self.std = IMAGENET_MEAN, IMAGENET_STD
            stages = cast(_SmpResNet, network)
            self.level_channels = tuple(stages.out_channels[1:])  # the first is the image
            self.level_strides = tuple(min(2**n, stages.output_stride) for n in range(1, 6))
        else:
            features = cast(_TimmFeatures, network.get_submodule("model"))
            self.mean, self.std = (triple(features.pretrained_cfg[k]) for k in ("mean", "std"))
            self.level_channels = tuple(features.feature_info.channels())
            self.level_strides = tuple(features.feature_info.reduction())
        self.channels = self.level_channels[-1]
        self._skip_index = self.level_strides.index(SKIP_STRIDE)
        self.skip_channels = self.level_channels[self._skip_index]

    def with_skip(self, images: Images) -> tuple[Early, Features]:
        """The level at stride 4 and the last one."""
        levels = self.levels(images)
        return levels[self._skip_index], levels[-1]

    def levels(self, images: Images) -> list[Tensor]:
        """The last features of each stride, as smp lists them, without the image itself."""
        return self.pyramid(images)[-len(self.level_channels) :]

    def pyramid(self, images: Images) -> list[Tensor]:
        """What smp's decoders take: mostly the image, perhaps an empty level, then the levels."""
        return self.network(images)

    def freeze_stem(self) -> None:
        """Keep the first convolution and its norm as they are."""
        for name, module in self.network.named_modules():
            child = name.removeprefix("model.").removeprefix("model.")  # timm's may be wrapped
            if child in STEMS or (child.startswith("stem_") and "." not in child):
                module.requires_grad_(requires_grad=False)
                freeze_batch_norm(module)


class SmpSegmenter(Segmenter):
    """An architecture of smp over a backbone by the name it has elsewhere in this project.

    ``output_stride`` is that of the encoder's last level, in pixels. DeepLabV3 and DeepLabV3+ have
    8 or 16, PAN 16 or 32, PSPNet 8, 16 or 32 (over all stages of the encoder, as published, where
    smp alone would take three); strides are traded for dilation. All others have 32. Encoders that
    cannot be dilated, such as Swin, have 32 only.

    Raises UserError for a stride that the architecture cannot have and for a backbone that does
    not work with it on images of any size.
    """

    def __init__(self, architecture: str, backbone: str, *, output_stride: int, num_ids: int):
        super().__init__()
        self.name = f"smp/{architecture}"
        self.least_cells = 8 if architecture == "pan" else 1  # it halves the last level thrice
        _require_stride(architecture, output_stride)
        try:
            network = _create(architecture, backbone, output_stride=output_stride, num_ids=num_ids)
            self.backbone = SmpEncoder(
                network.get_submodule("encoder"), is_torchvision=backbone in TORCHVISION
            )
            self.decoder = network.get_submodule("decoder")
            self.head = network.get_submodule("segmentation_head")
            self._try_out(num_ids)
        except Exception as error:  # smp and timm refuse in many ways, often only when they run
            reason = str(error).partition("\n")[0] or "no reason given"
            raise UserError(
                f"segmenter {self.name}: does not work with backbone {backbone} at output stride "
                f"{output_stride} on images of any size ({type(error).__name__}: {reason}); choose "
                "another backbone, segmenter or output stride"
            ) from error

    def logits(self, images: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B N H W"]:
        """Logits of background and classes for every pixel.

        Images whose sides are no multiples of the output stride, or for PAN less than 8 times as
        long, are padded at the right and at the bottom with zeros, the mean colour. Raises
        UserError where a batch is too small for the norms of a network in training.
        """
        height, width = images.shape[2:]
        backbone = self.backbone
        stride = backbone.level_strides[-1]
        least = self.least_cells * stride
        right, bottom = (max(-side % stride, least - side) for side in (width, height))
        padded = functional.pad(images, (0, right, 0, bottom))
        try:
            logits = self.head(self.decoder(backbone.pyramid(padded)))
        except ValueError as error:
            if "more than 1 value per channel" not in str(error):
                raise
            raise UserError(
                f"segmenter {self.name}: cannot normalise over a batch of {len(images)} at this "
                "size; train with at least 2 images at once"
            ) from error
        return logits[:, :, :height, :width]

    @torch.no_grad()
    def _try_out(self, num_ids: int) -> None:
        shape = self.eval().logits(torch.zeros(1, 3, *TRIAL)).shape
        if shape != (1, num_ids, *TRIAL):
            raise ValueError(f"logits of shape {tuple(shape)} for an image of {TRIAL} pixels")
        self.train()


def _require_stride(architecture: str, output_stride: int) -> None:
    possible = OUTPUT_STRIDES[architecture]
    if output_stride not in possible:
        raise UserError(
            f"segmenter smp/{architecture}: has output stride {' or '.join(map(str, possible))} "
            f"and no other, got {output_stride}; set output_stride: {possible[-1]} or choose "
            "another segmenter"
        )


def _create(architecture: str, backbone: str, *, output_stride: int, num_ids: int) -> nn.Module:
    import segmentation_models_pytorch as smp  # noqa: PLC0415 only where it is used

    options: dict[str, int | bool] = {}
    if architecture == "pspnet":
        options |= {"encoder_depth": 5, "output_stride": output_stride, "upsampling": output_stride}
    elif len(OUTPUT_STRIDES[architecture]) > 1:
        options["encoder_output_stride"] = output_stride
    if backbone.startswith("swin"):
        options["strict_img_size"] = False  # timm then makes the windows' masks for every image
    return smp.create_model(
        architecture,
        encoder_name=backbone if backbone in TORCHVISION else f"tu-{backbone}",
        encoder_weights=None,
        in_channels=3,
        classes=num_ids,
        **options,
    )


class _SmpResNet(Protocol):
    out_channels: Sequence[int]
    output_stride: int


class _FeatureInfo(Protocol):
    def channels(self) -> Sequence[int]: ...
    def reduction(self) -> Sequence[int]: ...


class _TimmFeatures(Protocol):
    pretrained_cfg: dict[str, Sequence[float]]
    feature_info: _FeatureInfo
