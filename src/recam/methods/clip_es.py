"""CLIP-ES: maps of an image tower of CLIP for text vectors; nothing is trained.

Lin et al., "CLIP is Also an Efficient Segmenter: A Text-Driven Approach for Weakly Supervised
Semantic Segmentation", CVPR 2023. The texts of the present classes and of background words compete
in one softmax, and the gradient of a class's probability weighs the input of the last block.

Axes: B images, K foreground classes, M background words, N = K + M, C channels of the tower, D of
the space that images and texts share, P class and register tokens, T tokens.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, cast, runtime_checkable

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from recam.core.errors import UserError
from recam.methods.cam import multilabel_loss
from recam.methods.gradient_maps import fused, turns
from recam.methods.variant import (
    Activations,
    Images,
    Labels,
    Maps,
    Readout,
    Variant,
    Weights,
    labelled_views,
)
from recam.runtime.precision import to_float32, without_autocast

if TYPE_CHECKING:
    from timm.models.vision_transformer import Block

SCALE = 100.0  # of cosines in CLIP's logits, until texts are set

Rows = Float[Tensor, "N C"]


class Transformer(Protocol):
    """The parts of timm's plain ViTs that are read here."""

    blocks: Sequence[nn.Module]
    norm: nn.Module  # final
    num_prefix_tokens: int


