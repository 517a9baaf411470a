"""Promptable networks that learn: the mask decoder is trained on polygons, the encoder stays as it is."""
