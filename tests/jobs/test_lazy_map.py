"""The lazy map equals the run's rasters byte for byte, computes what is looked at, and builds without the model."""

import pickle

import dask
import numpy as np
import pytest
import rasterio
import xarray as xr
from affine import Affine

import geoseg
from geoseg import RunOptions
from geoseg.errors import ConfigError, PlanChangedError
from geoseg.jobs import lazy
from geoseg.models.bundle import ModelBundle

CHUNK_PX = 512
OPTIONS = RunOptions(chunk_px=CHUNK_PX, device="cpu")


@pytest.fixture(scope="module")
def scene_file(tmp_path_factory):
    """600 x 1100 px with a hole of nodata: chunks of 512 px make 2 x 3, some of them thin."""
    pixels = np.random.default_rng(1).integers(1, 255, (3, 600, 1100), np.uint8)
    pixels[:, 400:560, 300:700] = 0
    path = tmp_path_factory.mktemp("scene") / "scene.tif"
    with rasterio.open(
        path, "w", driver="GTiff", height=600, width=1100, count=3, dtype="uint8", nodata=0, tiled=True,
        crs="EPSG:32645", transform=Affine(0.5, 0, 3e5, 0, -0.5, 3.06e6), photometric="RGB",
    ) as dst:  # fmt: skip
        dst.write(pixels)
    return path


@pytest.fixture(scope="module")
def run(scene_file, tiny_bundle, tmp_path_factory):
    """A run with one chunk for all: the lazy one has six."""
    options = RunOptions(chunk_px=2048, probabilities=True, device="cpu")
    return geoseg.predict(scene_file, tiny_bundle, tmp_path_factory.mktemp("run") / "out", options=options)


@pytest.fixture
def chunks_run(monkeypatch):
    """The boxes of the chunks that are computed, as they are."""
    boxes = []

    def counted(job, box, compute=lazy.compute_chunk):
        boxes.append(box)
        return compute(job, box)

    monkeypatch.setattr(lazy, "compute_chunk", counted)
    return boxes


@pytest.mark.parametrize("scheduler", ["threads", "sync"])
def test_it_is_the_raster_of_a_run(scene_file, tiny_bundle, run, scheduler):
    lazy_map = geoseg.lazy_map(scene_file, tiny_bundle, options=OPTIONS)
    written = run.to_xarray("classes")
    assert (lazy_map.name, lazy_map.dims, lazy_map.dtype, lazy_map.rio.nodata) == ("classes", ("y", "x"), np.uint8, 0)
    assert lazy_map.chunks == ((512, 88), (512, 512, 76))
    assert (lazy_map.rio.crs, lazy_map.rio.transform()) == (written.rio.crs, written.rio.transform())
    with dask.config.set(scheduler=scheduler):
        np.testing.assert_array_equal(lazy_map.values, written.values)
    xr.testing.assert_allclose(lazy_map.x, written.x, rtol=0, atol=1e-9)
    xr.testing.assert_allclose(lazy_map.y, written.y, rtol=0, atol=1e-9)


def test_predict_without_a_folder_is_the_same_map(scene_file, tiny_bundle):
    own, old = (call(scene_file, tiny_bundle, options=OPTIONS) for call in (geoseg.lazy_map, geoseg.predict))
    assert own.data.name == old.data.name


def test_all_layers_come_from_one_pass(scene_file, tiny_bundle, run, chunks_run):
    options = RunOptions(chunk_px=CHUNK_PX, device="cpu", probabilities=True)
    names = ("classes", "confidence", "probabilities")
    views = {n: geoseg.predict(scene_file, tiny_bundle, options=options, layer=n) for n in names}
    computed = dict(zip(names, dask.compute(*views.values()), strict=True))
    assert len(chunks_run) == 6
    for name, array in computed.items():
        written = run.to_xarray(name)
        np.testing.assert_array_equal(array.values, written.values, err_msg=name)
        for key in ("scale_factor", "add_offset"):
            expected = (1.0, 0.0)[key == "add_offset"]
            assert array.attrs.get(key, expected) == pytest.approx(written.attrs.get(key, expected))
    assert computed["probabilities"].band.values.tolist() == ["probability_background", "probability_building"]


def test_a_crop_computes_the_chunks_it_touches(scene_file, tiny_bundle, run, chunks_run):
    part = geoseg.predict(scene_file, tiny_bundle, options=OPTIONS)[10:40, 500:530]
    np.testing.assert_array_equal(part.values, run.to_xarray("classes")[10:40, 500:530].values)
    assert sorted((box.row0, box.col0) for box in chunks_run) == [(0, 0), (0, 512)]


def test_the_model_is_loaded_by_chunks_and_not_by_graphs(scene_file, tiny_bundle, monkeypatch):
    monkeypatch.setattr(ModelBundle, "network", lambda _self: pytest.fail("the network was built"))
    first, second = (geoseg.predict(scene_file, tiny_bundle, options=OPTIONS) for _ in range(2))
    assert sorted(map(str, first.__dask_keys__())) == sorted(map(str, second.__dask_keys__()))
    other = geoseg.predict(scene_file, tiny_bundle, options=RunOptions(chunk_px=CHUNK_PX, device="cpu", tta="d4"))
    assert first.data.name != other.data.name
    assert len(pickle.dumps(first)) < 200_000  # no pixels, no weights


def test_a_scene_changed_under_the_view_is_refused(scene_file, tiny_bundle, tmp_path):
    scene = tmp_path / "scene.tif"
    scene.write_bytes(scene_file.read_bytes())
    view = geoseg.predict(scene, tiny_bundle, options=OPTIONS)
    scene.touch()
    with pytest.raises(PlanChangedError, match="source"):
        view[:2, :2].compute()


def test_what_makes_no_sense_without_a_folder_is_refused(scene_file, tiny_bundle):
    with pytest.raises(ConfigError, match="folder"):
        geoseg.predict(scene_file, tiny_bundle, polygons=geoseg.PolygonOptions())
    with pytest.raises(ConfigError, match="choose classes, confidence, entropy, probabilities"):
        geoseg.predict(scene_file, tiny_bundle, layer="depth")


def test_a_task_s_share_counts_the_base_once(monkeypatch):
    monkeypatch.setattr(lazy, "usable_cpus", lambda: 4)
    base = lazy.BASE_BYTES
    assert lazy._share_of_a_task(base + 400) == base + 100
    assert lazy._share_of_a_task(base - 1) == base - 1  # refused with the number that was given


@pytest.mark.parametrize("processes", [False, pytest.param(True, marks=pytest.mark.nightly)])
def test_workers_of_a_cluster_give_the_same(scene_file, tiny_bundle, run, processes):
    from distributed import Client, LocalCluster

    workers = {"n_workers": 1, "threads_per_worker": 2, "processes": processes}
    with LocalCluster(**workers, dashboard_address=":0") as cluster, Client(cluster):
        values = geoseg.predict(scene_file, tiny_bundle, options=OPTIONS, layer="confidence").values
    np.testing.assert_array_equal(values, run.to_xarray("confidence").values)
