"""Polygons from rasters that are there already: bytes, floats and classes, and what is refused."""

import os
from pathlib import Path

import numpy as np
import pyogrio
import pytest
import rasterio
from affine import Affine

from geoseg import ClusterOptions, EngineOptions, PolygonOptions, vectorize
from geoseg.cli import main
from geoseg.errors import ConfigError, InputError, MemoryBudgetError, OutputError
from geoseg.vector.coverage.draw import draw_coverage

EXACT = PolygonOptions(min_area_m2=0, min_hole_m2=0, tolerance_m=0, method="contour", split="none")


OWN_BYTES = (1 / 254, -1 / 254)  # scale and offset of geoseg's probabilities


def write(path, values, *, nodata=None, names=None, crs="EPSG:32633", scaling=None, mask=None, **profile):
    bands = values if values.ndim == 3 else values[None]
    with rasterio.open(
        path, "w", driver="GTiff", height=bands.shape[1], width=bands.shape[2], count=len(bands), dtype=bands.dtype,
        nodata=nodata, crs=crs, transform=Affine(2, 0, 5e5, 0, -2, 5e6), **profile,
    ) as dst:  # fmt: skip
        dst.write(bands)
        if scaling:
            dst.scales, dst.offsets = ([value] * len(bands) for value in scaling)
        if mask is not None:
            dst.write_mask(mask)
        for band, name in enumerate(names or (), start=1):
            dst.set_band_description(band, name)
    return path


@pytest.fixture
def house():
    inside = np.zeros((40, 60), bool)
    inside[10:20, 10:40] = True
    return inside


def test_floats_bytes_and_classes_give_the_same_polygon(tmp_path, house):
    floats = write(tmp_path / "f.tif", np.where(house, 0.9, 0.1).astype(np.float32))
    data = write(tmp_path / "b.tif", np.where(house, 230, 26).astype(np.uint8), nodata=0, scaling=OWN_BYTES)
    classes = write(tmp_path / "c.tif", np.where(house, 7, 3).astype(np.int16))
    found = [
        vectorize(floats, tmp_path / "f.gpkg", options=EXACT),
        vectorize(data, tmp_path / "b.gpkg", options=EXACT),
        vectorize(classes, tmp_path / "c.gpkg", class_id=7, options=EXACT),
    ]
    for result in found:
        assert result["count"] == 1
        assert result["area_m2"] == pytest.approx(300 * 4, rel=2e-3)  # UTM: the ground is 0.04 % off the map here


def test_float_nodata_and_nan_are_outside(tmp_path, house):
    values = np.where(house, 0.9, 0.1).astype(np.float32)
    values[10:20, 10:20], values[10:20, 20:30] = -9999, np.nan
    result = vectorize(write(tmp_path / "f.tif", values, nodata=-9999), tmp_path / "f.gpkg", options=EXACT)
    assert result["area_m2"] == pytest.approx(100 * 4, rel=2e-3)


def test_bands_are_chosen_by_number_or_name(tmp_path, house):
    both = np.stack([np.where(house, 26, 230), np.where(house, 230, 26)]).astype(np.uint8)
    names = ["probability_background", "probability_building"]
    raster = write(tmp_path / "p.tif", both, nodata=0, names=names, scaling=OWN_BYTES)
    last = vectorize(raster, tmp_path / "a.gpkg", options=EXACT)
    named = vectorize(raster, tmp_path / "b.gpkg", band="probability_building", options=EXACT)
    first = vectorize(raster, tmp_path / "c.gpkg", band=1, options=EXACT)
    assert last["area_m2"] == named["area_m2"]
    assert first["area_m2"] == pytest.approx((40 * 60 - 300) * 4, rel=2e-3)
    for band in (3, "probability_water"):
        with pytest.raises(ConfigError, match=rf"no band .*{band}"):
            vectorize(raster, tmp_path / "d.gpkg", band=band)


