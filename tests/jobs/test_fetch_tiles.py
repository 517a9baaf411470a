"""Tiles of a map service become a scene: the true pixels at the true place, whole or not at all, and resumably."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, unquote, urlsplit

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
from rasterio.io import MemoryFile
from rasterio.warp import transform
from rasterio.windows import from_bounds

from geoseg.cli import main
from geoseg.scenes import remote
from geoseg.scenes.open import open_scene
from geoseg.scenes.reading import read

ZOOM, FIRST = 16, (34_000, 21_500)  # column and row of the north-western tile of four


def tile(x, y):
    """Return the pixels of a tile, by which it is told from others."""
    rows, cols = np.mgrid[:256, :256]
    return np.stack([rows, cols, np.full_like(rows, 10 * (x - FIRST[0]) + y - FIRST[1] + 1)]).astype(np.uint8)


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        server = self.server
        server.asked.append((self.path, self.headers["User-Agent"]))
        with server.lock:
            server.at_once += 1
            server.most = max(server.most, server.at_once)
        if "capabilities" in self.path:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(server.capabilities.encode())
            return
        query = {key.upper(): value for key, value in parse_qsl(urlsplit(self.path).query)}
        place = urlsplit(self.path).path.removesuffix(".png").split("/")[-3:]
        if "TILECOL" in query:
            place = [query["TILEMATRIX"], query["TILECOL"], query["TILEROW"]]
        z, x, y = (int(unquote(part).removeprefix("laea:")) for part in place)
        status = server.status.get((x, y), 200)
        content = server.content.get((x, y))
        if content is None and status == 200:
            with MemoryFile() as memory:
                with memory.open(driver="PNG", width=256, height=256, count=3, dtype="uint8") as dst:
                    dst.write(tile(x, y))
                content = bytes(memory.getbuffer())
        self.send_response(status if z == ZOOM else 404)
        self.end_headers()
        self.wfile.write(content or b"")
        with server.lock:
            server.at_once -= 1

    def log_message(self, *args):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(remote, "PAUSES_S", (0.01,))
    made = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.asked, made.status, made.content, made.lock, made.at_once, made.most = [], {}, {}, threading.Lock(), 0, 0
    made.url = f"http://127.0.0.1:{made.server_port}/{{z}}/{{x}}/{{y}}.png?key=secret"
    threading.Thread(target=made.serve_forever, args=(0.01,), daemon=True).start()
    yield made
    made.shutdown()
    made.server_close()


@pytest.fixture
def fetch(server, tmp_path):
    """Return what fetches two by two tiles and returns the exit code."""
    size = 2 * 20037508.342789244 / 2**ZOOM
    left, top = FIRST[0] * size - 20037508.342789244, 20037508.342789244 - FIRST[1] * size
    area = shapely.box(left + 0.3 * size, top - 1.7 * size, left + 1.6 * size, top - 0.2 * size)
    gpd.GeoDataFrame(geometry=[area], crs=3857).to_crs(4326).to_file(tmp_path / "aoi.geojson")

    def run(*more, url=server.url, aoi="aoi.geojson", zoom=ZOOM):
        flags = ["--aoi", str(tmp_path / aoi), "--zoom", str(zoom), "--licence", "CC0", "-o", str(tmp_path / "s.tif")]
        return main(["fetch-tiles", url, *flags, *more, "-q"])

    return run


def test_the_scene_has_the_pixels_of_the_tiles_where_they_lie(server, fetch, tmp_path, capsys):
    server.status[FIRST[0] + 1, FIRST[1]] = 404
    assert fetch("--connections", "2") == 0
    assert "1 tiles are not there, nodata" in capsys.readouterr().out
    scene = open_scene(tmp_path / "s.tif")
    assert (scene.bands.names, scene.grid.shape) == (("red", "green", "blue"), (512, 512))
    raster = read(scene, scene.grid.box)
    np.testing.assert_array_equal(raster.data[:, 256:, 256:], tile(FIRST[0] + 1, FIRST[1] + 1))
    np.testing.assert_array_equal(raster.data[:, 256:, :256], tile(FIRST[0], FIRST[1] + 1))
    assert not raster.valid[:256, 256:].any()
    assert raster.valid.mean() == 0.75
    (lon,), (lat,) = transform(scene.grid.crs, "EPSG:4326", [scene.grid.bounds[0]], [scene.grid.bounds[3]])
    n = 2**ZOOM
    assert lon == pytest.approx(FIRST[0] / n * 360 - 180, abs=1e-9)
    assert lat == pytest.approx(np.degrees(np.arctan(np.sinh(np.pi * (1 - 2 * FIRST[1] / n)))), abs=1e-9)
    assert server.most <= 2
    assert {agent for _, agent in server.asked} == {remote.SETTINGS["GDAL_HTTP_USERAGENT"]}
    with rasterio.open(tmp_path / "s.tif") as src:
        assert (src.tags()["TIFFTAG_COPYRIGHT"], src.tags(ns="IMAGE_STRUCTURE")["LAYOUT"]) == ("CC0", "COG")
        assert "secret" not in str(src.tags())
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".")]


def capabilities(server, way):
    """Return those of a layer in a CRS whose first axis is north, of a single zoom level."""
    base = f"http://127.0.0.1:{server.server_port}"
    resource = (
        f'<ResourceURL format="image/png" resourceType="tile" '
        f'template="{base}/{{style}}/{{TileMatrix}}/{{TileCol}}/{{TileRow}}.png"/>'
    )
    operation = (
        f'<ows:OperationsMetadata><ows:Operation name="GetTile"><ows:DCP><ows:HTTP>'
        f'<ows:Get xlink:href="{base}/kvp?k=1"><ows:Constraint name="GetEncoding">'
        f"<ows:AllowedValues><ows:Value>KVP</ows:Value></ows:AllowedValues>"
        f"</ows:Constraint></ows:Get></ows:HTTP></ows:DCP></ows:Operation></ows:OperationsMetadata>"
    )
    return f"""<Capabilities xmlns="http://www.opengis.net/wmts/1.0" xmlns:ows="http://www.opengis.net/ows/1.1"
      xmlns:xlink="http://www.w3.org/1999/xlink" version="1.0.0">{operation if way == "kvp" else ""}<Contents>
      <Layer><ows:Identifier>aerial</ows:Identifier>
      <Style isDefault="true"><ows:Identifier>plain</ows:Identifier></Style><Format>image/png</Format>
      <TileMatrixSetLink><TileMatrixSet>laea</TileMatrixSet></TileMatrixSetLink>
      {resource if way == "rest" else ""}</Layer>
      <TileMatrixSet><ows:Identifier>laea</ows:Identifier><ows:SupportedCRS>urn:ogc:def:crs:EPSG::3035</ows:SupportedCRS>
      <TileMatrix><ows:Identifier>laea:{ZOOM}</ows:Identifier><ScaleDenominator>{0.05 / 0.28e-3!r}</ScaleDenominator>
      <TopLeftCorner>3500000 4000000</TopLeftCorner><TileWidth>256</TileWidth><TileHeight>256</TileHeight>
      <MatrixWidth>65536</MatrixWidth><MatrixHeight>65536</MatrixHeight></TileMatrix></TileMatrixSet>
      </Contents></Capabilities>"""


@pytest.mark.parametrize("way", ["rest", "kvp"])
def test_the_tiles_of_wmts_capabilities_lie_where_gdal_has_them(server, fetch, tmp_path, capsys, way):
    size, address = 0.05 * 256, f"http://127.0.0.1:{server.server_port}/capabilities.xml"
    left, top = 4e6 + FIRST[0] * size, 3.5e6 - FIRST[1] * size
    area = shapely.box(left + 3, top - 22, left + 21, top - 4)
    gpd.GeoDataFrame(geometry=[area], crs=3035).to_file(tmp_path / "laea.gpkg")
    server.capabilities = capabilities(server, way)
    (tmp_path / "wmts.xml").write_text(server.capabilities)
    assert fetch(url=address if way == "rest" else str(tmp_path / "wmts.xml"), aoi="laea.gpkg") == 0
    scene = open_scene(tmp_path / "s.tif")
    raster = read(scene, scene.grid.box)
    assert (scene.grid.crs.to_epsg(), scene.grid.shape) == (3035, (512, 512))
    with rasterio.Env(GDAL_DEFAULT_WMS_CACHE_PATH=str(tmp_path)), rasterio.open(f"WMTS:{address}") as gdal:
        window = from_bounds(*scene.grid.bounds, gdal.transform).round()
        np.testing.assert_allclose(gdal.window_bounds(window), scene.grid.bounds, atol=1e-4)
        np.testing.assert_array_equal(raster.data, gdal.read([1, 2, 3], window=window))
    assert fetch(url=address, aoi="laea.gpkg", zoom=3) == 5
    for more, zoom, said in (((), 3, "laea has laea:16"), (("--layer", "x"), ZOOM, "--layer x: there are aerial")):
        assert fetch("-n", "--overwrite", *more, url=address, aoi="laea.gpkg", zoom=zoom) == 2
        assert said in capsys.readouterr().err
    server.capabilities = "<html>moved</html>"
    assert fetch("--overwrite", url=address, aoi="laea.gpkg") == 2
    server.capabilities = "moved"
    assert fetch("--overwrite", url=address, aoi="laea.gpkg") == 3
    assert "no capabilities of a WMTS" in capsys.readouterr().err


def test_a_break_keeps_the_tiles_and_the_same_command_goes_on(server, fetch, tmp_path, capsys):
    gone = FIRST[0] + 1, FIRST[1] + 1
    server.status[gone] = 503
    assert fetch() == 75
    assert "run the same command again" in capsys.readouterr().err
    assert not (tmp_path / "s.tif").exists()
    server.status.clear()
    server.asked.clear()
    assert fetch() == 0
    assert len(server.asked) == 1
    scene = open_scene(tmp_path / "s.tif")
    assert read(scene, scene.grid.box).valid.all()
    assert fetch() == 5


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"<VRTDataset rasterXSize='9' rasterYSize='9'/>", "is no PNG, JPEG or WebP"),
        (b"", "none of 4 tiles is there"),
    ],
)
def test_what_is_no_picture_is_refused(server, fetch, tmp_path, capsys, content, said):
    server.content = {(FIRST[0] + i, FIRST[1] + j): content for i in range(2) for j in range(2)}
    assert fetch() == 3
    assert said in capsys.readouterr().err
    assert not (tmp_path / "s.tif").exists()


def test_what_cannot_be_asked_for_is_refused_before_anything_is(server, fetch, tmp_path, capsys):
    gpd.GeoDataFrame(geometry=[shapely.box(-90, -60, 90, 60)], crs=4326).to_file(tmp_path / "world.gpkg")
    assert fetch(aoi="world.gpkg") == 3
    assert "tiles at zoom 16, 100,000 at most" in capsys.readouterr().err
    assert fetch(url="https://example.org/{z}/tiles.png") == 2
    assert "names no tile" in capsys.readouterr().err
    assert fetch(url="file:///{z}/{x}/{y}") == 2
    assert fetch("--licence", "") == 2
    server.status = {(FIRST[0], FIRST[1]): 403}
    assert fetch("--dry-run") == 0
    assert "4 tiles at zoom 16" in capsys.readouterr().out
    assert server.asked == []
    assert fetch() == 3
    assert "refuses it" in capsys.readouterr().err
