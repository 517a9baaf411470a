"""Scenes placed by ground control points or in another CRS: as GDAL warps them, the same bytes for every chunk."""

import hashlib

import numpy as np
import pytest
import rasterio
from affine import Affine
from conftest import write_bundle
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.enums import Resampling
from rasterio.rpc import RPC
from rasterio.warp import reproject

import geoseg
from geoseg.errors import ConfigError, InputError, OutputError
from geoseg.models.spec import Architecture, Channel, Normalisation
from geoseg.scenes import reading, warped
from geoseg.scenes.open import open_scene
from geoseg.scenes.reading import read
from geoseg.values.bands import BandSet
from geoseg.values.box import Box

UTM, DEGREES = "EPSG:32632", "EPSG:4326"
SHAPE = (150, 210)
TURNED = Affine(10, 0, 6e5, 0, -10, 5e6) @ Affine.rotation(12)
IN_DEGREES = Affine(1e-4, 0, 9.9, 0, -1e-4, 45.1)
pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")


def write(path, data, *, crs=UTM, transform=TURNED, points=0, **profile):
    """Write (C, H, W) data, placed by ``transform``, or by so many ground control points that agree with it."""
    place = {} if points or "rpcs" in profile else {"crs": crs, "transform": transform}
    with rasterio.open(
        path, "w", driver="GTiff", count=len(data), height=data.shape[1], width=data.shape[2], dtype=data.dtype,
        **place, **profile,
    ) as dst:  # fmt: skip
        dst.write(data)
        if points:
            dst.gcps = (control_points(data.shape[1:], transform, points), CRS.from_string(crs))
    return path


def control_points(shape, transform, count):
    places = np.random.default_rng(count).uniform(0, 1, (count, 2)) * shape
    return [GroundControlPoint(r, c, *(transform @ (c, r))) for r, c in places.tolist()]


def smooth(dtype="uint8", bands=1):
    rows, cols = np.mgrid[: SHAPE[0], : SHAPE[1]]
    wave = 120 + 60 * np.sin(rows / 17) + 50 * np.cos(cols / 23)
    return np.stack([wave + 7 * b for b in range(bands)]).astype(dtype)


# A camera far above: lines go down with latitude, samples up with longitude, both lean with height.
RPCS = RPC(
    height_off=100, height_scale=500, lat_off=45.0, lat_scale=0.02, line_off=75, line_scale=80, long_off=9.0,
    long_scale=0.03, samp_off=105, samp_scale=110, line_num_coeff=[0, 0.02, -1, 0.1, *[0] * 16],
    line_den_coeff=[1, *[0] * 6, 1e-3, *[0] * 12], samp_num_coeff=[0, 1, 0.03, -0.2, *[0] * 16],
    samp_den_coeff=[1, 0, 1e-3, *[0] * 17], err_bias=None, err_rand=None,
)  # fmt: skip
CASES = {
    "ground control points": {"points": 7},
    "turned": {},
    "degrees": {"crs": DEGREES, "transform": IN_DEGREES},
    "RPCs": {"rpcs": RPCS},
}


@pytest.mark.parametrize("rule", ["nearest", "bilinear"])
@pytest.mark.parametrize("case", CASES)
def test_pixels_are_those_of_gdal(tmp_path, case, rule):
    data = smooth("float32")
    path = write(tmp_path / "a.tif", data, **CASES[case])
    scene = open_scene(path, warp_to=UTM, resampling=rule, height=300.0)
    raster = read(scene, scene.grid.box)
    with rasterio.open(path) as src:
        place = {"gcps": src.gcps[0]} if src.gcps[0] else {"src_transform": src.transform}
        place = {"rpcs": src.rpcs, "RPC_HEIGHT": 300} if src.rpcs else place
        theirs, _ = reproject(
            data[0],
            np.full(scene.grid.shape, -1, "float32"),
            **place,
            src_crs=src.gcps[1] or src.crs or DEGREES,
            src_nodata=-1,
            dst_crs=UTM,
            dst_transform=scene.grid.transform,
            dst_nodata=-1,
            resampling=Resampling[rule],
            tolerance=0,  # exact places
            XSCALE=1,  # no wider kernel where the file's pixels are a little smaller
            YSCALE=1,
        )
    known = theirs != -1
    assert (raster.valid == known).mean() > 0.999
    both = raster.valid & known
    assert both.sum() > 0.5 * both.size
    off = np.abs(raster.data[0] - theirs)[both]
    assert (off == 0).mean() > 0.999


