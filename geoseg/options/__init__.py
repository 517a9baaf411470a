"""Options: what a user chooses for scenes, runs and polygons, each declared once."""
