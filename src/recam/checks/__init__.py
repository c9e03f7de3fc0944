"""Checks of a data set and of training masks."""
