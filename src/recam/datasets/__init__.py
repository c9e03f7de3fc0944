"""Data sets: generated, downloaded, or a folder of the user's own images."""
