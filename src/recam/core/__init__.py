"""Definitions that everything shares: labels, metrics, random seeds, the one exception."""
