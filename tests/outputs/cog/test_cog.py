import os
import subprocess
import sys
from pathlib import Path
from typing import IO

import numpy as np
import pytest
import rasterio
from affine import Affine
from conftest import largest_file
from make_outputs import CLASSES, GRID, LAYERS, layers_of, write_parts
from rasterio.crs import CRS
from rio_cogeo.cogeo import cog_validate

from geoseg import __version__
from geoseg.errors import OutputError
from geoseg.outputs.cog.cog import assemble
from geoseg.values.box import Box
from geoseg.values.grid import Grid

CLASS_BAND, CONFIDENCE = {0: LAYERS[0]}, {1: LAYERS[1]}


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> dict[Box, Path]:
    return write_parts(tmp_path_factory.mktemp("parts"), GRID, layers_of(GRID), chunk_px=512)


def test_classes_come_back_with_names_colours_and_tags(parts: dict[Box, Path], tmp_path: Path) -> None:
    path = tmp_path / "classes.tif"
    assemble(parts, GRID, CLASS_BAND, path, tags={"GEOSEG_MODEL": "m"})
    assert [p.name for p in tmp_path.iterdir()] == ["classes.tif"]
    assert cog_validate(path, strict=True, quiet=True)[0]
    with rasterio.open(path) as cog:
        np.testing.assert_array_equal(cog.read(1), layers_of(GRID)["classes"])
        assert Grid(cog.crs, cog.transform, cog.shape).same_as(GRID)
        assert cog.nodata == 0
        assert cog.descriptions == ("classes",)
        assert cog.tags() == {
            "AREA_OR_POINT": "Area",
            "TIFFTAG_SOFTWARE": f"geoseg {__version__}",
            "GEOSEG_MODEL": "m",
        }
        for c in CLASSES:
            assert cog.colormap(1)[c.id] == (*c.color, 255)
            assert cog.tags(1)[f"CLASS_{c.id}"] == c.name


def test_bytes_do_not_depend_on_the_chunks(parts: dict[Box, Path], tmp_path: Path) -> None:
    other = write_parts(tmp_path / "other", GRID, layers_of(GRID), chunk_px=1024)
    for band in (CLASS_BAND, CONFIDENCE):
        assemble(parts, GRID, band, tmp_path / "a.tif", tags={})
        assemble(dict(reversed(other.items())), GRID, band, tmp_path / "b.tif", tags={})
        assert (tmp_path / "a.tif").read_bytes() == (tmp_path / "b.tif").read_bytes()


