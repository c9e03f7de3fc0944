"""Shared definitions: mask values, metrics, random seeds, the user error."""
