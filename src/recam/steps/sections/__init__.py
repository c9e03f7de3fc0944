"""Sections of params.yaml: one model a file is the check, range, help and type of its numbers."""
