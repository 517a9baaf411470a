"""Rasters behind URLs: the same pixels as from disk, tries again, and one line when the network is gone."""

import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from conftest import write_bundle, write_tif

import geoseg
from geoseg.cli import main
from geoseg.errors import InputError, PlanChangedError, TryAgainError
from geoseg.models.spec import Architecture, Channel, Normalisation
from geoseg.scenes import remote
from geoseg.scenes.open import open_scene
from geoseg.scenes.reading import read
from geoseg.scenes.reads import changed, files_read, stamps

PIXELS = np.random.default_rng(0).integers(1, 250, (3, 300, 200)).astype(np.uint8)


class Handler(BaseHTTPRequestHandler):
    """Serves one file with ranges; every third answer is that the server is busy."""

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        server = self.server
        server.asked += 1
        time.sleep(server.latency_s)
        if server.asked in server.at:
            server.at[server.asked](self)
        if server.gone or (server.busy and server.asked % 3 == 0):
            self.send_error(503)
            return
        if not self.path.endswith(".tif"):
            self.send_error(404)
            return
        first, last = 0, len(server.content) - 1
        if ranged := self.headers.get("Range"):
            first, last = (int(n) for n in ranged.removeprefix("bytes=").split("-"))
            last = min(last, len(server.content) - 1)
        self.send_response(206 if ranged else 200)
        self.send_header("ETag", server.etag)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(last - first + 1))
        if ranged:
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(server.content)}")
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(server.content[first : last + 1])

    def log_message(self, *args):
        pass


@pytest.fixture
def server(tmp_path, monkeypatch):
    monkeypatch.setattr(remote, "PAUSES_S", (0.01, 0.01))
    monkeypatch.setitem(remote.SETTINGS, "GDAL_HTTP_RETRY_DELAY", "0.01")
    made = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.content = write_tif(
        tmp_path / "a.tif", PIXELS, photometric="RGB", tiled=True, blockxsize=64, blockysize=64
    ).read_bytes()
    made.etag, made.asked, made.busy, made.latency_s, made.at, made.gone = '"one"', 0, False, 0, {}, False
    made.url = f"http://127.0.0.1:{made.server_port}/a.tif"
    threading.Thread(target=made.serve_forever, args=(0.01,), daemon=True).start()
    yield made
    made.shutdown()
    made.server_close()


@pytest.mark.parametrize("busy", [False, True])
def test_pixels_are_those_of_the_file_also_from_a_busy_server(server, busy):
    server.busy = busy
    scene = open_scene(server.url)
    np.testing.assert_array_equal(read(scene, scene.grid.box).data, PIXELS)


def test_another_etag_is_another_file(server):
    found = stamps(files_read([server.url]))
    assert found[0][1] == '"one"'
    assert stamps(files_read([server.url])) == found
    server.etag = '"two"'
    assert changed(stamps(files_read([server.url])), found) == [server.url]


def test_a_network_that_is_gone_is_code_75(server, capfd):
    scene = open_scene(server.url)
    server.shutdown()
    server.server_close()
    with pytest.raises(TryAgainError, match=r"a\.tif: its server does not answer"):
        stamps(scene.inputs)
    assert main(["info", server.url.replace("a.tif", "b.tif")]) == 75
    (line,) = capfd.readouterr().err.splitlines()
    assert "does not answer" in line
    assert "run the same command again" in line


@pytest.fixture(scope="module")
def on_disk(tmp_path_factory):
    """A folder with a scene of six chunks, a model, and the map of both as from disk."""
    folder = tmp_path_factory.mktemp("disk")
    data = np.random.default_rng(1).integers(1, 250, (3, 1100, 700)).astype(np.uint8)
    tiled = {"photometric": "RGB", "tiled": True, "blockxsize": 128, "blockysize": 128}
    write_tif(folder / "a.tif", data, **tiled)
    write_tif(folder / "other.tif", 255 - data, **tiled)
    write_bundle(
        folder / "probe", widths=None, arch=Architecture(name="probe-identity"), gsd_m=None,
        normalisation=Normalisation(mean=(0.0,) * 3, std=(255.0,) * 3),
        channels=(Channel(name="dark", class_id=1), Channel(name="bright", class_id=2)),
    )  # fmt: skip
    assert mapped(folder / "a.tif", folder) == 0
    return folder


