"""What is written: rasters, tables, polygons, and their checks."""