def test_what_is_no_probability_is_refused_and_nothing_is_written(tmp_path, house):
    out, percent = tmp_path / "x.gpkg", np.where(house, 90, 10).astype(np.uint8)
    for values, settings, named in [
        (house.astype(np.uint8), {}, "without a scale.*--class-id.*--full-scale"),
        (house.astype(np.uint8), {"nodata": 0}, "--class-id.*--full-scale"),
        (house.astype(np.int32), {}, "--class-id"),
        (percent, {"nodata": 0}, "--full-scale"),
        (percent, {"nodata": 0, "scaling": (1, -5)}, "--full-scale"),
        (np.where(house, 90.0, 1.0).astype(np.float32), {}, r"1\.\.90 are no probabilities.*--full-scale"),
        (np.where(house, 2.0, -2.0), {}, r"values -2\.\.-?2 are no probabilities.*logistic function"),
        (np.where(house, np.float32(1.001), np.float32(0)), {}, "are no probabilities"),
    ]:
        with pytest.raises(InputError, match=named):
            vectorize(write(tmp_path / "x.tif", values, **settings), out)
    with pytest.raises(InputError, match="no CRS"):
        vectorize(write(tmp_path / "y.tif", house.astype(np.float32), crs=None), out)
    assert not out.exists()


def test_what_scale_offset_or_the_caller_says_is_honoured(tmp_path, house):
    wanted = 300 * 4
    percent = np.where(house, 90, 10)
    for values, settings, full_scale in [
        (percent.astype(np.uint8), {"scaling": (0.01, 0)}, None),
        (percent.astype(np.uint8), {"scaling": (0.01, 0), "nodata": 255}, None),
        ((percent * 100).astype(np.uint16), {"scaling": (0.0001, 0), "nodata": 65535}, None),
        (percent.astype(np.float32), {"scaling": (0.01, 0)}, None),
        (percent.astype(np.uint8), {"nodata": 0}, 100),
        (house.astype(np.uint8), {"nodata": 0}, 1),
        (house.astype(np.uint8) * 255, {}, 255),
    ]:
        raster = write(tmp_path / "p.tif", values, **settings)
        made = vectorize(raster, tmp_path / "p.gpkg", full_scale=full_scale, options=EXACT, overwrite=True)
        assert (made["count"], made["area_m2"]) == (1, pytest.approx(wanted, rel=2e-3)), (values.dtype, settings)
    with pytest.raises(ConfigError, match="full-scale 0"):
        vectorize(raster, tmp_path / "p.gpkg", full_scale=0, overwrite=True)
    assert main(["vectorize", str(raster), "-o", str(tmp_path / "c.gpkg"), "--full-scale", "255"]) == 0


def test_probabilities_a_rounding_step_beyond_0_and_1_are_those(tmp_path, house):
    values = np.where(house, np.float32(1.0000001), np.float32(-1e-9))
    assert vectorize(write(tmp_path / "p.tif", values), tmp_path / "p.gpkg", options=EXACT)["count"] == 1


def test_what_a_mask_or_alpha_hides_is_outside(tmp_path, house):
    p, shown = np.where(house, 0.9, 0.1).astype(np.float32), np.broadcast_to(np.arange(60) >= 25, house.shape)
    alpha = np.where(shown, 255, 0).astype(np.uint8)
    gray = np.stack([np.where(house, 230, 26).astype(np.uint8), alpha])
    masked = write(tmp_path / "m.tif", p, mask=shown)
    both = write(tmp_path / "n.tif", p, mask=shown, nodata=-9999)
    with_alpha = write(tmp_path / "a.tif", gray, nodata=0, scaling=OWN_BYTES, photometric="MINISBLACK", alpha="YES")
    classes = write(tmp_path / "c.tif", np.where(house, 7, 3).astype(np.uint8), mask=shown)
    for raster, class_id in ((masked, None), (both, None), (with_alpha, None), (classes, 7)):
        made = vectorize(raster, tmp_path / "x.gpkg", class_id=class_id, options=EXACT, overwrite=True)
        assert made["area_m2"] == pytest.approx(150 * 4, rel=2e-3), raster.name
    with pytest.raises(InputError, match="band 2 is alpha"):
        vectorize(with_alpha, tmp_path / "x.gpkg", band=2, overwrite=True)


def test_of_several_bands_one_has_to_be_named(tmp_path, house):
    p = np.where(house, 0.9, 0.1).astype(np.float32)
    pair = write(tmp_path / "two.tif", np.stack([p, 1 - p]), names=["building", "background"])
    colours = write(tmp_path / "rgb.tif", np.stack([house * 200] * 3).astype(np.uint8), nodata=0, photometric="RGB")
    for raster in (pair, colours):
        with pytest.raises(ConfigError, match=r"[23] bands; name one with --band"):
            vectorize(raster, tmp_path / "x.gpkg")
    with pytest.raises(InputError, match="without a scale"):
        vectorize(colours, tmp_path / "x.gpkg", band=1)
    assert vectorize(pair, tmp_path / "x.gpkg", band="building", options=EXACT)["count"] == 1


