"""Rule: what a pixel takes of those of another grid that lie around or under it. Nothing is imported for it."""

from typing import Literal

Rule = Literal["nearest", "bilinear", "average"]
Overlap = Literal["first", "newest", "oldest", "clearest"]  # which tile of a mosaic gives a pixel that several know
