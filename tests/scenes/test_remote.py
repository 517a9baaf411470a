"""Rasters behind URLs: the same pixels as from disk, tries again, and one line when the network is gone."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from conftest import write_tif

from geoseg.cli import main
from geoseg.errors import InputError, TryAgainError
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
        if server.busy and server.asked % 3 == 0:
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
    made.etag, made.asked, made.busy = '"one"', 0, False
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
    assert "cannot be fetched" in line
    assert "run the same command again" in line


def test_what_is_not_there_is_refused(server):
    gone = server.url.replace(".tif", ".jpg")
    with pytest.raises(InputError, match=r"cannot be fetched .*404"):
        open_scene(gone)
    with pytest.raises(InputError, match="not there"):
        stamps([gone])


def test_an_archive_is_asked_for_as_a_whole():
    assert remote.URL.search("/vsizip//vsicurl/https://a.org/b.zip/c.tif")[0] == "https://a.org/b.zip"
    assert remote.stamp("s3://bucket/a.tif") == ["s3://bucket/a.tif"]