@pytest.mark.parametrize("case", CASES)
def test_every_box_gives_the_same_pixels(tmp_path, monkeypatch, case):
    path = write(tmp_path / "a.tif", smooth("int16", 2), nodata=200, **CASES[case])
    dem = write(tmp_path / "dem.tif", smooth("int16"), crs=DEGREES, transform=Affine(4e-4, 0, 8.96, 0, -4e-4, 45.03))
    scene = open_scene(path, warp_to=UTM, dem=dem)
    assert (str(dem) in scene.inputs) == (case == "RPCs")
    whole = read(scene, scene.grid.box)
    monkeypatch.setattr(reading, "BLOCK_PX", 37)
    rng = np.random.default_rng(1)
    for _ in range(10):
        (r0, r1), (c0, c1) = (sorted(rng.choice(n + 1, 2, replace=False).tolist()) for n in scene.grid.shape)
        part = read(scene, Box(r0, c0, r1, c1))
        np.testing.assert_array_equal(part.data, whole.data[:, r0:r1, c0:c1])
        np.testing.assert_array_equal(part.valid, whole.valid[r0:r1, c0:c1])


def test_a_box_that_is_read_in_parts_has_the_same_pixels(tmp_path, monkeypatch):
    scene = open_scene(write(tmp_path / "a.tif", smooth()), warp_to=UTM)
    box = Box(80, 60, 100, 77)
    whole = read(scene, box)
    monkeypatch.setattr(warped, "MOST_TIMES", 1)  # boxes of turned files are split
    parts = read(scene, box)
    np.testing.assert_array_equal(parts.data, whole.data)
    np.testing.assert_array_equal(parts.valid, whole.valid)


@pytest.fixture
def probe(tmp_path):
    """The identity probe for one band of bytes, at any resolution."""
    return write_bundle(
        tmp_path / "probe",
        widths=None,
        arch=Architecture(name="probe-identity"),
        bands=BandSet.parse("red").bands,
        gsd_m=None,
        normalisation=Normalisation(mean=(0.0,), std=(255.0,)),
        channels=(Channel(name="dark", class_id=1), Channel(name="bright", class_id=2)),
    )


def test_chunks_decide_no_byte_of_the_map_of_a_scene_with_control_points(tmp_path, probe):
    rows, cols = np.mgrid[:500, :560]
    data = (120 + 60 * np.sin(rows / 17) + 50 * np.cos(cols / 23)).astype("uint8")[None]
    path = write(tmp_path / "a.tif", data, points=9)
    found = []
    scene = open_scene(path, bands="red", warp_to=UTM)
    assert min(scene.grid.shape) > 512  # several chunks, in both directions
    for chunk_px in (512, 1024):
        options = geoseg.RunOptions(chunk_px=chunk_px, layers=("classes", "probabilities"), device="cpu")
        done = geoseg.predict(scene, probe, tmp_path / f"out{chunk_px}", options=options)
        found.append({n: hashlib.sha256(p.read_bytes()).hexdigest() for n, p in done.paths.items() if n != "run.json"})
        assert "9 ground control points to EPSG:32632 (bilinear)" in done.run["plan"]["notes"][0]
    assert len(found[0]) > 1
    assert found[0] == found[1]
    with rasterio.open(done.paths["probabilities.tif"]) as src:
        p, raster = src.read(2), read(scene, scene.grid.box)
        assert (src.crs, src.transform) == (CRS.from_string(UTM), scene.grid.transform)
    np.testing.assert_array_equal(p == 0, ~raster.valid)
    exact = np.rint(raster.data[0] / 255.0 * 254 + 1)
    assert np.abs(p.astype(int) - exact)[raster.valid].max() <= 1


