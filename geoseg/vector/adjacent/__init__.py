"""Touching buildings: their borders, shared walls, and bounds for each of them."""
