"""MCTformer+: a token for each class in a transformer, whose attention localises its class.

Xu et al., "MCTformer+: Multi-Class Token Transformer for Weakly Supervised Semantic Segmentation",
TPAMI 2024, and "Multi-class Token Transformer for Weakly Supervised Semantic Segmentation", CVPR
2022; constants are those of the authors' code for VOC.

Axes: B images, K foreground classes, C channels, H W pixels, h w feature grid, P = h w patches, T
tokens.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, cast, runtime_checkable

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from recam.methods.cam import bias_free_weights, multilabel_loss, peak_normalised, project
from recam.methods.recam import softmax_loss
from recam.methods.variant import Activations, Images, Labels, Maps, Variant, Weights
from recam.runtime.precision import to_float32, without_autocast

DEVIATION = 0.02  # standard deviation of the initial class tokens
DECAY = 0.996  # of the weights of ranked positions
CONTRASTED = 12  # blocks, counted from the last, after which class tokens are contrasted

Tokens = Float[Tensor, "B K C"]


@runtime_checkable  # the tests check types at run time
class TokenStream(Protocol):
    """The tokens of one pass."""

    @property
    def patches(self) -> Float[Tensor, "B C h w"]:
        """Patch tokens after the last block and the norm."""
        ...

    @property
    def extras(self) -> tuple[Tokens, ...]:
        """The extra tokens after each block, without the norm."""
        ...

    @property
    def levels(self) -> tuple[Float[Tensor, "B C h w"], ...]:
        """Patch tokens after the chosen blocks."""
        ...

    @property
    def attention(self) -> tuple[Float[Tensor, "B T T"], ...]:
        """Of each group of blocks the mean over heads and blocks; extra tokens are first."""
        ...


@runtime_checkable
class TokenNetwork(Protocol):
    """A transformer that other tokens can join."""

    channels: int
    depth: int  # blocks

    @property
    def level_blocks(self) -> tuple[int, ...]:
        """The numbers of the blocks whose patch tokens are levels."""
        ...

    def stream(
        self,
        images: Images,
        /,
        *,
        extra: Float[Tensor, "K C"],
        levels: Sequence[int] = (),
        attention: Sequence[Sequence[int]] = (),
    ) -> TokenStream:
        """One pass with extra tokens, patch tokens of blocks, and attention of groups of blocks."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Fusion:
    """The parts of attention that make maps."""

    blocks: int = 12  # counted from the last, whose attention of class tokens counts; at most all
    affinity: bool = True  # whether the attention between patches refines the maps


