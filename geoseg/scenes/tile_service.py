"""Tile services: where the tiles of a zoom level lie, and the address of each, by a template or WMTS capabilities."""

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterable
from dataclasses import dataclass
from math import radians
from pathlib import Path
from urllib.parse import quote, urlencode

from affine import Affine
from rasterio.crs import CRS

from geoseg.disk.files import refuse_special
from geoseg.errors import ConfigError, InputError
from geoseg.options.tiles import TileOptions
from geoseg.scenes import remote
from geoseg.values.box import Box
from geoseg.values.grid import EARTH_RADIUS_M, Grid, pyproj_crs

EDGE_M = 20037508.342789244  # half of Web Mercator's square
PIXEL_M = 0.28e-3  # OGC 07-057r7: the pixel that a scale denominator is meant for
OLD = {"900913": "3857"}  # codes that are no longer EPSG's
FORMATS = ("image/png", "image/jpeg", "image/webp")  # of tiles, the better first


@dataclass(frozen=True, slots=True)
class TileMatrix:
    """The tiles of one zoom level.

    grid: with tiles for pixels; address: with {x} or {TileCol} and so on; zoom; limits: the tiles that its server has;
    side_px: of a tile, as far as it is known; layer: of a WMTS.
    """

    grid: Grid
    address: str
    zoom: int
    limits: Box
    side_px: int = 256
    layer: str = ""

    def url(self, col: int, row: int) -> str:
        """Return the address of a tile."""
        z, x, y = str(self.zoom), str(col), str(row)
        places = {"z": z, "x": x, "y": y, "-y": str(self.grid.height - 1 - row)}
        places |= {"TileMatrix": z, "TileCol": x, "TileRow": y}
        return re.sub(r"{([^{}]+)}", lambda found: places.get(found[1], found[0]), self.address)


def tile_matrix(options: TileOptions) -> TileMatrix:
    """Return the tiles of the zoom level that is asked for; raises ConfigError and InputError.

    An address with {z}, {x} and {y} is one of Web Mercator's tiles; all else is a WMTS's capabilities, a file or URL.
    """
    if options.is_template:
        side = 2 * EDGE_M / 2**options.zoom
        place = Affine(side, 0, -EDGE_M, 0, -side, EDGE_M)
        grid = Grid(CRS.from_epsg(3857), place, (2**options.zoom,) * 2)
        return TileMatrix(grid, options.url, options.zoom, grid.box)
    try:
        root = ET.fromstring(_text(options.url))
        return _of_capabilities(root, options)
    except (ET.ParseError, KeyError, ValueError) as error:
        if isinstance(error, ConfigError | InputError):
            raise
        raise InputError(f"{options.url}: no capabilities of a WMTS ({error}); check the address") from error


def _text(url: str) -> str:
    if url.startswith(("http://", "https://")):
        return remote.text_of(url)
    refuse_special(url)
    try:
        return Path(url).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(f"{url}: cannot be read ({error.strerror}); name WMTS capabilities, or an address") from error


def _of_capabilities(root: ET.Element, options: TileOptions) -> TileMatrix:
    where = options.url
    layer = _one(root.iterfind("{*}Contents/{*}Layer"), options.layer, f"{where}: --layer")
    links = {_said(link, "TileMatrixSet"): link for link in layer.iterfind("{*}TileMatrixSetLink")}
    sets = (one for one in root.iterfind("{*}Contents/{*}TileMatrixSet") if _name(one) in links)
    tiles = _one(sets, options.matrix_set, f"{where}: --matrix-set")
    matrices = {_name(one): one for one in tiles.iterfind("{*}TileMatrix")}
    found = [name for name in matrices if (end := re.search(r"\d+$", name)) and int(end[0]) == options.zoom]
    if len(found) != 1:
        raise ConfigError(f"{where}: --zoom {options.zoom}: {_name(tiles)} has {', '.join(matrices)}")
    matrix, limits = matrices[found[0]], links[_name(tiles)].iterfind("{*}TileMatrixSetLimits/{*}TileMatrixLimits")
    grid = _grid(matrix, _said(tiles, "SupportedCRS"))
    own = next((one for one in limits if _said(one, "TileMatrix") == found[0]), None)
    ends = [int(_said(own, f"{e}Tile{a}")) for e in ("Min", "Max") for a in ("Row", "Col")] if own is not None else None
    side_px = int(_said(matrix, "TileWidth"))
    if side_px != int(_said(matrix, "TileHeight")):
        raise InputError(f"{where}: tiles of {found[0]} are no squares; GDAL's WMTS driver reads them (gdal_translate)")
    return TileMatrix(
        grid,
        _address(root, layer, _name(tiles), found[0], where),
        options.zoom,
        Box(ends[0], ends[1], ends[2] + 1, ends[3] + 1) if ends else grid.box,
        side_px,
        _name(layer),
    )


