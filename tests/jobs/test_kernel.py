"""The chunk task with plain functions as networks: the same bytes for every chunking, engine and order."""

import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine

from geoseg.errors import ModelError
from geoseg.executors.base import Cause, ChunkFailure, ChunkProgress, Platform
from geoseg.executors.threads import SyncEngine, ThreadsEngine
from geoseg.jobs.chunk import ChunkTask
from geoseg.jobs.job import Job
from geoseg.models.backends.base import Answer
from geoseg.models.bundle import ModelBundle
from geoseg.models.spec import Architecture, Channel, ModelSpec, Normalisation, Weights
from geoseg.scenes.aoi import Area
from geoseg.scenes.open import open_scene
from geoseg.tiling.resample import Resampling
from geoseg.tiling.views import TURNS
from geoseg.tiling.windows import WindowGrid
from geoseg.values.bands import Band
from geoseg.values.box import Box
from geoseg.values.classes import ClassInfo
from geoseg.values.layers import class_layer, probability_layer
from geoseg.vector.pixels.runs import threshold_byte

SPEC = ModelSpec(
    name="probe",
    arch=Architecture(name="compact-unet", options={"widths": [8, 16]}),
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


def make_job(path, *, chunk_px, working=None, batch=3, tta="none", members=1, area=None, margin=8, ramp=16):
    scene = open_scene(path, bands="a")
    resampling = Resampling(scene.grid.shape, working or scene.grid.shape)
    windows = WindowGrid.fit(resampling.working_shape, window=64, margin=margin, ramp=ramp, multiple=32)
    bundles = (ModelBundle("", SPEC, Weights(sha256="", bytes=0), "digest"),) * members
    layers = (
        class_layer("classes", SPEC.class_map),
        probability_layer("confidence", ""),
        probability_layer("probability_building", ""),
    )
    return Job(
        scene, bundles, windows, resampling, chunk_px, batch, tta, Platform("cpu", "fp32", "test"), 0.5, layers,
        scene.files, area,
    )  # fmt: skip


class Memory:
    """A store that keeps whole layers."""

    def __init__(self, job):
        self.layers = job.blank(job.scene.grid.shape)

    def sink(self, job, walk):
        return Rows(self.layers, walk.box)


class Rows:
    def __init__(self, layers, box):
        self.layers, self.box, self.row = layers, box, box.row0

    def add(self, rows):
        count = len(rows["classes"])
        for name, layer in self.layers.items():
            layer[self.row : self.row + count, self.box.col0 : self.box.col1] = rows[name]
        self.row += count

    def commit(self, record):
        assert self.row == self.box.row1
        return record


def outcomes_of(job, forward, engine):
    store = Memory(job)
    network = lambda _job: lambda _member, windows: Answer(forward(windows))  # noqa: E731
    return store.layers, [
        o for o in engine.run(ChunkTask(job, network, store), job.chunks()) if not isinstance(o, ChunkProgress)
    ]


def run(job, forward, engine):
    layers, outcomes = outcomes_of(job, forward, engine)
    for outcome in outcomes:
        assert not isinstance(outcome, ChunkFailure), outcome.error
    return layers, outcomes


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
    job = make_job(path, chunk_px=64)
    found, records = run(job, identity, SyncEngine())
    valid = pixels[0] > 0
    p = pixels[0] / 255
    np.testing.assert_array_equal(found["probability_building"] > 0, valid)
    assert np.abs((found["probability_building"][valid] - 1.0) / 254 - p[valid]).max() <= 0.5 / 254 + 2**-17
    np.testing.assert_array_equal(found["classes"][~valid], 0)
    inside = found["probability_building"] >= threshold_byte(0.5)
    np.testing.assert_array_equal(found["classes"][valid], np.where(inside, 2, 1)[valid])
    assert sum(r.class_rows.sum() for r in records) == valid.sum()
    for r in records:
        part = found["classes"][r.box.within(job.scene.grid.box)]
        np.testing.assert_array_equal(r.class_rows, [(part == i).sum(1) for i in (1, 2)])


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
        _, outcomes = outcomes_of(job, nan, engine)
        assert [type(o) for o in outcomes] == [ChunkFailure]
        assert isinstance(outcomes[0].error, ModelError)
        assert outcomes[0].cause is Cause.NETWORK


def test_a_network_that_raises_on_one_chunk_fails_that_chunk_alone(scene_file):
    path, pixels = scene_file
    job = make_job(path, chunk_px=50)
    whole, _ = run(make_job(path, chunk_px=512), identity, SyncEngine())
    mark = pixels[0, 120, 40] / np.float32(255)

    def fragile(windows):
        if (windows[:, :, :, :] == mark).any() and fragile.calls < 1:
            fragile.calls += 1
            raise RuntimeError("no")
        return identity(windows)

    for engine in (SyncEngine(), ThreadsEngine(lanes=2)):
        fragile.calls = 0
        layers, outcomes = outcomes_of(job, fragile, engine)
        failed = [o for o in outcomes if isinstance(o, ChunkFailure)]
        assert [str(f.error) for f in failed] == ["no"]
        assert len(outcomes) == len(list(job.chunks()))
        rest = np.ones(job.scene.grid.shape, bool)
        rest[failed[0].box.within(job.scene.grid.box)] = False
        np.testing.assert_array_equal(layers["classes"][rest], whole["classes"][rest])


@pytest.mark.parametrize("tta", ["rotate", "d4", "flip@0.5,1,1.5"])
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
    if "@" not in tta:
        np.testing.assert_array_equal(still["classes"], once["classes"])  # an equivariant network gains nothing


def test_members_are_averaged_in_probability(scene_file):
    path, _ = scene_file
    job = make_job(path, chunk_px=70, members=2)
    store = Memory(job)

    def forward(member, windows):
        return Answer(identity(windows if member == 0 else 1 - windows))

    outcomes = list(ThreadsEngine(lanes=2).run(ChunkTask(job, lambda _job: forward, store), job.chunks()))
    assert not any(isinstance(o, ChunkFailure) for o in outcomes)
    valid = store.layers["classes"] > 0
    assert set(np.unique(store.layers["probability_building"][valid])) <= {127, 128}


def test_pixels_between_two_windows_without_margin_are_those_of_the_whole_map(scene_file):
    path, _ = scene_file
    plan = {"chunk_px": 512, "working": (75, 116), "margin": 0, "ramp": 0}
    whole, _ = run(make_job(path, **plan), blur, SyncEngine())
    for i in range(125, 131):  # windows end at row and column 128 of the scene
        for line in (shapely.box(0, i, 231, i + 1), shapely.box(i, 0, i + 1, 150)):
            area = Area(shapely.to_wkb(line))
            found, _ = run(make_job(path, **plan, area=area), blur, SyncEngine())
            inside = area.wanted(Box(0, 0, *whole["classes"].shape))
            for name, layer in whole.items():
                np.testing.assert_array_equal(found[name], np.where(inside, layer, 0), err_msg=f"{name}, {line}")


@pytest.mark.parametrize("working", [None, (75, 116), (301, 470)])
def test_inside_an_area_of_interest_the_map_is_the_whole_one_and_outside_nothing_is_run(scene_file, working):
    path, _ = scene_file
    whole, everything = run(make_job(path, chunk_px=64, working=working), blur, SyncEngine())
    polygon = shapely.Polygon([(10.3, 5), (60.5, 12.25), (40, 60.7), (12, 50)])
    area = Area(shapely.to_wkb(polygon))
    inside = area.wanted(Box(0, 0, *whole["classes"].shape))
    assert 0 < inside.sum() < inside.size / 10
    for chunk_px in (37, 64, 512):
        found, records = run(make_job(path, chunk_px=chunk_px, working=working, area=area), blur, SyncEngine())
        for name, layer in whole.items():
            np.testing.assert_array_equal(found[name], np.where(inside, layer, 0), err_msg=name)
        windows = sum(r.windows for r in records)
        assert windows < sum(r.windows for r in everything) / 2 or chunk_px == 37


@pytest.mark.parametrize("shape", [(1, 1, 1, 7), (1, 1, 7, 1), (2, 3, 1, 1)])
def test_views_of_one_row_or_column_are_arrays_that_torch_takes(shape):
    torch = pytest.importorskip("torch")
    batch = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    for view in TURNS["d4"]:
        seen = view.apply(batch)
        torch.from_numpy(seen)
        assert (view.undo(seen) == batch).all()
        assert min(view.undo(seen).strides) >= 0
