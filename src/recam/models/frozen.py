"""Frozen backbones: no gradient, eval mode, and features in place of images in training."""

from collections.abc import Iterator
from contextlib import contextmanager

from jaxtyping import Float
from torch import Tensor, nn

from recam.models.backbones import Backbone, backbone_of, stay_in_eval


def freeze(backbone: Backbone) -> None:
    """Stop the training of all parameters and statistics; ``train()`` then changes nothing."""
    backbone.requires_grad_(requires_grad=False)
    for module in backbone.modules():
        stay_in_eval(module.eval())


def is_frozen(backbone: nn.Module) -> bool:
    """Whether ``freeze`` froze a backbone."""
    return "train" in vars(backbone)


class PassThrough(Backbone):
    """Stands for a frozen backbone in training: features pass, images go through the backbone.

    It has no parameters, so that saved states and gradients leave the backbone out.
    """

    def __init__(self, backbone: Backbone):
        super().__init__()
        self._backbone = (backbone,)  # in a tuple: not a submodule
        self.mean, self.std = backbone.mean, backbone.std
        self.channels, self.skip_channels = backbone.channels, backbone.skip_channels
        self.level_channels = backbone.level_channels
        self.level_strides = backbone.level_strides

    def forward(self, images: Float[Tensor, "B _ H W"]) -> Float[Tensor, "B C h w"]:
        """The given features (B, channels, h, w), or those of images (B, 3, H, W)."""
        if images.shape[1] == self.channels:
            return images
        return self._backbone[0](images)

    def with_skip(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Those of the backbone, of images only."""
        return self._backbone[0].with_skip(images)

    def levels(self, images: Tensor) -> list[Tensor]:
        """Those of the backbone, of images only."""
        return self._backbone[0].levels(images)

    def freeze_stem(self) -> None:
        """Do nothing: everything is frozen."""


@contextmanager
def features_for_images(model: nn.Module) -> Iterator[Backbone]:
    """Inside, the model takes features in place of images; yields its backbone.

    Saved tensors of the model then lack those of the backbone, which is back at the end.
    """
    backbone = backbone_of(model)
    put_backbone(model, PassThrough(backbone))
    try:
        yield backbone
    finally:
        put_backbone(model, backbone)


def put_backbone(model: nn.Module, backbone: Backbone) -> None:
    """Replace the backbone of a method or segmenter."""
    old = backbone_of(model)
    (owner,) = (module for module in model.modules() if old in module.children())
    owner.register_module("backbone", backbone)
