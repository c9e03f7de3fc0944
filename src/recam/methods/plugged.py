"""CAM of a classifier trained elsewhere: its features, its linear layer, and its own loss.

Axes: B images, K foreground classes, C channels, H W pixels, h w feature grid.
"""

from dataclasses import replace

from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from recam.methods.cam import Cam, multilabel_loss
from recam.methods.variant import Activations, Images, Labels


class PluggedCam(Cam):
    """CAM that shares the parameters of a given linear layer ``head``.

    The bias of the head counts in logits and losses; maps have none. ``single_label``: the loss
    ``ce`` is softmax cross-entropy of the one present class; otherwise it is ``bce``, as of CAM.
    """

    def __init__(self, backbone: nn.Module, head: nn.Linear, *, single_label: bool):
        super().__init__(backbone, channels=head.in_features, num_classes=head.out_features)
        self.classifier = head.weight
        self.bias: nn.Parameter | None = head.bias
        self._single_label = single_label

    def logits(self, images: Images) -> Float[Tensor, "B K"]:
        """The logits of the given classifier."""
        return self._with_bias(super().logits(images))

    def losses(self, images: Images, labels: Labels) -> tuple[dict[str, Tensor], Activations]:
        """The loss of the given classifier, the mean over images."""
        _, found = super().losses(images, labels)
        logits = self._with_bias(found.logits)
        if self._single_label:
            losses = {"ce": single_label_loss(logits, labels)}
        else:
            losses = {"bce": multilabel_loss(logits, labels)}
        return losses, replace(found, logits=logits)

    def _with_bias(self, logits: Tensor) -> Tensor:
        return logits if self.bias is None else logits + self.bias


def single_label_loss(
    logits: Float[Tensor, "B K"], labels: Bool[Tensor, "B K"]
) -> Float[Tensor, ""]:
    """Softmax cross-entropy, the mean over images; each has exactly one present class."""
    return functional.cross_entropy(logits, labels.to(logits.dtype))