def _grid(matrix: ET.Element, named: str) -> Grid:
    """Return where the tiles of a matrix lie; named: the CRS, as capabilities name it."""
    code = re.search(r"EPSG.*?(\d+)$", named)
    written = "OGC:CRS84" if named.endswith("CRS84") else f"EPSG:{OLD.get(code[1], code[1])}" if code else named
    crs = CRS.from_user_input(written)
    axis = pyproj_crs(crs).axis_info[0]
    first, second = (float(number) for number in _said(matrix, "TopLeftCorner").split())
    northing_first = axis.direction == "north" and not named.startswith("EPSG:")
    x, y = (second, first) if northing_first else (first, second)
    if crs.is_geographic and abs(y) > 90:  # some servers mix them up
        x, y = y, x
    unit_m = EARTH_RADIUS_M * radians(1) if crs.is_geographic else axis.unit_conversion_factor
    size = float(_said(matrix, "ScaleDenominator")) * PIXEL_M / unit_m
    width, height = (size * int(_said(matrix, f"Tile{side}")) for side in ("Width", "Height"))
    shape = int(_said(matrix, "MatrixHeight")), int(_said(matrix, "MatrixWidth"))
    return Grid(crs, Affine(width, 0, x, 0, -height, y), shape)


def _address(root: ET.Element, layer: ET.Element, tiles: str, matrix: str, where: str) -> str:
    """Return the address of a tile with {TileCol} and {TileRow}: that of a resource, else of the operation GetTile."""
    styles = sorted(layer.iterfind("{*}Style"), key=lambda style: style.get("isDefault") != "true")
    values = {"Style": _name(styles[0]) if styles else "", "TileMatrixSet": tiles, "TileMatrix": matrix}
    values |= {_name(one): _said(one, "Default") for one in layer.iterfind("{*}Dimension")}
    resources = {
        one.attrib["format"]: one.attrib["template"]
        for one in layer.iterfind("{*}ResourceURL")
        if one.get("resourceType") == "tile"
    }
    formats = resources or {(one.text or "").strip(): "" for one in layer.iterfind("{*}Format")}
    kind = next((kind for wanted in FORMATS for kind in formats if kind.partition(";")[0].strip() == wanted), None)
    if kind is None:
        raise InputError(f"{where}: {_name(layer)} has tiles of {', '.join(formats) or 'no format'}, not {FORMATS}")
    if resources:
        given = {key.lower(): quote(value) for key, value in values.items()}
        given |= {"tilecol": "{TileCol}", "tilerow": "{TileRow}"}
        address = re.sub(r"{(\w+)}", lambda found: given.get(found[1].lower(), found[0]), resources[kind])
    else:
        asked = {"SERVICE": "WMTS", "REQUEST": "GetTile", "VERSION": "1.0.0", "LAYER": _name(layer), "FORMAT": kind}
        base = _operation(root, where)
        base += "" if base.endswith(("?", "&")) else "&" if "?" in base else "?"
        asked |= {key.upper(): value for key, value in values.items()}
        address = f"{base}{urlencode(asked)}&TILEROW={{TileRow}}&TILECOL={{TileCol}}"
    if set(re.findall(r"{(\w+)}", address)) != {"TileCol", "TileRow"} or not address.startswith(
        ("http://", "https://")
    ):
        raise InputError(f"{where}: {address}: is no address of a tile of {_name(layer)}")
    return address


def _operation(root: ET.Element, where: str) -> str:
    """Return the address of GetTile by key and value."""
    for get in root.iterfind("{*}OperationsMetadata/{*}Operation[@name='GetTile']/{*}DCP/{*}HTTP/{*}Get"):
        ways = [(value.text or "").strip() for value in get.iterfind("{*}Constraint/{*}AllowedValues/{*}Value")]
        if not ways or "KVP" in ways:
            return get.attrib["{http://www.w3.org/1999/xlink}href"]
    raise InputError(f"{where}: says no address of its tiles, neither ResourceURL nor GetTile by key and value")


def _one(found: Iterable[ET.Element], wanted: str | None, flag: str) -> ET.Element:
    """Return the element that is wanted, or the only one; raises ConfigError that names all."""
    every = {_name(one): one for one in found}
    if wanted is None and len(every) == 1:
        return next(iter(every.values()))
    if wanted not in every:
        raise ConfigError(f"{flag} {wanted or 'is not given'}: there are {', '.join(every) or 'none'}")
    return every[wanted]


def _name(one: ET.Element) -> str:
    return _said(one, "Identifier")


def _said(one: ET.Element, name: str) -> str:
    """Return the text of a child; raises KeyError."""
    text = one.findtext(f"{{*}}{name}")
    if text is None:
        raise KeyError(f"{name} is missing in {one.tag.rpartition('}')[2]}")
    return text.strip()
