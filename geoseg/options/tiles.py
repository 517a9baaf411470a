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
    """Address with {z}, {x} and {y} (or {-y}), or {TileMatrix}, {TileCol} and {TileRow}."""
    aoi: Annotated[str, Option("Polygons of the ground that is wanted.", limit=NAMED, metavar="FILE[:LAYER]")]
    zoom: Annotated[int, Option("Zoom level; 18 is 0.6 m at the equator.", limit=span(0, 24))]
    licence: Annotated[str, Option("By what right you use the tiles; written into the scene.", limit=NAMED)]
    connections: Annotated[int, Option("Tiles that are asked for at once.", limit=span(1, 16))] = 4

    def _faults(self) -> Iterator[str]:
        if not self.url.startswith(("http://", "https://")):
            yield f"url {self.url}: is no address of a web server; it begins with https://"
        if not any(all(part in self.url for part in way) for way in WAYS):
            yield f"url {self.url}: names no tile; it holds {', or '.join(' '.join(way) for way in WAYS)}"

    def tile_url(self, col: int, row: int) -> str:
        """Return the address of a tile."""
        z, x, y = str(self.zoom), str(col), str(row)
        places = {"z": z, "x": x, "y": y, "-y": str(2**self.zoom - 1 - row)}
        places |= {"TileMatrix": z, "TileCol": x, "TileRow": y}
        url = self.url
        for name, value in places.items():
            url = url.replace(f"{{{name}}}", value)
        return url
