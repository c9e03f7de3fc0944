"""Transformers as backbones: patch tokens on a feature grid, at any image size.

Axes: B images, C channels, h w feature grid, T tokens, E extra tokens, P class and register tokens.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Protocol, cast, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from recam.core.errors import UserError
from recam.models.backbones import Backbone, Early, Features, Images, no_early_level, triple
from recam.models.timm_networks import TimmNetwork, create_timm
from recam.runtime.precision import to_float32, without_autocast

MODULES = ("vision_transformer", "deit", "eva")  # of timm, whose networks are plain transformers
LEVELS = 4  # blocks whose tokens are levels, evenly spaced

Attention = Float[Tensor, "B T T"]


def has_tokens(name: str) -> bool:
    """Whether a network of timm is a plain transformer, by its name with or without a tag."""
    from timm.models import is_model_in_modules  # noqa: PLC0415 slow to import

    return is_model_in_modules(name.partition(".")[0], MODULES)


def place_of_trial(name: str) -> AbstractContextManager[object]:
    """The device on which a network is built as a trial: for a transformer one without memory.

    Other networks need values, since a trial image passes through them.
    """
    return torch.device("meta") if has_tokens(name) else nullcontext()


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """The tokens of one pass, after the last block and the final norm."""

    patches: Float[Tensor, "B C h w"]
    prefix: Float[Tensor, "B P C"]  # class and register tokens
    extra: Float[Tensor, "B E C"]
    extras: tuple[Float[Tensor, "B E C"], ...]  # after each block, without the norm
    levels: tuple[Float[Tensor, "B C h w"], ...]  # patch tokens after the chosen blocks, no norm
    # Of each group of blocks the mean over heads and blocks. Row i holds the weights by which token
    # i sees all tokens: extra, then prefix, then patches.
    attention: tuple[Attention, ...]


class TokenBackbone(Backbone):
    """A plain vision transformer of timm by name, without its head.

    Images are resized to the nearest multiples of the patch; position embeddings are resized as
    timm does. The features are the patch tokens after the final norm. Levels are the patch tokens
    after four evenly spaced blocks, all with the stride of the patch.

    Raises UserError if ``output_stride`` is not the side of the patch.
    """

    head_parts = ("head", "head_dist", "fc_norm", "attn_pool")

    def __init__(self, name: str, *, output_stride: int):
        super().__init__()
        self.name = name
        self.network = cast(_Transformer, create_timm(name, output_stride=output_stride))
        for module in self.network.modules():
            if hasattr(module, "fused_attn"):
                vars(module)["fused_attn"] = True  # the function that ``_AttentionMeans`` observes
        self.patch = output_stride
        self.depth = len(self.network.blocks)
        self.channels = self.network.num_features
        self.skip_channels = 0
        self.level_channels = (self.channels,) * LEVELS
        self.level_strides = (self.patch,) * LEVELS
        config = self.network.pretrained_cfg
        self.mean, self.std = triple(config["mean"]), triple(config["std"])

    def forward(self, images: Images) -> Features:
        """Patch tokens after the final norm."""
        return self.stream(images).patches

    def with_skip(self, images: Images) -> tuple[Early, Features]:
        """Refuse: no level has stride 4. Raises UserError."""
        del images
        raise no_early_level(self.name, self.level_strides)

    def levels(self, images: Images) -> list[Tensor]:
        """The patch tokens after four evenly spaced blocks, without the final norm."""
        return self.with_levels(images)[0]

    def with_levels(self, images: Images) -> tuple[list[Tensor], Features]:
        """The levels and the final features; the features depend on the returned levels."""
        found = self.stream(images, levels=self.level_blocks)
        return list(found.levels), found.patches

    @property
    def level_blocks(self) -> tuple[int, ...]:
        """The numbers of the blocks whose patch tokens are levels."""
        return tuple(self.depth * n // LEVELS - 1 for n in range(1, LEVELS + 1))

    def freeze_stem(self) -> None:
        """Freeze the embedding of patches."""
        self.network.patch_embed.requires_grad_(requires_grad=False)

    def stream(
        self,
        images: Images,
        *,
        extra: Float[Tensor, "*B E C"] | None = None,
        levels: Sequence[int] = (),
        attention: Sequence[Sequence[int]] = (),
    ) -> Stream:
        """One pass of the images, with ``extra`` tokens before all others.

        ``levels`` are numbers of blocks. ``attention`` are groups of numbers of blocks, negative
        ones counted from the last (``attention_bytes``). Raises UserError for extra tokens of a
        network with rotary embeddings.
        """
        tokens, rotary, grid = self._embedded(images)
        added = 0 if extra is None else extra.shape[-2]
        if extra is not None:
            tokens = self._with_extra(tokens, extra, rotary)
        first = added + self.network.num_prefix_tokens  # patch
        chosen: dict[int, Tensor] = {}
        extras: list[Tensor] = []
        means = _AttentionMeans(attention, depth=self.depth)
        with means if attention else nullcontext():
            for number, block in enumerate(self.network.blocks):
                tokens = block(tokens) if rotary is None else block(tokens, rope=rotary[number])
                if number in levels:
                    level = chosen[number] = _on_grid(tokens[:, first:], grid)
                    # Later tokens then depend on the level.
                    tokens = torch.cat([tokens[:, :first], level.flatten(2).mT], dim=1)
                if added:
                    extras.append(tokens[:, :added])
        tokens = self.network.norm(tokens)
        return Stream(
            patches=_on_grid(tokens[:, first:], grid),
            prefix=tokens[:, added:first],
            extra=tokens[:, :added],
            extras=tuple(extras),
            levels=tuple(chosen[number] for number in levels),
            attention=means.found(),
        )

    def before_last(self, images: Images) -> tuple[Float[Tensor, "B T C"], tuple[int, int]]:
        """All tokens before the last block, prefix tokens first, and the grid of the patches."""
        tokens, rotary, grid = self._embedded(images)
        for number, block in enumerate(self.network.blocks[:-1]):
            tokens = block(tokens) if rotary is None else block(tokens, rope=rotary[number])
        return tokens, grid

    def _with_extra(self, tokens: Tensor, extra: Tensor, rotary: object) -> Tensor:
        if rotary is not None:
            raise UserError(
                f"backbone {self.name}: expected a transformer without rotary embeddings, which "
                "class tokens cannot join; choose a vit_ or deit_ network"
            )
        return torch.cat([extra.expand(len(tokens), -1, -1).to(tokens.dtype), tokens], dim=1)

    def _embedded(self, images: Images) -> tuple[Tensor, Sequence[Tensor] | None, tuple[int, int]]:
        """Tokens before the first block, rotary embeddings by block, and the grid."""
        network = self.network
        # Integers alone, which an exporter can trace: the nearest multiple, the larger of two.
        height, width = (
            max(1, (2 * side + self.patch) // (2 * self.patch)) for side in images.shape[2:]
        )
        embedded = network.patch_embed(self._fitted(images, (height, width)))
        placed = network._pos_embed(embedded)  # pyright: ignore[reportPrivateUsage] timm has no public one
        tokens, rotary = placed if isinstance(placed, tuple) else (placed, None)
        by_block = None
        if rotary is not None:
            is_mixed = getattr(network, "rope_mixed", False)
            by_block = list(rotary) if is_mixed else [rotary] * self.depth
        return network.norm_pre(tokens), by_block, (height, width)

    def _fitted(self, images: Images, grid: tuple[int, int]) -> Float[Tensor, "B 3 Y X"]:
        size = (grid[0] * self.patch, grid[1] * self.patch)
        if not torch.compiler.is_exporting() and tuple(images.shape[2:]) == size:
            return (
                images  # an exported network has one branch, which leaves such images as they are
            )
        return functional.interpolate(images, size=size, mode="bicubic", antialias=True)


def attention_bytes(tokens: int) -> int:
    """The most bytes that ``TokenBackbone.stream`` takes for one group of attention and one image.

    Four matrices of float32: the sum over blocks, the sum over heads, the products of one head and
    their softmax.
    """
    return 4 * 4 * tokens**2


class _AttentionMeans(TorchFunctionMode):
    """Means of attention over heads and groups of blocks, taken from torch's fused attention.

    The mode acts on its own thread and on nothing else: modules carry no hook. Each block calls the
    fused function once.
    """

    def __init__(self, groups: Sequence[Sequence[int]], *, depth: int):
        super().__init__()
        self.groups = [{number % depth for number in group} for group in groups]
        self.sums: list[Tensor | None] = [None] * len(groups)
        self.block = 0

    def __torch_function__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        if func is functional.scaled_dot_product_attention:
            if any(self.block in group for group in self.groups):
                self._add(head_mean(args[0], args[1]))
            self.block += 1
        return func(*args, **(kwargs or {}))

    def found(self) -> tuple[Attention, ...]:
        """The mean of each group."""
        return tuple(
            total.div_(len(group))
            for total, group in zip(self.sums, self.groups, strict=True)
            if total is not None
        )

    def _add(self, attention: Attention) -> None:
        for number, group in enumerate(self.groups):
            if self.block in group:
                total = self.sums[number]
                # A copy: groups may share a block.
                self.sums[number] = attention.clone() if total is None else total.add_(attention)


def head_mean(query: Float[Tensor, "B n T d"], key: Float[Tensor, "B n T d"]) -> Attention:
    """The mean over n heads of softmax(query · key / sqrt(d)) in float32, head by head."""
    with without_autocast(query):
        scaled = to_float32(query) * query.shape[-1] ** -0.5
        heads = zip(scaled.unbind(1), to_float32(key).unbind(1), strict=True)
        size = (len(query), query.shape[2], key.shape[2])
        total = torch.zeros(size, device=query.device)
        for asked, seen in heads:
            total += (asked @ seen.mT).softmax(dim=-1)
        return total.div_(query.shape[1])


def _on_grid(tokens: Float[Tensor, "B N C"], grid: tuple[int, int]) -> Features:
    return tokens.mT.unflatten(2, grid)


@runtime_checkable  # the tests check types at run time
class _Transformer(TimmNetwork, Protocol):
    patch_embed: nn.Module
    norm_pre: nn.Module
    norm: nn.Module
    blocks: Sequence[nn.Module]
    num_prefix_tokens: int

    def _pos_embed(self, tokens: Tensor, /) -> Tensor | tuple[Tensor, Tensor | None]: ...
    def modules(self) -> Sequence[nn.Module]: ...
