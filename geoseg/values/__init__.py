"""Frozen values that everybody shares: grid, box, bands, classes, pixels with their place."""
