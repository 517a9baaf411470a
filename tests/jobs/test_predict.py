"""A whole run in its folder: bytes that depend on the job alone, resume, refusal, nothing visible before the end."""

import json
from dataclasses import replace

import numpy as np
import pytest
import rasterio
import rasterio.features
import torch
from affine import Affine
from conftest import write_bundle, write_tif

from geoseg import PolygonOptions, RunOptions, finish, load_model, open_scene, predict
from geoseg.errors import ConfigError, IncompleteError, InputError, MemoryBudgetError, OutputError
from geoseg.executors.threads import local_site
from geoseg.jobs.plan import make_plan
from geoseg.models.architectures import build_network
from geoseg.models.bundle import save_model
from geoseg.models.spec import Normalisation
from geoseg.values.bands import BandSet
from geoseg.values.confidence import PolygonConfidence, polygon_features
from geoseg.vector.pixels.runs import threshold_byte

RASTERS = ("classes.tif", "confidence.tif")
SIZE = (540, 600)  # four chunks of 512 px


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    """An untrained building model: its answers mean nothing, its bytes must be right all the same."""
    normal = Normalisation(mean=(100.0, 100.0, 100.0), std=(50.0, 50.0, 50.0))
    return load_model(write_bundle(tmp_path_factory.mktemp("model") / "untrained", widths=[4, 8], normalisation=normal))


