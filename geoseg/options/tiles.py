"""Which tiles of a map service become a scene, as its user chooses them."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

from geoseg.options.option import NAMED, Checked, Option, span

WAYS = (("{z}", "{x}", "{y}"), ("{z}", "{x}", "{-y}"), ("{TileMatrix}", "{TileCol}", "{TileRow}"))  # XYZ, TMS, WMTS


@dataclass(frozen=True, kw_only=True)
class TileOptions(Checked):
    """Which tiles, by what right, and how hard their server is asked. Without slots: flags add the address."""

    url: str
    """Address with {z}, {x} and {y} (or {-y}), or {TileMatrix}, {TileCol} and {TileRow}; or WMTS capabilities."""
    aoi: Annotated[str, Option("Polygons of the ground that is wanted.", limit=NAMED, metavar="FILE[:LAYER]")]
    zoom: Annotated[int, Option("Zoom level; 18 is 0.6 m at the equator in Web Mercator.", limit=span(0, 24))]
    licence: Annotated[str, Option("By what right you use the tiles; written into the scene.", limit=NAMED)]
    layer: Annotated[str | None, Option("Layer of a WMTS that has several.", limit=NAMED)] = None
    matrix_set: Annotated[str | None, Option("Tile matrix set of a WMTS layer that has several.", limit=NAMED)] = None
    connections: Annotated[int, Option("Tiles that are asked for at once.", limit=span(1, 16))] = 4

    @property
    def is_template(self) -> bool:
        """Whether the address is one of tiles, not of capabilities."""
        return "{" in self.url

    def _faults(self) -> Iterator[str]:
        if self.is_template and not self.url.startswith(("http://", "https://")):
            yield f"url {self.url}: is no address of a web server; it begins with https://"
        if self.is_template and not any(all(part in self.url for part in way) for way in WAYS):
            yield f"url {self.url}: names no tile; it holds {', or '.join(' '.join(way) for way in WAYS)}"
        if self.is_template and (self.layer, self.matrix_set) != (None, None):
            yield f"url {self.url}: names its layer; layer and matrix_set are for WMTS capabilities"
