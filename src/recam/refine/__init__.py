"""Refinement of score maps by image colours and learned edges."""
