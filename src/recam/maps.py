"""What training and extraction both do with a class's map."""

from jaxtyping import Float
from torch import Tensor

# Added to a map's maximum before dividing: a map of zeros stays zero (authors' code).
EPSILON = 1e-5


def peak_normalised(maps: Float[Tensor, "*B h w"]) -> Float[Tensor, "*B h w"]:
    """Divide every map by its maximum over space (+ 1e-5): non-negative maps get a peak of 1."""
    return maps / (maps.amax(dim=(-2, -1), keepdim=True) + EPSILON)