def mapped(scene, folder, out=None):
    """Map a scene with the model of a folder; returns the exit code."""
    flags = ["-m", str(folder / "probe"), "--chunk-px", "512", "--engine", "sync", "-q"]
    return main(["predict", str(scene), "-o", str(out or folder / "map"), *flags])


def stall(handler):
    """Send nothing for longer than anybody waits."""
    time.sleep(1.5)


@pytest.mark.parametrize("trouble", ["latency", "busy", "stalls"])
def test_a_slow_and_unsure_server_gives_the_map_of_the_file_on_disk(server, on_disk, tmp_path, monkeypatch, trouble):
    server.content = (on_disk / "a.tif").read_bytes()
    monkeypatch.setitem(remote.SETTINGS, "GDAL_HTTP_LOW_SPEED_TIME", "1")
    server.latency_s = 0.05 if trouble == "latency" else 0
    server.busy = trouble == "busy"
    server.at = {8: stall, 15: stall} if trouble == "stalls" else {}
    assert mapped(server.url, on_disk, tmp_path / "out") == 0
    assert server.asked > 15
    for name in ("classes.tif", "confidence.tif"):
        assert (tmp_path / "out" / name).read_bytes() == (on_disk / "map" / name).read_bytes()


def interrupted(server, folder, out, trouble):
    """Map the served scene; after the first of its chunks ``trouble`` comes."""

    def listen(progress):
        if progress.stage == "predict" and progress.done == 1:
            trouble()

    options = geoseg.RunOptions(engine="sync", chunk_px=512, device="cpu")
    return geoseg.predict(open_scene(server.url), folder / "probe", out, options=options, listen=listen)


def test_a_file_that_changes_while_it_is_read_gives_no_map(server, on_disk, tmp_path, capfd):
    server.content = (on_disk / "a.tif").read_bytes()

    def change():
        server.content, server.etag = (on_disk / "other.tif").read_bytes(), '"two"'

    with pytest.raises(PlanChangedError, match=r"a\.tif changed while the run went on"):
        interrupted(server, on_disk, tmp_path / "out", change)
    assert mapped(server.url, on_disk, tmp_path / "out") == 5  # what is done is of another scene
    assert not (tmp_path / "out/classes.tif").exists()


def test_a_file_that_changes_once_it_is_opened_gives_no_map(server, on_disk, tmp_path):
    server.content = (on_disk / "a.tif").read_bytes()
    open_scene(server.url)
    server.content, server.etag = (on_disk / "other.tif").read_bytes(), '"two"'
    assert mapped(server.url, on_disk, tmp_path / "out") == 5
    assert not (tmp_path / "out/classes.tif").exists()


def test_a_server_that_goes_in_the_middle_is_code_75_and_the_run_goes_on(server, on_disk, tmp_path):
    server.content = (on_disk / "a.tif").read_bytes()
    with pytest.raises(TryAgainError, match="run the same command again"):
        interrupted(server, on_disk, tmp_path / "out", lambda: setattr(server, "gone", True))
    server.gone = False
    assert mapped(server.url, on_disk, tmp_path / "out") == 0
    assert (tmp_path / "out/classes.tif").read_bytes() == (on_disk / "map/classes.tif").read_bytes()


def test_what_is_not_there_is_refused(server):
    gone = server.url.replace(".tif", ".jpg")
    with pytest.raises(InputError, match=r"not there \(HTTP 404\)"):
        open_scene(gone)
    with pytest.raises(InputError, match="not there"):
        stamps([gone])


def test_an_archive_is_asked_for_as_a_whole():
    assert remote.URL.search("/vsizip//vsicurl/https://a.org/b.zip/c.tif")[0] == "https://a.org/b.zip"
    assert remote.stamp("s3://bucket/a.tif") == ["s3://bucket/a.tif"]
