"""Tables, charts and image grids."""
