"""From maps to maps that follow the image."""