class Mctformer(Variant):
    """K class tokens t_k in the stream of a transformer, and a classifier W of its patch tokens f.

    L = L_cls + L_patch + weight · L_contrast: the binary cross-entropies of the class tokens'
    logits, the mean over channels of t_k after the last block, and of ``ranked_mean`` of W_k · f;
    and ``contrast_loss``. Logits are the mean of both.

    Map of class k: sqrt(a_k · ReLU(W_k · f)), where a_k is the attention of class token k to the
    patches, the mean over heads and blocks. Then every patch takes the mean of the map, weighted by
    its attention to all patches, over all blocks. The evidence that ReCAM re-activates is
    ReLU(W_k · f).

    DEVIATIONS: W is 1x1 without bias (authors: 3x3 with bias), since ReCAM classifies the features
    of W by V * W. f are the patch tokens after the norm, as of every method here. The class token
    and the registers of the pretrained network stay in the stream. A new class token and its
    embedding of position, which are added, are one parameter. Attention and ReLU(W_k · f) have a
    peak of 1 before they are multiplied: at a larger scale attention is spread over more patches.

    Source: Xu et al., TPAMI 2024. Cost in training: that of CAM with K more tokens. Maps: one
    forward pass a view and the attention of its blocks, T² numbers of one head at a time.

    >>> from recam.models.tokens import TokenBackbone
    >>> backbone = TokenBackbone("test_vit", output_stride=16)
    >>> model = Mctformer(backbone, num_classes=2, contrast=1.0)
    >>> list(model.loss(torch.rand(2, 3, 48, 32), torch.tensor([[True, False], [True, True]])))
    ['bce', 'patch', 'contrast']
    """

    def __init__(self, backbone: TokenNetwork, *, num_classes: int, contrast: float):
        super().__init__()
        self.backbone = cast(nn.Module, backbone)
        self.classifier = bias_free_weights(num_classes, backbone.channels)  # W
        tokens = nn.init.trunc_normal_(torch.empty(num_classes, backbone.channels), std=DEVIATION)
        self.class_tokens = nn.Parameter(tokens)
        self.contrast = contrast
        self.fusion = Fusion()

    @property
    def weights(self) -> Weights:
        """W, a parameter."""
        return self.classifier

    def no_weight_decay(self) -> set[str]:
        """The parameter that AdamW does not decay, beside those of the backbone."""
        return {"class_tokens"}

    def features(self, images: Images) -> Float[Tensor, "B C h w"]:
        """The patch tokens, which have seen the class tokens."""
        return to_float32(self._stream(images).patches)

    def with_levels(self, images: Images) -> tuple[list[Tensor], Tensor]:
        """The patch tokens of four blocks, and the final ones, among class tokens."""
        network = cast(TokenNetwork, self.backbone)
        found = self._stream(images, levels=network.level_blocks)
        return list(found.levels), found.patches

    def logits(self, images: Images) -> Float[Tensor, "B K"]:
        """The mean of the logits of class tokens and of patches."""
        stream = self._stream(images)
        with without_autocast(images):
            scores = project(self.weights, to_float32(stream.patches))
            return (token_logits(stream.extras) + ranked_mean(scores)) / 2

    def losses(self, images: Images, labels: Labels) -> tuple[dict[str, Tensor], Activations]:
        """L_cls (``bce``), L_patch and L_contrast."""
        stream = self._stream(images)
        features = to_float32(stream.patches)
        with without_autocast(features):
            scores = project(self.weights, features)
            of_tokens, of_patches = token_logits(stream.extras), ranked_mean(scores)
            found = Activations(
                features=features,
                evidence=torch.relu(scores),
                logits=(of_tokens + of_patches) / 2,
            )
            return {
                "bce": multilabel_loss(of_tokens, labels),
                "patch": multilabel_loss(of_patches, labels),
                "contrast": self.contrast * contrast_loss(stream.extras[-CONTRASTED:], labels),
            }, found

    def maps_by(self, images: Images, *weights: Weights) -> list[Maps]:
        """The maps of each U in place of W, with the same attention: 0 to 1."""
        depth = cast(TokenNetwork, self.backbone).depth
        groups = [range(-min(self.fusion.blocks, depth), 0)]
        groups += [range(depth)] * self.fusion.affinity
        stream = self._stream(images, attention=groups)
        features = to_float32(stream.patches)
        patches, grid = features[0, 0].numel(), features.shape[2:]
        with without_autocast(features):
            seen = stream.attention[0][:, : len(self.class_tokens), -patches:].unflatten(2, grid)
            maps = [fused(seen, torch.relu(project(each, features))) for each in weights]
            if not self.fusion.affinity:
                return maps
            affinity = stream.attention[1][:, -patches:, -patches:]
            return [propagated(each, affinity) for each in maps]

    def _stream(
        self,
        images: Images,
        *,
        levels: Sequence[int] = (),
        attention: Sequence[Sequence[int]] = (),
    ) -> TokenStream:
        network = cast(TokenNetwork, self.backbone)
        return network.stream(images, extra=self.class_tokens, levels=levels, attention=attention)


def token_logits(extras: Sequence[Tokens]) -> Float[Tensor, "B K"]:
    """The mean over channels of each class token after the last block, without a norm."""
    return to_float32(extras[-1]).mean(dim=2)


def ranked_mean(scores: Float[Tensor, "B K h w"]) -> Float[Tensor, "B K"]:
    """Global weighted ranking pooling: the i-th largest score of a class has the weight 0.996^i."""
    ranked = scores.flatten(2).sort(dim=2, descending=True).values
    weights = DECAY ** torch.arange(ranked.shape[2], dtype=ranked.dtype, device=ranked.device)
    return ranked @ weights / weights.sum()


def contrast_loss(extras: Sequence[Tokens], labels: Bool[Tensor, "B K"]) -> Float[Tensor, ""]:
    """L_contrast: each class token of a block is classified by its cosines with all of them.

    Softmax cross-entropy, of which class k is the target of token k; the mean over blocks, images
    and each image's present classes. An image without a label adds 0.
    """
    losses: list[Tensor] = []
    for tokens in extras:
        units = functional.normalize(to_float32(tokens), dim=2)
        losses.append(softmax_loss(units @ units.mT, labels))
    return torch.stack(losses).mean()


def fused(attention: Maps, evidence: Maps) -> Maps:
    """The geometric mean of attention and evidence, each with a peak of 1."""
    return (peak_normalised(attention) * peak_normalised(evidence)).sqrt()


def propagated(maps: Maps, affinity: Float[Tensor, "B P P"]) -> Maps:
    """At every patch the sum of the maps weighted by its row of the affinity; then 0 to 1.

    The minimum of a map is subtracted, since every patch attends a little to every other.
    DEVIATION: for each scale and view; in the authors' code once for their sum.
    """
    spread = maps.flatten(2) @ affinity.mT
    low, high = spread.amin(dim=2, keepdim=True), spread.amax(dim=2, keepdim=True)
    # No epsilon: rows of near patches differ by far less than one where attention is flat.
    ranged = (spread - low) / (high - low).clamp(min=torch.finfo(spread.dtype).tiny)
    return ranged.reshape(maps.shape)
