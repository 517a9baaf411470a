"""Layers of parts: any box of any layer, out of all parts of a scene, those that GDAL does not see as well."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from geoseg.outputs.cog.parts import StoredPart
from geoseg.outputs.cog.tiff import TILE_PX
from geoseg.outputs.cog.tiles import decode_row
from geoseg.values.box import Box
from geoseg.values.layers import Layer, Pixels


@dataclass(frozen=True, slots=True)
class LayersOfParts:
    """Parts that are read as one raster; picklable."""

    parts: Mapping[Box, Path]
    """Where the part of each box lies."""
    layers: tuple[Layer, ...]
    """What the parts hold, in their order."""

    def read(self, names: Sequence[str], box: Box) -> list[Pixels]:
        """Return layers (h, w) over ``box``, nodata where there is no part; raises OutputError for a damaged one."""
        at = [[layer.name for layer in self.layers].index(name) for name in names]
        out = [self.layers[i].blank(box.shape) for i in at]
        for own, path in self.parts.items():
            common = own.clip(box)
            if common is not None:
                part = StoredPart.open(path)
                for pixels, i in zip(out, at, strict=True):
                    pixels[common.within(box)] = _cut(part, i, self.layers[i], common.shifted(-own.row0, -own.col0))
        return out


def _cut(part: StoredPart, index: int, layer: Layer, box: Box) -> Pixels:
    """Return the pixels of a box of a part; only its tiles are decoded."""
    out = layer.blank(box.shape)
    cols = slice(box.col0 // TILE_PX, -(-box.col1 // TILE_PX))
    for number in range(box.row0 // TILE_PX, -(-box.row1 // TILE_PX)):
        pixels = decode_row(part.rows[0][index][number].read(part.path), layer, cols)
        row, col = number * TILE_PX, cols.start * TILE_PX
        held = Box(row, col, row + len(pixels), col + pixels.shape[1])
        common = held.clip(box)
        assert common is not None  # it is one of the box's rows of tiles
        out[common.within(box)] = pixels[common.within(held)]
    return out
