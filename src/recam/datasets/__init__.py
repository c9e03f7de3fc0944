"""Data sets: made, downloaded, or a folder of the user's own."""
