"""Polygons of scenes of any size, tile by tile, the same bytes for any tiling."""
