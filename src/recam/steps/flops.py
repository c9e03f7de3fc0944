"""The arithmetic of every step: operations of an image, counted while it is computed once.

Matrix products, convolutions and attention count, with their backward passes: two operations for
each product and sum. Everything else is left out: CRF, random walks, pooling, reading and writing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.flop_counter import FlopCounterMode, conv_flop_count

from recam.steps.bench import Bench
from recam.steps.timing import WORKS


@dataclass(frozen=True, slots=True, kw_only=True)
class Arithmetic:
    """Of one image of a step: operations, and bytes kept for its backward pass."""

    operations: float
    kept_bytes: float


def arithmetic_of(step: str, bench: Bench) -> Arithmetic:
    """The arithmetic of a step of ``recam.steps.timing.WORKS``, from one repetition."""
    run, images = WORKS[step](bench)
    kept = KeptStorages()
    with operations_counter() as counter, saved_tensors_hooks(kept.add, _unchanged):
        run()
    return Arithmetic(
        operations=counter.get_total_flops() / images, kept_bytes=kept.total() / images
    )


def operations_counter() -> FlopCounterMode:
    """A context in which torch counts operations."""
    own = {torch.ops.aten.convolution_backward: backward_operations}
    return FlopCounterMode(display=False, custom_mapping=own)


def backward_operations(
    grad_shape: Sequence[int],
    x_shape: Sequence[int],
    w_shape: Sequence[int],
    *rest: object,
    out_shape: object,
) -> int:
    """Operations of a convolution's backward pass: as many as forward for each gradient.

    torch's own count takes the gradient of a depthwise convolution's weights for that of dense
    ones, hundreds of times as many.
    """
    del out_shape
    *_, is_transposed, _, _, wanted = rest  # gradients of images, weights and bias
    forward = conv_flop_count(list(x_shape), list(w_shape), list(grad_shape), bool(is_transposed))
    return forward * sum(cast(Sequence[bool], wanted)[:2])


class KeptStorages:
    """Memory that autograd keeps from the forward to the backward pass, without parameters."""

    def __init__(self) -> None:
        self.sizes: dict[int, int] = {}
        self.tensors: list[Tensor] = []  # alive, so that no address is used twice

    def add(self, tensor: Tensor) -> Tensor:
        """Count the storage of a tensor once; return the tensor."""
        owner = tensor._base if tensor._base is not None else tensor  # pyright: ignore[reportPrivateUsage] torch has no public one
        if not (owner.is_leaf and owner.requires_grad):
            storage = tensor.untyped_storage()
            self.sizes[storage.data_ptr()] = storage.nbytes()
            self.tensors.append(tensor.detach())
        return tensor

    def total(self) -> int:
        """The bytes of all storages."""
        return sum(self.sizes.values())


def _unchanged(tensor: Tensor) -> Tensor:
    return tensor
