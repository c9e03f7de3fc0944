"""Loops over images: training, inference, refinement, segmentation, evaluation."""