def test_the_confidence_in_a_class_map_is_no_probability_of_buildings(tmp_path, house):
    raster = write(tmp_path / "c.tif", np.full(house.shape, 230, np.uint8), nodata=0, scaling=OWN_BYTES)
    with rasterio.open(raster, "r+") as src:
        src.set_band_description(1, "confidence")
        src.update_tags(GEOSEG_MODEL="houses")
    with pytest.raises(InputError, match=r"confidence in whatever class.*draw probabilities\.tif"):
        vectorize(raster, tmp_path / "x.gpkg")


def test_a_nodata_value_is_no_class(tmp_path, house):
    raster = write(tmp_path / "c.tif", (house * 7).astype(np.uint8), nodata=7)
    with pytest.raises(InputError, match="7 is the nodata value"):
        vectorize(raster, tmp_path / "x.gpkg", class_id=7)


@pytest.mark.parametrize("kind", ["buildings", "coverage"])
@pytest.mark.parametrize("name", ["x.kml", "x.tif", "x"])
def test_another_suffix_is_refused_before_any_work(tmp_path, capsys, kind, name):
    assert main(["vectorize", "missing.tif", "-o", str(tmp_path / name), "--kind", kind]) == 2
    assert "choose .gpkg, .parquet" in capsys.readouterr().err


def test_the_class_is_that_of_building_models_or_the_rasters_own(tmp_path, house):
    values = np.where(house, 7, 3).astype(np.uint8)
    plain, named = write(tmp_path / "plain.tif", values), write(tmp_path / "named.tif", values)
    with rasterio.open(named, "r+") as src:
        src.update_tags(1, CLASS_3="grass", CLASS_7="water")
    for raster, row in ((plain, (2, "building")), (named, (7, "water"))):
        vectorize(raster, tmp_path / f"{raster.stem}.gpkg", class_id=7)
        table = pyogrio.read_dataframe(tmp_path / f"{raster.stem}.gpkg", layer="buildings", read_geometry=False)
        assert (table.class_id[0], table.class_name[0]) == row


@pytest.mark.parametrize("dtype", ["int8", "uint16", "int32", "uint32", "int64", "uint64"])
def test_classes_may_be_integers_of_any_type(tmp_path, house, dtype):
    values, none = np.where(house, 7, 3).astype(dtype), min(int(np.iinfo(dtype).max), 2**32 - 1)
    values[:3] = none
    raster = write(tmp_path / "classes.tif", values, nodata=none)
    assert vectorize(raster, tmp_path / "c.gpkg", class_id=7, options=EXACT)["count"] == 1
    with rasterio.open(raster, "r+") as src:
        src.update_tags(1, CLASS_3="grass", CLASS_7="water")
    draw_coverage(raster, tmp_path / "cover.gpkg")
    made = pyogrio.read_dataframe(tmp_path / "cover.gpkg", layer="coverage", read_geometry=False)
    assert sorted(made.class_name) == ["grass", "water"]


def test_integers_beyond_all_classes_are_told(tmp_path, house):
    raster = write(tmp_path / "ids.tif", np.where(house, 2**40, 3))
    with pytest.raises(InputError, match=r"ids\.tif: holds values up to 1099511627776, which are no classes"):
        draw_coverage(raster, tmp_path / "cover.gpkg")


def test_a_palette_tells_classes_from_probabilities(tmp_path, house):
    raster = write(tmp_path / "classes.tif", np.where(house, 2, 1).astype(np.uint8), nodata=0)
    with rasterio.open(raster, "r+") as src:
        src.write_colormap(1, {1: (0, 0, 0), 2: (200, 66, 46)})
    with pytest.raises(InputError, match=r"holds classes; pass --class-id"):
        vectorize(raster, tmp_path / "x.gpkg")
    assert vectorize(raster, tmp_path / "x.gpkg", class_id=2)["count"] == 1


def test_an_existing_file_is_replaced_only_when_told(tmp_path, house):
    raster = write(tmp_path / "f.tif", house.astype(np.float32))
    out = tmp_path / "f.gpkg"
    vectorize(raster, out)
    before = out.read_bytes()
    with pytest.raises(OutputError, match="--overwrite"):
        vectorize(raster, out, threshold=0.6)
    assert out.read_bytes() == before
    vectorize(raster, out, threshold=0.6, overwrite=True)


