"""Footprints with what belongs to them, from rasters or from elsewhere."""
