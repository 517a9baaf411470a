"""Tiles of a map service become a scene: the true pixels at the true place, whole or not at all, and resumably."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
from rasterio.io import MemoryFile
from rasterio.warp import transform

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
        z, x, y = (int(part) for part in self.path.partition("?")[0].removesuffix(".png").split("/")[-3:])
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
    assert fetch(url="https://example.org/tiles.png") == 2
    assert "names no tile" in capsys.readouterr().err
    assert fetch(url="file:///{z}/{x}/{y}") == 2
    assert fetch("--licence", "") == 2
    server.status = {(FIRST[0], FIRST[1]): 403}
    assert fetch("--dry-run") == 0
    assert "4 tiles at zoom 16" in capsys.readouterr().out
    assert server.asked == []
    assert fetch() == 3
    assert "refuses it" in capsys.readouterr().err