def write_scene(path, *, size=SIZE, gsd=0.5, nodata=0):
    rng = np.random.default_rng(1)
    coarse = rng.integers(20, 250, (3, size[0] // 20 + 1, size[1] // 20 + 1), np.uint8)
    pixels = np.kron(coarse, np.ones((1, 20, 20), np.uint8))[:, : size[0], : size[1]]
    pixels[:, 100:180, 200:420] = 0
    with rasterio.open(
        path, "w", driver="GTiff", height=size[0], width=size[1], count=3, dtype="uint8", nodata=nodata, tiled=True,
        blockxsize=256, blockysize=256, compress="deflate", photometric="RGB", crs="EPSG:32645",
        transform=Affine(gsd, 0, 3e5, 0, -gsd, 3.06e6),
    ) as dst:  # fmt: skip
        dst.write(pixels)
    return path


@pytest.fixture
def scene_file(tmp_path):
    return write_scene(tmp_path / "scene.tif")


def test_chunk_size_engine_and_lanes_change_no_byte(scene_file, bundle, tmp_path):
    polygons = PolygonOptions(min_area_m2=20)
    first = predict(
        scene_file,
        bundle,
        tmp_path / "a",
        options=RunOptions(probabilities=True, chunk_px=1024, engine="sync"),
        polygons=polygons,
    )
    names = [*RASTERS, "probabilities.tif", "classes.tif.aux.xml", "buildings.gpkg"]
    for i, options in enumerate(
        [
            RunOptions(probabilities=True, chunk_px=512, engine="threads", lanes=2),
            RunOptions(probabilities=True, chunk_px=512, engine="threads", lanes=3, batch=1),
        ]
    ):
        other = predict(scene_file, bundle, tmp_path / f"b{i}", options=options, polygons=polygons)
        for name in names:
            assert other.paths[name].read_bytes() == first.paths[name].read_bytes(), name


def test_outputs_lie_on_the_scene_s_grid_and_agree_with_each_other(scene_file, bundle, tmp_path):
    result = predict(
        scene_file, bundle, tmp_path / "out",
        options=RunOptions(probabilities=True),
        polygons=PolygonOptions(min_area_m2=0, min_hole_m2=0, tolerance_m=0, method="contour", split="none"),
    )  # fmt: skip
    with rasterio.open(scene_file) as src, rasterio.open(result.paths["classes.tif"]) as out:
        assert (out.crs, out.shape) == (src.crs, src.shape)
        assert out.transform.almost_equals(src.transform, 1e-9)
        valid = src.dataset_mask() > 0
        classes = out.read(1)
    np.testing.assert_array_equal(classes > 0, valid)
    with rasterio.open(result.paths["probabilities.tif"]) as out:
        building = out.read(out.descriptions.index("probability_building") + 1)
    np.testing.assert_array_equal(classes == 2, building >= threshold_byte(0.5))
    frame = result.polygons()
    burnt = rasterio.features.rasterize(frame.geometry, out_shape=classes.shape, transform=src.transform)
    np.testing.assert_array_equal(burnt == 1, classes == 2)
    rows = {row["id"]: row for row in result.run["classes"]}
    assert rows[2]["pixels"] == (classes == 2).sum()
    assert rows[2]["area_ha"] == pytest.approx(frame.area_m2.sum() / 1e4, rel=1e-4)
    lazy = result.to_xarray()
    assert lazy.chunks is not None
    assert lazy.rio.crs == src.crs
    np.testing.assert_array_equal(lazy.values, classes)


def test_another_resolution_runs_resampled_and_comes_back_on_the_scene_s_grid(bundle, tmp_path):
    path = write_scene(tmp_path / "fine.tif", gsd=0.2)
    result = predict(path, bundle, tmp_path / "out")
    assert result.run["plan"]["working_px"] == [216, 240]
    assert "0.2 x 0.2 m" in result.run["plan"]["notes"][0]
    with rasterio.open(result.paths["classes.tif"]) as out, rasterio.open(path) as src:
        assert out.shape == src.shape
        np.testing.assert_array_equal(out.read(1) > 0, src.dataset_mask() > 0)


def test_a_finished_run_is_refused_and_replaced_only_when_told(scene_file, bundle, tmp_path):
    result = predict(scene_file, bundle, tmp_path / "out")
    before = result.paths["run.json"].read_bytes()
    with pytest.raises(OutputError, match=r"holds a finished run.*--overwrite"):
        predict(scene_file, bundle, tmp_path / "out")
    assert result.paths["run.json"].read_bytes() == before
    again = predict(scene_file, bundle, tmp_path / "out", options=RunOptions(overwrite=True, probabilities=True))
    assert "probabilities.tif" in again.paths
    assert not (tmp_path / "out" / ".job").exists()


def test_an_interrupted_run_does_only_what_is_missing(scene_file, bundle, tmp_path, monkeypatch):
    from geoseg.jobs import chunk as local

    expected = predict(scene_file, bundle, tmp_path / "expected", options=RunOptions(chunk_px=512))
    done = []

    def stop_at_third(progress):
        if progress.stage == "predict" and progress.done == 2:
            raise KeyboardInterrupt

    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        predict(scene_file, bundle, out, options=RunOptions(chunk_px=512, engine="sync"), listen=stop_at_third)
    assert sorted(p.name for p in out.iterdir()) == [".job"]
    with rasterio.open(out / ".job" / "parts.vrt") as preview:  # what is done can be looked at
        assert preview.descriptions[:2] == ("classes", "confidence")
        assert preview.read(1).any()
    part = next((out / ".job" / "parts").glob("*/*.tif"))
    part.write_bytes(part.read_bytes()[:-100])  # cut off by a full disk, say: it is done again
    walk = local.ChunkWalk
    monkeypatch.setattr(
        local, "ChunkWalk", lambda job, chunk_id, *more: done.append(chunk_id) or walk(job, chunk_id, *more)
    )
    result = predict(scene_file, bundle, out, options=RunOptions(chunk_px=512, engine="sync"))
    assert len(done) == 3
    plan, found = expected.run["plan"], (expected.run["windows"], result.run["windows"])
    assert plan["redundancy"] == 1
    assert 1 < found[0]["run"] <= plan["windows"] < found[1]["run"]  # what was done before hands nothing on
    for name in RASTERS:
        assert result.paths[name].read_bytes() == expected.paths[name].read_bytes()


def test_a_changed_job_is_refused_with_the_reason(scene_file, bundle, tmp_path):
    def stop(progress):
        if progress.done == 1:
            raise KeyboardInterrupt

    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        predict(scene_file, bundle, out, options=RunOptions(chunk_px=512), listen=stop)
    with pytest.raises(OutputError, match=r"threshold.*changed"):
        predict(scene_file, bundle, out, options=RunOptions(chunk_px=512, threshold=0.7))
    write_scene(scene_file, size=(540, 601))
    with pytest.raises(OutputError, match=r"source scene\.tif, grid, windows, working grid changed"):
        predict(scene_file, bundle, out, options=RunOptions(chunk_px=512))
    assert predict(scene_file, bundle, out, options=RunOptions(chunk_px=512, fresh=True)).run["valid_px"] > 0


def test_two_runs_in_one_folder_are_refused(scene_file, bundle, tmp_path):
    def second(progress):
        if progress.stage == "predict":
            with pytest.raises(OutputError, match="another run is writing"):
                predict(scene_file, bundle, tmp_path / "out")

    assert predict(scene_file, bundle, tmp_path / "out", listen=second).paths["classes.tif"].exists()


def damaged(path, *, share):
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    return path


def test_a_truncated_scene_fails_its_chunks_and_shows_nothing(bundle, tmp_path):
    rng = np.random.default_rng(0)
    path = tmp_path / "cut.tif"
    with rasterio.open(
        path, "w", driver="GTiff", height=1030, width=1030, count=3, dtype="uint8", tiled=True, blockxsize=256,
        blockysize=256, photometric="RGB", crs="EPSG:32645", transform=Affine(0.5, 0, 3e5, 0, -0.5, 3.06e6),
    ) as dst:  # fmt: skip
        dst.write(rng.integers(1, 255, (3, 1030, 1030), np.uint8))
    damaged(path, share=0.6)
    out = tmp_path / "out"
    with pytest.raises(IncompleteError, match=r"of 9 chunks failed .*cannot be read.*tries only these again"):
        predict(path, bundle, out, options=RunOptions(chunk_px=512))
    assert sorted(p.name for p in out.iterdir()) == [".job"]
    with pytest.raises(InputError, match=r"cut.tif: rows \d+\.\.\d+.*cannot be read"):
        predict(path, bundle, tmp_path / "other", options=RunOptions(chunk_px=2048))


def test_too_little_memory_is_said_at_once_with_the_way_out(scene_file, bundle, tmp_path):
    with pytest.raises(MemoryBudgetError, match=r"smallest chunk.*--memory"):
        predict(scene_file, bundle, tmp_path / "out", options=RunOptions(memory_bytes=10**8))
    assert not (tmp_path / "out").exists()
    large = tmp_path / "large.tif"
    with rasterio.open(
        large, "w", driver="GTiff", height=12000, width=12000, count=3, dtype="uint8", tiled=True, photometric="RGB",
        sparse_ok=True, crs="EPSG:32645", transform=Affine(0.5, 0, 3e5, 0, -0.5, 3.06e6),
    ):  # fmt: skip
        pass  # no block is written: it takes no space
    options = RunOptions(memory_bytes=1_600_000_000, chunk_px=16384, lanes=2)
    with pytest.raises(MemoryBudgetError, match=r"chunks of 16384 px need \d+ MiB.*largest that fit are \d+ px"):
        predict(large, bundle, tmp_path / "out", options=options)
    site = local_site("cpu", lanes=8)  # each draws polygons beside the others
    small = RunOptions(chunk_px=512)
    plan = make_plan(open_scene(large), [bundle], site=site, options=small, polygons=PolygonOptions())
    tight = replace(small, memory_bytes=plan.memory.total + 2**20)
    assert plan.stage_bytes["polygons"] > plan.memory.total + 2**20
    with pytest.raises(MemoryBudgetError, match=r"polygons of large.tif need"):
        make_plan(open_scene(large), [bundle], site=site, options=tight, polygons=PolygonOptions())
    assert not any((tmp_path / "out").glob("*.tif"))


def test_a_raster_that_declares_billions_of_rows_is_refused_at_once(scene_file, bundle):
    scene = open_scene(scene_file)
    endless = replace(scene, grid=replace(scene.grid, shape=(2**31 - 1, 10)))
    site = local_site("cpu", lanes=1)
    with pytest.raises(InputError, match=r"2147483647 x 10 px, and at most 16777216 along an axis"):
        make_plan(endless, [bundle], site=site, options=RunOptions())


def test_windows_seen_smaller_have_larger_margins_and_what_does_not_fit_is_refused(scene_file, bundle):
    scene, site = open_scene(scene_file), local_site("cpu", lanes=1)
    plain, scaled = (
        make_plan(scene, [bundle], site=site, options=RunOptions(tta=tta)) for tta in ("none", "none@0.5,1,1.5")
    )
    assert scaled.job.windows.rows.margin == 2 * plain.job.windows.rows.margin > 0
    assert scaled.memory.busy > plain.memory.busy
    with pytest.raises(ConfigError, match=r"^tta none@0.25: margin \d+ px .*; take scales nearer to 1$"):
        make_plan(scene, [bundle], site=site, options=RunOptions(tta="none@0.25"))


def test_polygons_need_a_model_that_names_their_class(scene_file, bundle, tmp_path):
    plain = replace(bundle, spec=bundle.spec.model_copy(update={"polygon_class": None}))
    with pytest.raises(ConfigError, match="no class to draw polygons of"):
        predict(scene_file, plain, tmp_path / "out", polygons=PolygonOptions())


def test_polygons_have_the_confidence_that_their_model_was_fitted_with(scene_file, bundle, tmp_path):
    rule = PolygonConfidence(constant=-1, probability=0.5, area=0.2, area_squared=0, compactness=1, misfit=-2)
    fitted = replace(bundle, spec=bundle.spec.model_copy(update={"polygon_confidence": rule}))
    plain, told = (
        predict(scene_file, model, tmp_path / name, polygons=PolygonOptions(min_area_m2=0)).polygons()
        for name, model in (("plain", bundle), ("told", fitted))
    )
    features = polygon_features(
        mean_probability=plain.confidence.to_numpy(float),
        area_m2=plain.area_m2.to_numpy(),
        perimeter_m=plain.perimeter_m.to_numpy(),
        iou_contour=plain.iou_contour.to_numpy(float),
    )
    np.testing.assert_allclose(told.confidence, rule.of(features), rtol=1e-5)
    assert told.geometry.geom_equals(plain.geometry).all()


def test_run_json_tells_all_and_rasters_tell_nothing_of_the_machine(scene_file, bundle, tmp_path):
    result = predict(open_scene(scene_file), load_model(bundle.path), tmp_path / "out")
    run = json.loads(result.paths["run.json"].read_text())
    assert run["model"]["sha256"] == bundle.digest
    assert set(run["outputs"]) == {"classes.tif", "classes.tif.aux.xml", "confidence.tif"}
    with rasterio.open(result.paths["classes.tif"]) as out:
        assert run["run"]["host"] not in str(out.tags())


def test_options_that_make_no_sense_are_refused():
    for wrong in (
        {"engine": "warp"},
        {"batch": 0},
        {"lanes": 0},
        {"threshold": 1.0},
        {"tta": "twice"},
        {"chunk_px": 1000},
    ):
        with pytest.raises(ConfigError, match=str(next(iter(wrong.values())))):
            RunOptions(**wrong)


def test_run_json_of_a_call_from_python_runs_again(scene_file, bundle, tmp_path):
    from geoseg.config.load import load_config
    from geoseg.config.runs import BuildingsConfig

    options, polygons = RunOptions(chunk_px=512, threshold=0.4), PolygonOptions(min_area_m2=9)
    result = predict(scene_file, bundle, tmp_path / "out", options=options, polygons=polygons)
    config = load_config(result.paths["run.json"])
    assert isinstance(config, BuildingsConfig)
    assert (config.options, config.polygons) == (options, polygons)
    again = predict(config.scene, config.model, tmp_path / "again", options=config.options, polygons=config.polygons)
    assert again.paths["buildings.gpkg"].read_bytes() == result.paths["buildings.gpkg"].read_bytes()


def test_shards_leave_the_outputs_to_finish(scene_file, bundle, tmp_path):
    whole = predict(scene_file, bundle, tmp_path / "whole", options=RunOptions(chunk_px=512))
    out = tmp_path / "out"
    with pytest.raises(InputError, match="no job to finish"):
        finish(scene_file, bundle, out)
    for i in (2, 1):
        shard = predict(scene_file, bundle, out, options=RunOptions(chunk_px=512, shard=(i, 2)))
        assert shard.paths == {}
        assert shard.run["chunks"] == 2
        assert sorted(p.name for p in out.iterdir()) == [".job"]
        if i == 2:
            with pytest.raises(IncompleteError, match=r"2 of 4 chunks are missing \(r00000_c00000, r00001_c00000\)"):
                finish(scene_file, bundle, out)
    done = finish(scene_file, bundle, out)  # takes the chunk size from the job, and needs no network
    for name in RASTERS:
        assert done.paths[name].read_bytes() == whole.paths[name].read_bytes()
    assert not (out / ".job").exists()


def test_an_unfinished_run_keeps_its_chunk_size_whatever_memory_is_free_later(scene_file, bundle, tmp_path):
    def stop(progress):
        if progress.stage == "predict" and progress.done == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        predict(scene_file, bundle, tmp_path / "out", options=RunOptions(chunk_px=512, engine="sync"), listen=stop)
    assert predict(scene_file, bundle, tmp_path / "out").run["plan"]["chunk_px"] == 512


def test_outputs_outside_of_an_area_are_nodata_and_inside_as_ever(scene_file, bundle, tmp_path):
    import geopandas as gpd
    import shapely

    area = shapely.Polygon([(3e5 + 20, 3.06e6 - 20), (3e5 + 160, 3.06e6 - 30), (3e5 + 90, 3.06e6 - 130)])
    gpd.GeoDataFrame(geometry=[area], crs="EPSG:32645").to_file(tmp_path / "aoi.gpkg")
    whole = predict(scene_file, bundle, tmp_path / "whole")
    inside = predict(scene_file, bundle, tmp_path / "in", options=RunOptions(aoi=str(tmp_path / "aoi.gpkg")))
    with rasterio.open(whole.paths["classes.tif"]) as a, rasterio.open(inside.paths["classes.tif"]) as b:
        burnt = rasterio.features.rasterize([area], out_shape=a.shape, transform=a.transform)
        np.testing.assert_array_equal(b.read(1), a.read(1) * burnt)
    assert inside.run["windows"]["run"] < whole.run["windows"]["run"]


def test_a_mask_file_hides_pixels_from_the_network_and_the_outputs(scene_file, bundle, tmp_path):
    shown = np.ones((1, *SIZE), np.uint8)
    shown[0, 300:500, 100:350] = 0
    with rasterio.open(scene_file) as src:
        profile = {"crs": src.crs, "transform": src.transform}
        valid = src.dataset_mask() > 0
    mask = write_tif(tmp_path / "mask.tif", shown, **profile)
    result = predict(open_scene(scene_file, mask=mask), bundle, tmp_path / "out")
    with rasterio.open(result.paths["classes.tif"]) as out:
        np.testing.assert_array_equal(out.read(1) > 0, valid & (shown[0] > 0))
    with pytest.raises(InputError, match=r"other.tif: its grid .* differs"):
        open_scene(scene_file, mask=write_tif(tmp_path / "other.tif", shown[:, :50]))


def test_an_ensemble_is_the_mean_of_its_members(scene_file, bundle, tmp_path):
    normal = Normalisation(mean=(90.0, 110.0, 100.0), std=(40.0, 60.0, 50.0))
    torch.manual_seed(4)
    spec = bundle.spec.model_copy(update={"normalisation": normal, "name": "other"})
    other = save_model(tmp_path / "other", build_network(spec.arch, in_channels=3, out_channels=3), spec=spec)
    options = RunOptions(probabilities=True, chunk_px=512)
    p = {}
    for name, models in {"a": bundle, "b": other, "both": [bundle, other.path]}.items():
        result = predict(scene_file, models, tmp_path / name, options=options)
        with rasterio.open(result.paths["probabilities.tif"]) as src:
            p[name] = src.read().astype(int)
    assert np.abs(p["both"] - (p["a"] + p["b"]) / 2).max() <= 1
    assert [m["name"] for m in result.run["model"]] == ["untrained", "other"]
    odd = replace(other, spec=spec.model_copy(update={"ramp_px": 0}))
    with pytest.raises(ConfigError, match=r"ramp_px 0 differs from 32 .*share windows"):
        predict(scene_file, [bundle, odd], tmp_path / "out")


def test_a_scene_of_other_pixels_is_warned_of_and_of_quite_others_refused(tmp_path, tiny_bundle):
    def notes(gsd_m, **options):
        transform = Affine(gsd_m, 0, 3e5, 0, -gsd_m, 3.06e6)
        pixels = np.full((3, 8, 8), 80, np.uint8)
        scene = open_scene(write_tif(tmp_path / "a.tif", pixels, transform=transform, photometric="RGB"))
        options = RunOptions(device="cpu", lanes=1, **options)
        site = local_site("cpu", lanes=1)
        return make_plan(scene, [load_model(tiny_bundle)], site=site, options=options).notes

    for gsd_m, far in ((0.13, False), (0.12, True), (1.9, False), (2.1, True), (31, True)):
        assert any("times from the 0.5 m of the model" in note for note in notes(gsd_m)) == far
    for gsd_m in (0.5 / 65, 0.5 * 65, 1e5):
        with pytest.raises(InputError, match=r"a.tif: pixels of .* times from the 0.5 m .*--any-scale"):
            notes(gsd_m)
    assert any("differ 65.0 times" in note for note in notes(0.5 * 65, any_scale=True))


def test_a_scene_without_an_optional_band_is_mapped_as_if_that_band_were_its_mean_everywhere(tmp_path):
    bands = BandSet.parse("red,green,blue,nir").bands
    normal = Normalisation(mean=(100.0, 110.0, 120.0, 90.0), std=(50.0, 50.0, 50.0, 40.0))
    kind = {"widths": [8, 16], "bands": bands, "normalisation": normal, "polygon_class": None}
    rgb_will_do = load_model(write_bundle(tmp_path / "free", optional=("nir",), **kind))
    strict = load_model(write_bundle(tmp_path / "strict", **kind))
    pixels = np.random.default_rng(2).integers(20, 250, (3, 90, 130), np.uint8)
    rgb = write_tif(tmp_path / "rgb.tif", pixels, photometric="RGB")
    mean = np.full((1, 90, 130), 90, np.uint8)
    four = write_tif(tmp_path / "four.tif", np.concatenate([pixels, mean]), photometric="MINISBLACK")
    options = RunOptions(probabilities=True)
    lacking = predict(rgb, rgb_will_do, tmp_path / "a", options=options)
    predict(open_scene(four, bands="red,green,blue,nir"), strict, tmp_path / "b", options=options)
    with rasterio.open(tmp_path / "a/probabilities.tif") as a, rasterio.open(tmp_path / "b/probabilities.tif") as b:
        np.testing.assert_array_equal(a.read(), b.read())
    assert any("no nir among red, green, blue" in note and "--bands" in note for note in lacking.run["plan"]["notes"])
    with pytest.raises(InputError, match="band nir not found"):
        predict(rgb, strict, tmp_path / "c", options=options)
