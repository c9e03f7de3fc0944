"""Formats of other tools: reading them into the project's layout, and writing masks in them."""
