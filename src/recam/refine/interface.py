"""The interface of refiners, and a constant that they share."""

from collections.abc import Callable

import torch
from torch import Tensor

# Score maps (B, n, H, W) and pixels (B, 3, H, W) in [0, 1] -> propagated score maps.
Propagate = Callable[[Tensor, Tensor], Tensor]
# Height, width and number of score maps of one image -> bytes that propagating them takes.
Need = Callable[[int, int, int], int]
TINY = torch.finfo(torch.float32).tiny  # the least divisor: 0 / 0 becomes 0
