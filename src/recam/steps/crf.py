"""The dense CRF of a section that has its numbers."""

from recam.refine.crf import CrfKernels
from recam.refine.crf_masks import Crf
from recam.steps.sections.shared import CrfNumbers


def crf_of(numbers: CrfNumbers) -> Crf:
    """The CRF that the numbers ``crf_...`` describe."""
    kernels = CrfKernels(
        gaussian_sxy=numbers.crf_smooth_sxy,
        gaussian_weight=numbers.crf_smooth_weight,
        bilateral_sxy=numbers.crf_sxy,
        bilateral_srgb=numbers.crf_srgb,
        bilateral_weight=numbers.crf_weight,
    )
    return Crf(kernels=kernels, iterations=numbers.crf_iterations)
