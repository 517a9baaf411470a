"""Edges to the disk: scenes are read here, and parts, rasters, tables and polygons are written here."""