def test_overviews_of_classes_are_modes(parts: dict[Box, Path], tmp_path: Path) -> None:
    assemble(parts, GRID, CLASS_BAND, tmp_path / "c.tif", tags={})
    cells = layers_of(GRID)["classes"].reshape(GRID.height // 2, 2, GRID.width // 2, 2).transpose(0, 2, 1, 3)
    cells = cells.reshape(*cells.shape[:2], 4)
    with rasterio.open(tmp_path / "c.tif", overview_level=0) as overview:
        got = overview.read(1)
    votes = (cells == got[..., None]).sum(-1)
    for value in (1, 2, 4):
        assert (votes >= (cells == value).sum(-1)).all()  # no class has more votes than the one that is shown
    np.testing.assert_array_equal(got == 0, (cells == 0).all(-1))


def test_overviews_of_probabilities_are_averages_of_what_is_known(parts: dict[Box, Path], tmp_path: Path) -> None:
    assemble(parts, GRID, CONFIDENCE, tmp_path / "c.tif", tags={})
    cells = layers_of(GRID)["confidence"].reshape(GRID.height // 2, 2, GRID.width // 2, 2).astype(float)
    known = (cells > 0).sum((1, 3))
    with rasterio.open(tmp_path / "c.tif", overview_level=0) as overview:
        got = overview.read(1)
    np.testing.assert_array_equal(got == 0, known == 0)
    mean = cells.sum((1, 3)) / np.maximum(known, 1)
    assert np.abs(got - mean).max() <= 0.5


def test_several_probabilities_share_one_file(parts: dict[Box, Path], tmp_path: Path) -> None:
    layers = {1: LAYERS[1], 2: LAYERS[2]}
    assemble(parts, GRID, layers, tmp_path / "p.tif", tags={})
    assert cog_validate(tmp_path / "p.tif", strict=True, quiet=True)[0]
    with rasterio.open(tmp_path / "p.tif") as cog:
        assert cog.descriptions == ("confidence", "probability_building")
        assert cog.interleaving.name == "band"
        expected = layers_of(GRID)
        np.testing.assert_array_equal(cog.read(), [expected["confidence"], expected["probability_building"]])
        for scale, offset in zip(cog.scales, cog.offsets, strict=True):
            np.testing.assert_allclose([1 * scale + offset, 255 * scale + offset], [0, 1], atol=1e-12)


@pytest.mark.parametrize("missing", [True, False])
def test_parts_must_cover_every_pixel_once(parts: dict[Box, Path], tmp_path: Path, missing: bool) -> None:
    boxes = dict(parts)
    path = boxes.pop(Box(0, 512, 512, 1024))
    if not missing:
        boxes[Box(0, 500, 512, 1024)] = path
    with pytest.raises(OutputError, match="exactly once"):
        assemble(boxes, GRID, CLASS_BAND, tmp_path / "c.tif", tags={})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("position", [-3000, 0.5, 0.9])
def test_damaged_part_is_an_error_that_names_it(parts: dict[Box, Path], tmp_path: Path, position: float) -> None:
    bad = tmp_path / "bad.tif"
    first, path = next(iter(parts.items()))
    data = bytearray(path.read_bytes())
    if position < 0:
        del data[int(position) :]
    else:
        data[int(position * len(data))] ^= 1
    bad.write_bytes(data)
    layers = {1: LAYERS[1], 2: LAYERS[2]}
    with pytest.raises(OutputError, match=r"bad\.tif.*damaged"):
        assemble({**parts, first: bad}, GRID, layers, tmp_path / "c.tif", tags={})
    assert [p.name for p in tmp_path.iterdir()] == ["bad.tif"]


def test_what_the_disk_changes_is_caught(
    parts: dict[Box, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = Path.open

    def damaged(path: Path, how: str = "r", **more: object) -> IO:
        if path.name == "c.tif" and how == "rb":
            with opened(path, "r+b") as file:
                file.seek(-100, os.SEEK_END)
                file.write(b"x")
        return opened(path, how, **more)

    monkeypatch.setattr(Path, "open", damaged)
    with pytest.raises(OutputError, match=r"c\.tif.*reads back differently"):
        assemble(parts, GRID, CLASS_BAND, tmp_path / "c.tif", tags={})
    assert list(tmp_path.iterdir()) == []


def test_full_disk_is_an_error_and_leaves_nothing(parts: dict[Box, Path], tmp_path: Path) -> None:
    with largest_file(50_000), pytest.raises(OutputError, match=r"c\.tif"):
        assemble(parts, GRID, CONFIDENCE, tmp_path / "c.tif", tags={})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("crs", "transform"),
    [
        ("EPSG:4326", Affine(1e-5, 0, 10, 0, -1e-5, 50)),
        ("EPSG:25832+5783", Affine(1, 0, 500_000, 0, -1, 5.5e6)),  # with heights
        ("EPSG:2263", Affine(1, 0, 1e6, 0, -1, 2e5)),  # US feet
        ("+proj=laea +lat_0=10 +lon_0=20 +ellps=WGS84", Affine(1, 0, 5, 0, -1, 5)),
        ("EPSG:32633", Affine(0.3, 0.1, 500_000, 0.1, -0.3, 5.4e6)),  # rotated
        ("EPSG:32633", Affine(0.3, 0, 500_000, 0, 0.3, 5.4e6)),  # south up
    ],
)
def test_place_survives_whatever_the_crs(tmp_path: Path, crs: str, transform: Affine) -> None:
    grid = Grid(CRS.from_user_input(crs), transform, (17, 31))
    parts = write_parts(tmp_path / "parts", grid, {"classes": np.ones(grid.shape, np.uint8)}, chunk_px=512)
    assemble(parts, grid, CLASS_BAND, tmp_path / "c.tif", tags={})
    with rasterio.open(tmp_path / "c.tif") as cog:
        assert Grid(cog.crs, cog.transform, cog.shape).same_as(grid)
    assert cog_validate(tmp_path / "c.tif", strict=True, quiet=True)[0]


def test_crs_that_no_geotiff_can_hold_is_refused(tmp_path: Path) -> None:
    rotated_pole = "+proj=ob_tran +o_proj=longlat +o_lon_p=0 +o_lat_p=39 +lon_0=18 +ellps=WGS84"
    grid = Grid(CRS.from_user_input(rotated_pole), Affine(1e-3, 0, 0, 0, -1e-3, 0), (17, 31))
    parts = write_parts(tmp_path / "parts", grid, {"classes": np.ones(grid.shape, np.uint8)}, chunk_px=512)
    with pytest.raises(OutputError, match="reproject"):
        assemble(parts, grid, CLASS_BAND, tmp_path / "c.tif", tags={})


MEMORY_SCRIPT = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
import numpy as np
from make_outputs import GRID, LAYERS, write_parts
from geoseg.values.grid import Grid
from geoseg.outputs.cog import cog
side, folder = int(sys.argv[1]), Path(sys.argv[2])
grid = Grid(GRID.crs, GRID.transform, (side, side))
layer = np.tile(np.array([[1, 1, 2, 4]], np.uint8), (side, side // 4))
parts = write_parts(folder / "parts", grid, {{"classes": layer}}, chunk_px=2048)
del layer
Path("/proc/self/clear_refs").write_text("5")  # forget the peak of making the scene
cog.assemble(parts, grid, {{0: LAYERS[0]}}, folder / "c.tif", tags={{}})
status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
print(int(status["VmHWM"].split()[0]) // 1024)
"""


@pytest.mark.memory
@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="peak memory is read from Linux's /proc")
def test_memory_does_not_grow_with_the_scene(tmp_path: Path) -> None:
    script = MEMORY_SCRIPT.format(tests=str(Path(__file__).parents[2]))
    peaks = []
    for side in (3072, 6144):  # 9 and 38 MB of pixels
        folder = tmp_path / str(side)
        folder.mkdir()
        done = subprocess.run(
            [sys.executable, "-c", script, str(side), str(folder)],
            capture_output=True, text=True, check=True, cwd=Path(__file__).parents[3],
        )  # fmt: skip
        peaks.append(int(done.stdout))
    assert peaks[1] <= peaks[0] + 7, peaks  # MB: a quarter of the pixels that are more