def test_a_job_knows_how_its_scene_was_warped(tmp_path, probe):
    path = write(tmp_path / "a.tif", smooth(), points=7)
    stop = geoseg.RunOptions(device="cpu", shard=(1, 1))
    for rule in ("nearest", "bilinear"):
        scene = open_scene(path, bands="red", warp_to=UTM, resampling=rule)
        if rule == "nearest":
            geoseg.predict(scene, probe, tmp_path / "out", options=stop)
            continue
        with pytest.raises(OutputError, match=r"another plan \(bands changed"):
            geoseg.predict(scene, probe, tmp_path / "out", options=stop)


def test_what_lies_in_the_crs_stays_as_it_is(tmp_path):
    north_up = Affine(10, 0, 6e5, 0, -10, 5e6)
    path = write(tmp_path / "a.tif", smooth(), transform=north_up)
    assert open_scene(path, warp_to=UTM) == open_scene(path)


def test_files_in_several_crs_share_the_grid_of_the_first(tmp_path):
    files = [write(tmp_path / "a_B4.tif", smooth()), write(tmp_path / "b_B8.tif", smooth("uint16"), points=5)]
    scene = open_scene(files, warp_to=UTM)
    raster = read(scene, scene.grid.box)
    assert (len(scene.bands), len(scene.notes)) == (2, 2)
    np.testing.assert_allclose(raster.data[0][raster.valid], raster.data[1][raster.valid], atol=1)


def test_a_file_over_the_antimeridian(tmp_path):
    path = write(tmp_path / "a.tif", smooth(), crs=DEGREES, transform=Affine(1e-3, 0, 179.9, 0, -1e-3, -17))
    scene = open_scene(path, warp_to="EPSG:32760")
    assert read(scene, scene.grid.box).valid.mean() > 0.9


@pytest.mark.parametrize(
    ("given", "error", "told"),
    [
        ({"warp_to": "EPSG:nowhere"}, ConfigError, "--warp-to EPSG:nowhere: not a CRS"),
        ({"warp_to": UTM, "resampling": "average"}, ConfigError, "nearest or bilinear"),
        ({"warp_to": "EPSG:4978"}, InputError, "places nothing on the Earth"),
        ({"warp_to": 'LOCAL_CS["site",UNIT["metre",1]]'}, InputError, "."),
    ],
)
def test_what_cannot_be_warped_to_is_refused(tmp_path, given, error, told):
    with pytest.raises(error, match=told):
        open_scene(write(tmp_path / "a.tif", smooth()), **given)


def test_heights_of_a_raster_are_those_of_each_place(tmp_path):
    path = write(tmp_path / "a.tif", smooth(), rpcs=RPCS)
    flat = np.full((1, 200, 200), 250, "float32")
    dem = write(tmp_path / "dem.tif", flat, crs=DEGREES, transform=Affine(4e-4, 0, 8.96, 0, -4e-4, 45.04))
    by_raster, by_number = open_scene(path, warp_to=UTM, dem=dem), open_scene(path, warp_to=UTM, height=250.0)
    assert by_raster.grid.same_as(by_number.grid)
    box = by_number.grid.box
    np.testing.assert_array_equal(read(by_raster, box).data, read(by_number, box).data)
    with pytest.raises(ConfigError, match="give one of them"):
        open_scene(path, warp_to=UTM, dem=dem, height=1.0)
    with pytest.raises(InputError, match=r"--warp-to EPSG:32632 --dem heights\.tif \(or --height 120\)"):
        open_scene(path)


def test_points_that_place_nothing_are_refused(tmp_path):
    line = [GroundControlPoint(i * 10, i * 10, 6e5 + i, 5e6 + i) for i in range(5)]
    path = write(tmp_path / "a.tif", smooth(), points=3)
    with rasterio.open(path, "r+") as dst:
        dst.gcps = (line, CRS.from_string(UTM))
    with pytest.raises(InputError, match="lead to no grid"):
        open_scene(path, warp_to=UTM)