@runtime_checkable
class Tower(Protocol):
    """A backbone of patch tokens that gives all tokens before its last block."""

    channels: int
    network: Transformer

    def before_last(self, images: Tensor, /) -> tuple[Tensor, tuple[int, int]]:
        """Tokens (B, T, C), prefix tokens first, and the grid of the patches."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pass:
    """The last block of one pass, from its normed input to the features."""

    tokens: Float[Tensor, "B T C"]  # the normed input; the features are differentiable by it
    patches: Float[Tensor, "B C h w"]  # those of the tokens that are patches
    features: Float[Tensor, "B C h w"]


class ClipEs(Variant):
    """A frozen image tower of CLIP, its projection E (D, C), and text vectors t.

    The features f are the patch tokens after the final norm. The linear classifier of text n is
    W_n = s t_n E with CLIP's scale s, and its score z_n = W_n · mean f / |E mean f|: s times the
    cosine of image and text. Among the present classes and the background words, p = softmax(z).

    Map of class c: ReLU(Σ_k w_k A_k) over the patches, A the normed input of the last block and w
    the mean over patches of the gradient of log p_c / (1 - p_c) by A, which is that of p_c up to a
    positive factor. At least one background word is needed: p of a single class without rivals is
    1 whatever the pixels show. Each map has a peak of 1, or is 0 everywhere. The rows of another
    classifier U are scaled to the lengths of those of W and take their place, against the same
    background words.

    The logit of a class is its log-odds against the background words alone.

    Source: Lin et al., CVPR 2023, and the authors' code. Cost: one forward pass a view, and for
    each present class a backward pass of the last block.
    """

    projection: Tensor
    texts: Tensor
    scale: Tensor

    def __init__(
        self, backbone: nn.Module, *, num_classes: int, num_background: int, text_channels: int
    ):
        super().__init__()
        self.backbone = backbone
        self.num_classes = num_classes
        channels = self._tower.channels
        drawn = torch.randn(num_classes + num_background, text_channels)
        self.register_buffer("texts", functional.normalize(drawn))
        self.register_buffer("projection", torch.randn(text_channels, channels) / channels**0.5)
        self.register_buffer("scale", torch.tensor(SCALE))
        self.requires_grad_(requires_grad=False)

    def set_texts(self, vectors: Float[Tensor, "N D"], *, scale: float) -> None:
        """Take the unit vectors of all texts, the background words last, and CLIP's scale."""
        self.texts.copy_(vectors)
        self.scale.fill_(scale)

    @property
    def rows(self) -> Rows:
        """The linear classifiers of all texts, the background words last."""
        return self.scale * self.texts @ self.projection

    @property
    def weights(self) -> Weights:
        """W: the rows of the classes."""
        return self.rows[: self.num_classes]

    def features(self, images: Images) -> Float[Tensor, "B C h w"]:
        """The patch tokens after the final norm."""
        return to_float32(self.backbone(images))

    def logits(self, images: Images) -> Float[Tensor, "B K"]:
        """z_k - log Σ_m exp z_m, over the background words m."""
        features = self.features(images)
        with without_autocast(features):
            return self._log_odds(self._scores(features, self.rows))

    def losses(self, images: Images, labels: Labels) -> tuple[dict[str, Tensor], Activations]:
        """The binary cross-entropy (``bce``) and the maps of the present classes, as constants.

        Maps of absent classes are 0.
        """
        last = self._pass(images)
        with without_autocast(images):
            logits = self._log_odds(self._scores(last.features, self.rows)).detach()
            found = Activations(
                features=last.features.detach(),
                evidence=self._maps(last, labels, self.weights),
                logits=logits,
            )
            return {"bce": multilabel_loss(logits, labels)}, found

    def maps_by(self, images: Images, *weights: Weights) -> list[Maps]:
        """The maps of each U where all classes compete."""
        every = torch.ones(
            len(images), self.num_classes, dtype=torch.bool, device=self.texts.device
        )
        return self.maps_among(images, every, *weights)

    def maps_among(self, images: Images, present: Labels, *weights: Weights) -> list[Maps]:
        """The maps of each U where the present classes compete; those of absent classes are 0."""
        last = self._pass(images)
        return [self._maps(last, present, each) for each in weights]

    def readout(self, *, combine: str) -> Readout:
        """The read-out of W for the present classes."""
        del combine
        return labelled_views(
            lambda images, present: self.maps_among(images, present, self.weights)[0]
        )

    @property
    def _tower(self) -> Tower:
        """The backbone, if it is a plain ViT whose blocks and final norm are those of CLIP."""
        from timm.models.vision_transformer import Block  # noqa: PLC0415 slow to import

        found = self.backbone
        if isinstance(found, Tower):
            network = found.network
            has_norm = not isinstance(network.norm, nn.Identity)
            if has_norm and isinstance(network.blocks[-1], Block):
                return found
        name = getattr(found, "name", type(found).__name__)
        raise UserError(
            f"clip_es: expected an image tower of CLIP that is a plain ViT of timm, got {name}; "
            "set train_cam.clip_tower to a network such as vit_base_patch16_clip_quickgelu_224"
        )

    def _pass(self, images: Images) -> _Pass:
        before, grid = self._tower.before_last(images)
        before = to_float32(before.detach())
        network = self._tower.network
        block = cast("Block", network.blocks[-1])
        with without_autocast(before), torch.enable_grad():
            tokens = block.norm1(before).detach().requires_grad_()
            after = before + block.drop_path1(block.ls1(block.attn(tokens)))
            after = after + block.drop_path2(block.ls2(block.mlp(block.norm2(after))))
            final = network.norm(after)
            first = self._first_patch
            return _Pass(
                tokens=tokens,
                patches=tokens.detach()[:, first:].mT.unflatten(2, grid),
                features=final[:, first:].mT.unflatten(2, grid),
            )

    def _maps(self, last: _Pass, present: Labels, weights: Weights) -> Maps:
        rows = torch.cat(
            [_of_length(weights.detach(), self.weights), self.rows[self.num_classes :]]
        )
        maps = last.patches.new_zeros(*present.shape, *last.patches.shape[2:])
        with without_autocast(maps), torch.enable_grad():
            scores = self._scores(last.features, rows)
            for images, classes in turns(present):
                odds = _log_odds_among(scores[images], present[images], classes)
                (slopes,) = torch.autograd.grad(odds.sum(), last.tokens, retain_graph=True)
                factors = slopes[images, self._first_patch :].mean(dim=1)
                maps[images, classes] = torch.relu(
                    torch.einsum("nc,nchw->nhw", factors, last.patches[images])
                )
        return fused([maps])

    def _scores(self, features: Float[Tensor, "B C h w"], rows: Rows) -> Float[Tensor, "B N"]:
        """The score z of each text."""
        pooled = features.mean(dim=(2, 3))
        return pooled @ rows.T / (pooled @ self.projection.T).norm(dim=1, keepdim=True)

    def _log_odds(self, scores: Float[Tensor, "B N"]) -> Float[Tensor, "B K"]:
        of_words = scores[:, self.num_classes :].logsumexp(dim=1, keepdim=True)
        return scores[:, : self.num_classes] - of_words

    @property
    def _first_patch(self) -> int:
        return self._tower.network.num_prefix_tokens


def _log_odds_among(
    scores: Float[Tensor, "n N"], present: Bool[Tensor, "n K"], classes: Tensor
) -> Float[Tensor, "n"]:
    """The log-odds log p_c / (1 - p_c) of class c, among the present classes and the words.

    The gradient is that of p_c divided by p_c (1 - p_c), a factor that may underflow.
    """
    words = scores.shape[1] - present.shape[1]
    is_rival = functional.pad(present, (0, words), value=True).scatter(1, classes[:, None], 0)
    rivals = scores.masked_fill(~is_rival, -math.inf).logsumexp(dim=1)
    return scores.gather(1, classes[:, None])[:, 0] - rivals


def _of_length(weights: Weights, others: Weights) -> Weights:
    """The rows of ``weights`` with the lengths of those of ``others``."""
    lengths = others.norm(dim=1, keepdim=True)
    return functional.normalize(weights, dim=1) * lengths