def test_what_a_narrow_neck_connects_is_parted_when_asked(tmp_path):
    p = np.ones((40, 90), np.uint8)
    p[5:35, 5:35] = p[5:35, 55:85] = p[18:22, 35:55] = 255
    path = tmp_path / "p.tif"
    with rasterio.open(
        path, "w", driver="GTiff", height=40, width=90, count=1, dtype="uint8", nodata=0, crs="EPSG:32633",
        transform=Affine(0.5, 0, 5e5, 0, -0.5, 5e6),
    ) as dst:  # fmt: skip
        dst.write(p, 1)
        dst.scales, dst.offsets = ([value] for value in OWN_BYTES)
    merged = vectorize(path, tmp_path / "merged.gpkg")
    parted = vectorize(path, tmp_path / "parted.gpkg", options=PolygonOptions(split="necks"))
    assert (merged["count"], parted["count"]) == (1, 2)


@pytest.fixture(scope="module")
def town(tmp_path_factory):
    """Houses in many tiles, on their borders too, and roads that are too large to be fitted."""
    classes = np.ones((1100, 1300), np.uint8)
    for row in range(10, 1060, 83):
        for col in range(15, 1240, 71):
            classes[row : row + 20 + col % 30, col : col + 30] = 2
    classes[500:504] = classes[:, 600:604] = 2
    return write(tmp_path_factory.mktemp("town") / "town.tif", classes)


TOWN = {"class_id": 2, "options": PolygonOptions(max_component_px=512**2)}  # tiles of 512 px


@pytest.fixture(scope="module")
def drawn_at_once(town):
    out = town.with_name("sync.gpkg")
    made = vectorize(town, out, **TOWN, run=EngineOptions(engine="sync"))
    assert made["count"] > 150
    assert made["streamed"] == 1
    return out.read_bytes()


def test_engines_and_lanes_change_no_byte(town, drawn_at_once, tmp_path):
    from distributed import LocalCluster

    with LocalCluster(n_workers=2, threads_per_worker=1, processes=False, dashboard_address=":0") as cluster:
        dask = EngineOptions(engine="dask", cluster=ClusterOptions(address=cluster.scheduler_address, workers=2))
        for number, run in enumerate((EngineOptions(lanes=1), EngineOptions(lanes=3), dask)):
            out = tmp_path / f"{number}.gpkg"
            vectorize(town, out, **TOWN, run=run)
            assert out.read_bytes() == drawn_at_once, run


@pytest.mark.slow
def test_worker_processes_change_no_byte_and_find_the_raster_from_any_folder(town, drawn_at_once, tmp_path):
    run = EngineOptions(engine="local", cluster=ClusterOptions(workers=2))
    vectorize(os.path.relpath(town), tmp_path / "local.gpkg", **TOWN, run=run)
    assert (tmp_path / "local.gpkg").read_bytes() == drawn_at_once


def test_too_little_memory_is_said_before_anything_is_drawn(town, tmp_path):
    out = tmp_path / "t.gpkg"
    planned = vectorize(town, out, **TOWN, run=EngineOptions(lanes=2))["planned_memory_bytes"]
    out.unlink()
    vectorize(town, out, **TOWN, run=EngineOptions(lanes=2, memory_bytes=planned))
    out.unlink()
    with pytest.raises(MemoryBudgetError, match=r"town\.tif need \d+ MiB, but \d+ MiB are allowed; .*--memory"):
        vectorize(town, out, **TOWN, run=EngineOptions(lanes=2, memory_bytes=planned - 1))
    assert main(["vectorize", str(town), "-o", str(out), "--class-id", "2", "--memory", "100MB"]) == 6
    assert not out.exists()


def test_flags_of_engines_are_those_of_a_run(town, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(town.parent)
    out = tmp_path / "t.gpkg"
    command = ["vectorize", town.name, "-o", str(out), "--class-id", "2"]
    assert main([*command, "--engine", "sync", "--memory", "4GB"]) == 0
    assert main([*command, "--overwrite", "--engine", "dask"]) == 2
    assert "say where with address" in capsys.readouterr().err
    assert main([*command, "--overwrite", "--workers", "0"]) == 2
    before = out.read_bytes()
    assert main([*command, "--overwrite", "--lanes", "2"]) == 0
    assert Path(out).read_bytes() == before
