"""Data sets and their layout on disk, and how images are loaded."""
