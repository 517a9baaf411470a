"""Coverages: polygons of all classes that tile a map without gap or overlap."""
