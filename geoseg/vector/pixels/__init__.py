"""Pixels to components, contours and labels."""
