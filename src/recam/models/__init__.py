"""Backbones, segmenters and their initial weights."""
