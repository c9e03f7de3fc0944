"""DeepLabV2, the segmenter of most published results of weak supervision on PASCAL VOC.

Chen et al., "DeepLab: Semantic Image Segmentation with Deep Convolutional Nets, Atrous
Convolution, and Fully Connected CRFs", TPAMI 2018.
"""

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.nn import functional

from recam.models.segmenters import Segmenter, resized
from recam.runtime.precision import to_float32

# Of images, in training and testing (section 4.1.2). Fractions keep sizes whole numbers, also when
# an exporter traces them as symbols.
SCALES = {"1": (1, 1), "0.75": (3, 4), "0.5": (1, 2)}
HEAD_STD = 0.01  # of the head's initial weights (the published network's fillers)


class DeepLabV2(Segmenter):
    """Atrous spatial pyramid pooling (section 3.2) on a backbone, over three image scales.

    The head is one 3x3 convolution for each of ``rates`` (published: 6, 12, 18, 24), padded and
    dilated by that rate, from the features to the N = K+1 logits; their outputs are summed.
    """

    def __init__(self, backbone: nn.Module, *, channels: int, num_ids: int, rates: tuple[int, ...]):
        super().__init__()
        self.backbone = backbone
        self.branches = nn.ModuleList(_branch(channels, num_ids, rate) for rate in rates)

    def logits(self, images: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B N h w"]:
        """Logits of background and classes at one scale, on the backbone's grid."""
        features = self.backbone(images)
        return torch.stack([branch(features) for branch in self.branches]).sum(dim=0)

    def loss(
        self, images: Float[Tensor, "B 3 H W"], masks: UInt8[Tensor, "B H W"]
    ) -> dict[str, Float[Tensor, ""]]:
        """The pixel losses of the three scales and of their maximum; published: cross-entropy.

        Masks are resized to the grid of the logits.
        """
        scaled = self._scaled_logits(images)
        grids = {f"ce_{scale}": logits for scale, logits in zip(SCALES, scaled, strict=True)}
        grids["ce_max"] = largest = _maximum(scaled)
        self.foreground.add(largest, _resized_masks(masks, largest.shape[2:]))
        return {
            name: self.pixel_loss(logits, _resized_masks(masks, logits.shape[2:]))
            for name, logits in grids.items()
        }

    def maps(self, images: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B N h w"]:
        """Softmax probabilities of the maximum over the three scales, on the largest grid."""
        return _maximum(self._scaled_logits(images)).softmax(dim=1)

    def _scaled_logits(self, images: Float[Tensor, "B 3 H W"]) -> list[Tensor]:
        # Sizes are rounded down, as in public implementations: 321 pixels become 240 and 160.
        sizes = [
            tuple(max(1, side * part // whole) for side in images.shape[2:])
            for part, whole in SCALES.values()
        ]
        return [to_float32(self.logits(resized(images, size))) for size in sizes]


def _branch(channels: int, num_ids: int, rate: int) -> nn.Conv2d:
    branch = nn.Conv2d(channels, num_ids, kernel_size=3, padding=rate, dilation=rate)
    nn.init.normal_(branch.weight, std=HEAD_STD)
    branch.bias = nn.Parameter(torch.zeros(num_ids))
    return branch


def _maximum(scaled: list[Tensor]) -> Float[Tensor, "B N h w"]:
    """The maximum over scales at every pixel, on the grid of the first scale."""
    size = scaled[0].shape[2:]
    return torch.stack([resized(logits, size) for logits in scaled]).amax(dim=0)


def _resized_masks(masks: UInt8[Tensor, "B H W"], size: tuple[int, ...]) -> UInt8[Tensor, "B h w"]:
    """The id of the nearest pixel centre, as Pillow's NEAREST; a tie may go to either pixel."""
    grid = masks[:, None].float()  # exact; not every device resizes bytes
    return functional.interpolate(grid, size=size, mode="nearest-exact")[:, 0].byte()
