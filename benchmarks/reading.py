"""How busy networks stay while scenes of several layouts are read: from files, and from a server that answers late.

    python benchmarks/reading.py [--side 3072] [--seconds 0.13] [--latency 0.05] [--chunk-px 512] [--layouts tiles ...]

The network waits ``--seconds`` in each call, by default what a window of 512 x 512 px takes land-cover on one core, and
computes nothing: so what is missing to 100 % is reading, and the work beside the network. Share of the lanes' time that
is spent in the network from its first call to its last; how long the run has waited for pixels in all; and the CPU
seconds of the whole run, of which decoding differs by layout, and which other programs hardly change.
"""

import argparse
import os
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from unittest.mock import patch

import machine
import numpy as np
import rasterio
import stubs
from affine import Affine

from geoseg import RunOptions, predict
from geoseg.executors.threads import usable_cpus
from geoseg.jobs import predict as run

TILES = {"driver": "GTiff", "tiled": True, "blockxsize": 512, "blockysize": 512, "compress": "deflate"}
LAYOUTS: dict[str, dict[str, object]] = {
    "tiles, by pixel": {**TILES, "interleave": "pixel"},
    "tiles, by band": {**TILES, "interleave": "band"},
    "strips, by pixel": {"driver": "GTiff", "tiled": False, "compress": "deflate", "interleave": "pixel"},
    "strips, by band": {"driver": "GTiff", "tiled": False, "compress": "deflate", "interleave": "band"},
    "one strip a row, LZW": {"driver": "GTiff", "tiled": False, "blockysize": 1, "compress": "lzw"},
    "JPEG in tiles": {**TILES, "compress": "jpeg", "photometric": "ycbcr"},
    "JPEG 2000": {"driver": "JP2OpenJPEG"},
}
REMOTE = ("tiles, by pixel", "tiles, by band")  # as a server is asked for


def write(path: Path, side: int, options: dict[str, object]) -> None:
    """Write fields of texture: what compresses as images do, not as noise or as nothing."""
    rng = np.random.default_rng(0)
    fields = rng.integers(40, 200, (3, side // 64, side // 64)).astype(np.float32).repeat(64, 1).repeat(64, 2)
    pixels = (fields + 8 * rng.standard_normal(fields.shape, np.float32)).clip(1, 255).astype(np.uint8)
    place = {"crs": "EPSG:32633", "transform": Affine(1, 0, 4e5, 0, -1, 5e6)}
    shape = {"count": 3, "height": side, "width": side, "dtype": "uint8"}
    with rasterio.open(path, "w", **options, **shape, **place) as out:
        out.write(pixels)


@contextmanager
def served(folder: Path, latency: float) -> Iterator[str]:
    """Serve the files of a folder by ranges, each answer ``latency`` seconds late; yields the address."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            time.sleep(latency)
            path = folder / Path(self.path).name
            if not path.exists():
                self.send_error(404)
                return
            content = path.read_bytes()
            first, last = 0, len(content) - 1
            asked = self.headers.get("Range", "").removeprefix("bytes=")
            if asked:
                low, _, high = asked.partition("-")
                first, last = int(low), min(last, int(high or last))
            self.send_response(206 if asked else 200)
            self.send_header("Accept-Ranges", "bytes")
            self.send_header("Content-Length", str(last + 1 - first))
            if asked:
                self.send_header("Content-Range", f"bytes {first}-{last}/{len(content)}")
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(content[first : last + 1])

        def do_HEAD(self) -> None:
            self.do_GET()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"/vsicurl/http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()


def busy(scene: str, out: Path, seconds: float, chunk_px: int | None = None) -> tuple[float, float, float, int]:
    """Return the networks' share of the lanes' time, seconds waited for pixels, CPU seconds, and how many calls."""
    lanes, spans, lock, waited = usable_cpus(), [], threading.Lock(), {"read": 0.0}
    answer = partial(stubs.answer, seconds)

    def timed(member: int, windows: np.ndarray):
        began = time.perf_counter()
        said = answer(member, windows)
        with lock:
            spans.append((began, time.perf_counter()))
        return said

    def listen(progress: run.Progress) -> None:
        if progress.speed is not None and progress.speed.waited_s:
            waited.update(progress.speed.waited_s)

    used = time.process_time()
    with patch.object(run, "load_networks", lambda _job: timed):
        options = RunOptions(lanes=lanes, memory_bytes=machine.MEMORY_BYTES, chunk_px=chunk_px)
        predict(scene, stubs.BUNDLE, out, options=options, listen=listen)
    used, (begins, ends) = time.process_time() - used, zip(*spans, strict=True)
    return sum(b - a for a, b in spans) / (lanes * (max(ends) - min(begins))), waited["read"], used, len(spans)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=3072)
    parser.add_argument("--seconds", type=float, default=0.13)
    parser.add_argument("--latency", type=float, default=0.05)
    parser.add_argument("--chunk-px", type=int)
    parser.add_argument("--layouts", nargs="+", choices=LAYOUTS, default=list(LAYOUTS))
    asked = parser.parse_args()
    print(machine.describe())
    print("load average before:", *(f"{v:.1f}" for v in os.getloadavg()))
    print("| layout | from | networks busy | waited for pixels, s | CPU s | calls |\n" + "|---" * 6 + "|")
    with tempfile.TemporaryDirectory() as scratch, served(Path(scratch), asked.latency) as address:
        folder = Path(scratch)
        write(folder / "warm.tif", 640, LAYOUTS["tiles, by pixel"])
        busy(str(folder / "warm.tif"), folder / "warm", 0)  # what is loaded once is no reading
        for number, layout in enumerate(asked.layouts):
            name = f"s{number}.jp2" if LAYOUTS[layout]["driver"] != "GTiff" else f"s{number}.tif"
            write(folder / name, asked.side, LAYOUTS[layout])
            places = [("file", str(folder / name))]
            if layout in REMOTE:
                places.append((f"server, {1000 * asked.latency:.0f} ms late", f"{address}/{name}"))
            for place, scene in places:
                share, waited, used, calls = busy(
                    scene, folder / f"out-{number}-{place[:4]}", asked.seconds, asked.chunk_px
                )
                print(f"| {layout} | {place} | {share:.1%} | {waited:.2f} | {used:.2f} | {calls} |", flush=True)


if __name__ == "__main__":
    main()
