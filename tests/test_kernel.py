"""The chunk task with plain functions as networks: the same bytes for every chunking, engine and order."""

import numpy as np
import pytest
import rasterio
from affine import Affine

from geoseg.bands import Band
from geoseg.classes import ClassInfo
from geoseg.engine.engines import ChunkFailure, SyncEngine, ThreadsEngine
from geoseg.engine.job import Job
from geoseg.engine.kernel import ChunkResult, compute_chunk, read_chunk
from geoseg.errors import ModelError
from geoseg.io.source import open_scene
from geoseg.model.bundle import ModelBundle
from geoseg.model.spec import Architecture, Channel, ModelSpec, Normalisation, Weights
from geoseg.polygons.runs import threshold_byte
from geoseg.tiling.plan import WindowGrid
from geoseg.tiling.resample import Resampling

SPEC = ModelSpec(
    name="probe",
    arch=Architecture(name="compact-unet"),
    bands=(Band("a"),),
    gsd_m=None,
    normalisation=Normalisation(mean=(0.0,), std=(255.0,)),
    window_px=64,
    margin_px=8,
    ramp_px=16,
    channels=(Channel(name="rest", class_id=1), Channel(name="inside", class_id=2), Channel(name="edge", class_id=2)),
    classes=(ClassInfo(1, "background", (0, 0, 0)), ClassInfo(2, "building", (255, 0, 0))),
    polygon_class="building",
)


def identity(windows):
    """p(building) = the pixel, half of it in each of the two building channels."""
    p = windows[:, :1]
    return np.concatenate([1 - p, p / 2, p / 2], 1)


def blur(windows):
    """A network with context: the mean over 5 x 5 px, seen badly at window edges."""
    from scipy.ndimage import uniform_filter

    p = uniform_filter(windows[:, :1], (1, 1, 5, 5), mode="constant")
    return np.concatenate([1 - p, p / 2, p / 2], 1)


@pytest.fixture
def scene_file(tmp_path):
    rng = np.random.default_rng(5)
    pixels = rng.integers(1, 256, (1, 150, 231), np.uint8)
    pixels[:, 30:100, 60:170] = 0  # a hole larger than a window's core
    path = tmp_path / "scene.tif"
    with rasterio.open(
        path, "w", driver="GTiff", height=150, width=231, count=1, dtype="uint8", nodata=0, tiled=True,
        blockxsize=64, blockysize=64, crs="EPSG:32633", transform=Affine(1, 0, 5e5, 0, -1, 5e6),
    ) as dst:  # fmt: skip
        dst.write(pixels)
    return path, pixels


def make_job(path, *, chunk_px, working=None, batch=3, tta="none"):
    scene = open_scene(path, bands="a")
    resampling = Resampling(scene.grid.shape, working or scene.grid.shape)
    windows = WindowGrid.fit(resampling.working_shape, window=64, margin=8, ramp=16, multiple=32)
    bundle = ModelBundle("", SPEC, Weights(sha256="", bytes=0), "digest")
    layers = ("classes", "confidence", "probability_building")
    return Job(scene, bundle, windows, resampling, chunk_px, batch, tta, "cpu", "fp32", "test", 0.5, layers)


def run(job, forward, engine):
    out = {name: np.zeros(job.scene.grid.shape, np.uint8) for name in job.layers}
    records = []

    def commit(result: ChunkResult):
        for name, layer in result.layers.items():
            out[name][result.record.box.within(job.scene.grid.box)] = layer
        return result.record

    for outcome in engine.run(job, job.chunks(), forward=forward, commit=commit):
        assert not isinstance(outcome, ChunkFailure), outcome.error
        records.append(outcome)
    return out, records


@pytest.mark.parametrize("working", [None, (75, 116), (301, 470), (75, 470)])
@pytest.mark.parametrize("forward", [identity, blur])
def test_chunking_engine_and_batch_change_no_byte(scene_file, working, forward):
    path, _ = scene_file
    expected, _ = run(make_job(path, chunk_px=512, working=working), forward, SyncEngine())
    for chunk_px, batch, engine in [
        (64, 1, SyncEngine()),
        (37, 4, ThreadsEngine(lanes=3)),
        (100, 2, ThreadsEngine(lanes=1)),
    ]:
        found, _ = run(make_job(path, chunk_px=chunk_px, working=working, batch=batch), forward, engine)
        for name, layer in expected.items():
            np.testing.assert_array_equal(found[name], layer, err_msg=f"{name}, chunks of {chunk_px}")


