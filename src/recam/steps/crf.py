"""The dense CRF of a section that has its numbers."""

import argparse

from recam.refine.crf import CrfKernels
from recam.refine.crf_masks import Crf


def crf_of(args: argparse.Namespace) -> Crf:
    """The CRF that the arguments crf_... describe."""
    kernels = CrfKernels(
        gaussian_sxy=args.crf_smooth_sxy,
        gaussian_weight=args.crf_smooth_weight,
        bilateral_sxy=args.crf_sxy,
        bilateral_srgb=args.crf_srgb,
        bilateral_weight=args.crf_weight,
    )
    return Crf(kernels=kernels, iterations=args.crf_iterations)
