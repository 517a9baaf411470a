"""Polygon layers in GeoPackages, with names, styles and provenance."""
