"""Tiling: one global grid of windows, integer blending, and the memory it takes. Arrays in, arrays out; no files."""