def test_identity_comes_back_with_exact_nodata(scene_file):
    path, pixels = scene_file
    found, records = run(make_job(path, chunk_px=64), identity, SyncEngine())
    valid = pixels[0] > 0
    p = pixels[0] / 255
    np.testing.assert_array_equal(found["probability_building"] > 0, valid)
    assert np.abs((found["probability_building"][valid] - 1.0) / 254 - p[valid]).max() <= 0.5 / 254 + 2**-17
    np.testing.assert_array_equal(found["classes"][~valid], 0)
    inside = found["probability_building"] >= threshold_byte(0.5)
    np.testing.assert_array_equal(found["classes"][valid], np.where(inside, 2, 1)[valid])
    assert sum(r.valid_px for r in records) == valid.sum()
    assert sum(sum(r.class_px.values()) for r in records) == valid.sum()


def test_windows_without_a_valid_pixel_are_skipped(scene_file, tmp_path):
    path, pixels = scene_file
    with rasterio.open(path, "r+") as dst:
        pixels[:, :, :140] = 0
        dst.write(pixels)
    _, records = run(make_job(path, chunk_px=512), identity, SyncEngine())
    assert records[0].skipped > 0
    assert records[0].windows > 0


def test_resampled_runs_mask_like_the_scene(scene_file):
    path, pixels = scene_file
    for working in [(75, 116), (301, 470)]:
        found, _ = run(make_job(path, chunk_px=64, working=working), identity, SyncEngine())
        np.testing.assert_array_equal(found["classes"] > 0, pixels[0] > 0)


def test_constant_network_is_exact_everywhere(scene_file):
    path, pixels = scene_file

    def constant(windows):
        p = np.full((len(windows), 1, *windows.shape[2:]), 0.1, np.float32)
        return np.concatenate([3 * p, 3 * p, 4 * p], 1)

    for working in [None, (75, 116), (301, 470)]:
        found, _ = run(make_job(path, chunk_px=100, working=working), constant, SyncEngine())
        assert set(np.unique(found["probability_building"][pixels[0] > 0])) == {1 + round(0.7 * 254)}


def test_nan_from_the_network_fails_the_chunk_and_not_the_map(scene_file):
    path, _ = scene_file
    job = make_job(path, chunk_px=512)

    def nan(windows):
        return np.full((len(windows), 3, *windows.shape[2:]), np.nan, np.float32)

    for engine in (SyncEngine(), ThreadsEngine(lanes=2)):
        outcomes = list(engine.run(job, job.chunks(), forward=nan, commit=lambda result: result.record))
        assert [type(o) for o in outcomes] == [ChunkFailure]
        assert isinstance(outcomes[0].error, ModelError)
        assert not outcomes[0].reading


def test_a_chunk_alone_equals_its_part_of_the_whole(scene_file):
    path, _ = scene_file
    whole, _ = run(make_job(path, chunk_px=512), blur, SyncEngine())
    job = make_job(path, chunk_px=50)
    chunk_id, box = list(job.chunks())[7]
    result = compute_chunk(job, chunk_id, box, block=read_chunk(job, box), forward_all=lambda b: map(blur, b))
    np.testing.assert_array_equal(result.layers["classes"], whole["classes"][box.within(job.scene.grid.box)])


@pytest.mark.parametrize("tta", ["rotate", "d4"])
def test_views_are_averaged_per_window_whatever_the_chunks(scene_file, tta):
    path, _ = scene_file

    def lopsided(windows):
        """A network that moves its input by three columns: turned views must come back turned."""
        p = np.roll(windows[:, :1], 3, axis=3)
        return np.concatenate([1 - p, p / 2, p / 2], 1)

    whole, _ = run(make_job(path, chunk_px=512, tta=tta), lopsided, SyncEngine())
    parts, _ = run(make_job(path, chunk_px=70, tta=tta, batch=2), lopsided, ThreadsEngine(lanes=2))
    plain, _ = run(make_job(path, chunk_px=512), lopsided, SyncEngine())
    for name, layer in whole.items():
        np.testing.assert_array_equal(parts[name], layer)
    assert (whole["confidence"] != plain["confidence"]).any()
    still, _ = run(make_job(path, chunk_px=512, tta=tta), identity, SyncEngine())
    once, _ = run(make_job(path, chunk_px=512), identity, SyncEngine())
    np.testing.assert_array_equal(still["classes"], once["classes"])  # an equivariant network gains nothing
