"""Segmenters of segmentation-models-pytorch (smp): its architectures on its encoders."""

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

# In pixels. DPT is left out: it needs vision transformers, which lack a level at stride 4.
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
TRIAL = (64, 96)  # height and width of the image on which a new network is tested


class SmpEncoder(Backbone):
    """An encoder of smp as a ``Backbone``: a torchvision ResNet or a timm network.

    Its tensors are those of the same network in ``recam.models.backbones``, without the layers
    behind the last level.
    """

    head_limit = 32  # some also lack the last convolutions of the network: 30 tensors of HRNet

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
        """The level at stride 4 and the last level."""
        levels = self.levels(images)
        return levels[self._skip_index], levels[-1]

    def levels(self, images: Images) -> list[Tensor]:
        """The last features of each stride that smp lists, without the image."""
        return self.pyramid(images)[-len(self.level_channels) :]

    def pyramid(self, images: Images) -> list[Tensor]:
        """The input of smp's decoders: usually the image, an empty level for some, the levels."""
        return self.network(images)

    def freeze_stem(self) -> None:
        """Freeze the first convolution and its norm."""
        for name, module in self.network.named_modules():
            child = name.removeprefix("model.").removeprefix("model.")  # timm's may be wrapped
            if child in STEMS or (child.startswith("stem_") and "." not in child):
                module.requires_grad_(requires_grad=False)
                freeze_batch_norm(module)


class SmpSegmenter(Segmenter):
    """An architecture of smp on an encoder, which is named as in the catalogue of backbones.

    ``output_stride`` is that of the encoder's last level, in pixels: 8 or 16 for DeepLabV3 and
    DeepLabV3+, 16 or 32 for PAN, 8, 16 or 32 for PSPNet, 32 for all others and for encoders that
    cannot be dilated, such as Swin. Removed strides become dilation. PSPNet uses all five stages of
    the encoder, as published; smp's default is three.

    Raises UserError for a stride that the architecture lacks, and for a backbone that does not work
    with it on images of any size.
    """

    def __init__(self, architecture: str, backbone: str, *, output_stride: int, num_ids: int):
        super().__init__()
        self.name = f"smp/{architecture}"
        self.least_cells = 8 if architecture == "pan" else 1  # it halves the last level three times
        _require_stride(architecture, output_stride)
        try:
            network = _create(architecture, backbone, output_stride=output_stride, num_ids=num_ids)
            self.backbone = SmpEncoder(
                network.get_submodule("encoder"), is_torchvision=backbone in TORCHVISION
            )
            self.decoder = network.get_submodule("decoder")
            self.head = network.get_submodule("segmentation_head")
            self._try_out(num_ids)
        except Exception as error:  # smp and timm raise many kinds, often only in the forward pass
            reason = str(error).partition("\n")[0] or "no reason given"
            raise UserError(
                f"segmenter {self.name}: does not work with backbone {backbone} at output stride "
                f"{output_stride} on images of any size ({type(error).__name__}: {reason}); choose "
                "another backbone, segmenter or output stride"
            ) from error

    def logits(self, images: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B N H W"]:
        """Logits of background and classes for every pixel.

        Images are padded at the right and at the bottom with zeros, the mean colour, to multiples
        of the output stride, for PAN at least 8 times that stride. Raises UserError if a training
        batch is too small for the batch norms.
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
                f"segmenter {self.name}: expected a batch of at least 2 images for batch norm, got "
                f"{len(images)}; raise batch_size, or lower gradient_accumulation_steps"
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
            f"segmenter smp/{architecture}: expected output stride "
            f"{' or '.join(map(str, possible))}, got {output_stride}; set output_stride: "
            f"{possible[-1]} or choose another segmenter"
        )


def _create(architecture: str, backbone: str, *, output_stride: int, num_ids: int) -> nn.Module:
    import segmentation_models_pytorch as smp  # noqa: PLC0415 slow to import

    options: dict[str, int | bool] = {}
    if architecture == "pspnet":
        options |= {"encoder_depth": 5, "output_stride": output_stride, "upsampling": output_stride}
    elif len(OUTPUT_STRIDES[architecture]) > 1:
        options["encoder_output_stride"] = output_stride
    if backbone.startswith("swin"):
        options["strict_img_size"] = False  # timm then computes the window masks for each image
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
