"""One contour to straight walls, right corners and circles."""
