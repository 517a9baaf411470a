import json
import os
import shutil
import sqlite3
import tracemalloc
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
import shapely
from make_outputs import GRID, LAYERS, finished_folder, restate, sql
from numpy.typing import NDArray
from rasterio.windows import Window
from rio_cogeo.cogeo import cog_validate

from geoseg.outputs.check import Finding, check_outputs, cog_faults
from geoseg.outputs.cog.cog import assemble
from geoseg.outputs.cog.parts import PartEncoder, write_part
from geoseg.values.layers import Layer

LISTED = "run.json: outputs are those of its layers and polygons"
HEIGHT = Layer("height", "number", "height.tif", dtype="int16", nodata=-9999, scale=0.1, offset=5, unit="m")
IDS = Layer("ids", "ids", "ids.tif", dtype="uint32")


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finished_folder(tmp_path_factory.mktemp("sound") / "out")


@pytest.fixture
def out(sound: Path, tmp_path: Path) -> Path:
    return shutil.copytree(sound, tmp_path / "out")


def faults(folder: Path) -> list[str]:
    return [f.name for f in check_outputs(folder) if not f.ok]


def layers_of_run(folder: Path) -> list[dict[str, object]]:
    layers: list[dict[str, object]] = json.loads((folder / "run.json").read_text())["layers"]
    return layers


def test_sound_folder_has_no_faults(sound: Path) -> None:
    findings = check_outputs(sound)
    assert [f for f in findings if not f.ok] == []
    assert len(findings) > 40
    assert len({f.name for f in findings}) == len(findings)


def test_run_without_polygons_is_sound(out: Path) -> None:
    for name in ("buildings.gpkg", "probabilities.tif"):
        (out / name).unlink()
    restate(out, polygons=None, layers=layers_of_run(out)[:2])
    assert faults(out) == []


def test_a_run_of_before_layers_were_told_is_judged_by_the_names_of_its_files(out: Path) -> None:
    restate(out, layers=None)
    assert faults(out) == []
    (out / "probabilities.tif").unlink()
    restate(out)
    assert faults(out) == []
    _edit_confidence(out)
    restate(out)
    assert faults(out) == ["confidence.tif: nodata exactly where classes.tif has it"]


def test_empty_layer_is_sound(tmp_path: Path) -> None:
    assert faults(finished_folder(tmp_path / "out", count=0)) == []


def test_folder_without_run_json_is_not_finished(out: Path) -> None:
    (out / "run.json").unlink()
    assert faults(out) == ["run.json: present and complete"]


def test_a_run_json_of_a_scene_beyond_all_sizes_takes_no_memory(out: Path) -> None:
    grid = json.loads((out / "run.json").read_text())["grid"]
    restate(out, grid=grid | {"shape": [10**9, 10**9]})
    tracemalloc.start()
    found = faults(out)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "classes.tif: grid as in run.json" in found
    assert peak < 2**27


@pytest.mark.parametrize("text", ["{", "[]", '{"software": "geoseg"}'])
def test_broken_run_json_is_a_finding(out: Path, text: str) -> None:
    (out / "run.json").write_text(text)
    assert faults(out) == ["run.json: present and complete"]


@pytest.mark.parametrize("name", ["classes.tif", "confidence.tif", "buildings.gpkg", "classes.tif.aux.xml"])
def test_altered_and_missing_files_are_found(out: Path, name: str) -> None:
    content = bytearray((out / name).read_bytes())
    content[len(content) // 2] ^= 1
    (out / name).write_bytes(content)
    assert f"{name}: sha256 as in run.json" in faults(out)
    os.truncate(out / name, 40)
    assert {f.split(":")[0] for f in faults(out)} >= {name.removesuffix(".aux.xml")}
    (out / name).unlink()
    assert f"{name}: present" in faults(out)


def test_required_raster_is_missed_though_run_json_does_not_list_it(out: Path) -> None:
    (out / "classes.tif").unlink()
    restate(out)
    assert {"classes.tif: readable", LISTED} <= {*faults(out)}


def test_a_raster_of_no_layer_is_found(out: Path) -> None:
    shutil.copy(out / "confidence.tif", out / "more.tif")
    restate(out)
    assert faults(out) == [LISTED]


@pytest.mark.parametrize("name", ["/vsicurl/http://example.org/a.tif", "../a.tif", ".."])
def test_names_that_lead_elsewhere_are_not_opened(out: Path, name: str) -> None:
    layers = layers_of_run(out)
    restate(out, layers=[*layers, {**layers[1], "name": "more", "file": name}])
    assert faults(out) == ["run.json: present and complete"]


@pytest.mark.parametrize("name", ["buildings.gpkg-wal", "classes.tif.ovr", ".classes.tif.x1y2"])
def test_leftovers_are_found(out: Path, name: str) -> None:
    (out / name).write_bytes(b"")
    assert faults(out) == ["folder: no leftovers"]


def _edit_classes(value: int) -> Callable[[Path], None]:
    def edit(out: Path) -> None:
        with rasterio.open(out / "classes.tif", "r+", IGNORE_COG_LAYOUT_BREAK="YES") as src:
            src.write(np.full((5, 5), value, np.uint8), 1, window=Window(600, 300, 5, 5))

    return edit


def _edit_confidence(out: Path) -> None:
    with rasterio.open(out / "confidence.tif", "r+", IGNORE_COG_LAYOUT_BREAK="YES") as src:
        src.write(np.zeros((5, 5), np.uint8), 1, window=Window(600, 300, 5, 5))


def _edit_pam(old: str, new: str) -> Callable[[Path], None]:
    def edit(out: Path) -> None:
        path = out / "classes.tif.aux.xml"
        assert old in path.read_text("utf-8")
        path.write_text(path.read_text("utf-8").replace(old, new, 1), "utf-8")

    return edit


def _plain_tiff(out: Path) -> None:
    with rasterio.open(out / "confidence.tif") as src:
        profile, pixels = src.profile | {"tiled": False}, src.read()
    del profile["blockxsize"], profile["blockysize"]
    with rasterio.open(out / "confidence.tif", "w", **profile) as dst:
        dst.write(pixels)


@pytest.mark.parametrize(
    ("damage", "finding"),
    [
        (_edit_classes(2), "classes.tif: pixel counts as in run.json"),
        (_edit_classes(2), "classes.tif: attribute table counts true pixels"),
        (_edit_classes(3), "classes.tif: only classes of the table"),
        (_edit_confidence, "confidence.tif: nodata exactly where classes.tif has it"),
        (_plain_tiff, "confidence.tif: valid COG"),
        (_plain_tiff, "confidence.tif: software tag"),
        (_plain_tiff, "confidence.tif: values scaled as in run.json"),
        (_edit_pam("<Category>building</Category>", "<Category />"), "classes.tif: every class is named"),
        (_edit_pam('<Entry c1="200"', '<Entry c1="201"'), "classes.tif: legend colours as the table"),
        (_edit_pam("<Category>No data</Category>", ""), "classes.tif: names and colours for exactly the classes"),
        (_edit_pam("<F>4</F>", "<F>3</F>"), "classes.tif: attribute table has every class"),
        (sql("DROP TABLE layer_styles"), "buildings.gpkg: readable"),
        (sql("UPDATE layer_styles SET useAsDefault = 0"), "buildings.gpkg: one default style"),
        (sql("UPDATE buildings SET class_id = 2 WHERE fid = 3"), "buildings.gpkg: every value is styled and named"),
        (sql("UPDATE buildings SET area_m2 = area_m2 * 1.002 WHERE fid = 3"), "buildings.gpkg: areas are geodesic"),
        (sql("UPDATE buildings SET area_m2 = NULL WHERE fid = 3"), "buildings.gpkg: areas are geodesic"),
        (sql("UPDATE gpkg_ogr_contents SET feature_count = 39"), "buildings.gpkg: all counts agree"),
        (sql("DELETE FROM rtree_buildings_geom WHERE id = 3"), "buildings.gpkg: all counts agree"),
        (sql("PRAGMA journal_mode = wal"), "buildings.gpkg: GeoPackage with a rollback journal"),
        (
            sql("UPDATE gpkg_data_column_constraints SET description = 'x'"),
            "buildings.gpkg: class domain as the table",
        ),
        (sql("UPDATE gpkg_metadata SET metadata = '{}'"), "buildings.gpkg: provenance as in run.json"),
        (
            sql("UPDATE gpkg_contents SET srs_id = 4326", "UPDATE gpkg_geometry_columns SET srs_id = 4326"),
            "buildings.gpkg: CRS as in run.json",
        ),
    ],
)
def test_each_damage_is_found_even_where_the_digests_agree(
    out: Path, damage: Callable[[Path], None], finding: str
) -> None:
    damage(out)
    restate(out)
    assert finding in faults(out)


def test_invalid_geometry_is_found(out: Path) -> None:
    bow_tie = shapely.Polygon([(500_200, 5_399_900), (500_220, 5_399_920), (500_220, 5_399_900), (500_200, 5_399_920)])
    blob = shapely.to_wkb(shapely.MultiPolygon([bow_tie]))
    header = b"GP\0\1" + (32633).to_bytes(4, "little")  # GeoPackage binary without an envelope
    with closing(sqlite3.connect(out / "buildings.gpkg", isolation_level=None)) as db:
        for function in ("ST_IsEmpty", "ST_MinX", "ST_MaxX", "ST_MinY", "ST_MaxY"):
            db.create_function(function, 1, lambda _: 0.0)
        db.execute("UPDATE buildings SET geom = ? WHERE fid = 3", (header + blob,))
    restate(out)
    assert "buildings.gpkg: geometries are valid" in faults(out)


def test_wrong_grid_is_found_in_every_raster(out: Path) -> None:
    grid = json.loads((out / "run.json").read_text())["grid"]
    grid["transform"][2] += 0.5
    restate(out, grid=grid)
    rasters = ("classes.tif", "confidence.tif", "probabilities.tif")
    assert faults(out) == [f"{name}: grid as in run.json" for name in rasters]


def test_overviews_that_mix_classes_are_found(tmp_path: Path) -> None:
    def averaged(layer: Layer) -> Layer:
        return replace(layer, kind="probability")  # as if the ids were probabilities

    assert "classes.tif: overview 0 shows only what the raster holds" in faults(
        finished_folder(tmp_path / "out", overviews_of=averaged)
    )


def test_cog_rules_agree_with_rio_cogeo(sound: Path, tmp_path: Path) -> None:
    with rasterio.open(sound / "confidence.tif") as src:
        pixels = src.read(1)
    tiled = {"tiled": True, "blockxsize": 512, "blockysize": 512}
    for name, options, levels in [
        ("striped", {}, []),
        ("no overviews", tiled, []),
        ("overviews behind", tiled, [2, 4]),
    ]:
        path = tmp_path / f"{name}.tif"
        with rasterio.open(
            path, "w", driver="GTiff", dtype="uint8", count=1, height=GRID.height, width=GRID.width, crs=GRID.crs,
            transform=GRID.transform, **options,
        ) as dst:  # fmt: skip
            dst.write(pixels, 1)
        if levels:
            with rasterio.open(path, "r+") as dst:
                dst.build_overviews(levels)
        assert not cog_validate(path, strict=True, quiet=True)[0]
        assert cog_faults(path)
    for name in ("classes.tif", "confidence.tif", "probabilities.tif"):
        assert cog_validate(sound / name, strict=True, quiet=True)[0]
        assert cog_faults(sound / name) == []


def test_findings_say_what_was_found(sound: Path) -> None:
    found = {f.name: f for f in check_outputs(sound)}
    assert found["classes.tif: every class is named"] == Finding(
        "classes.tif: every class is named",
        ok=True,
        detail="No data, background, Wälder & <Wiesen>, (not used), building",
    )


def test_a_job_folder_that_was_kept_is_no_fault(out: Path) -> None:
    (out / ".job").mkdir()
    assert faults(out) == []


@pytest.fixture
def bare(out: Path) -> Path:
    """A run of classes alone."""
    for name in ("buildings.gpkg", "probabilities.tif", "confidence.tif"):
        (out / name).unlink()
    restate(out, polygons=None, layers=layers_of_run(out)[:1])
    return out


def add_raster(out: Path, layer: Layer, pixels: NDArray[np.generic], *, told: Layer | None = None) -> None:
    """Write a layer into a finished folder as a run would; told: what run.json says of it, where that is not so."""
    encoder = PartEncoder(GRID.shape, [layer], overviews=2)
    encoder.add({layer.name: pixels})
    part = out.parent / f"{layer.name}_part.tif"
    write_part(part, encoder.finish(), grid=GRID, record={"id": layer.name})
    (out / str(layer.file)).unlink(missing_ok=True)
    assemble({GRID.box: part}, GRID, {0: layer}, out / str(layer.file), tags={"GEOSEG_MODEL": "test"})
    others = [row for row in layers_of_run(out) if row["name"] != layer.name]
    restate(out, layers=[*others, (told or layer).as_json()])


def known_pixels(out: Path) -> NDArray[np.bool_]:
    with rasterio.open(out / "classes.tif") as src:
        return src.read(1) > 0


def test_a_number_layer_of_int16_is_judged_as_its_layer_says(bare: Path) -> None:
    known = known_pixels(bare)
    pixels = np.where(known, np.random.default_rng(3).integers(-300, 3000, GRID.shape), -9999).astype(np.int16)
    add_raster(bare, HEIGHT, pixels)
    assert faults(bare) == []
    assert sum(f.name.startswith("height.tif") for f in check_outputs(bare)) > 8
    for told, fault in [
        (replace(HEIGHT, nodata=0), "type and nodata as in run.json"),
        (replace(HEIGHT, dtype="float32"), "type and nodata as in run.json"),
        (replace(HEIGHT, scale=1.0), "values scaled as in run.json"),
    ]:
        add_raster(bare, HEIGHT, pixels, told=told)
        assert f"height.tif: {fault}" in faults(bare)
    add_raster(bare, HEIGHT, np.where(np.arange(GRID.width) == 700, -9999, pixels).astype(np.int16))
    assert faults(bare) == ["height.tif: nodata exactly where classes.tif has it"]
    shutil.copy(bare.parent / "height_part.tif", bare / "height.tif")  # a part bears neither
    restate(bare)
    assert {"height.tif: software tag", "height.tif: values scaled as in run.json"} < {*faults(bare)}


def test_a_layer_of_ids_of_uint32_is_judged_as_its_layer_says(bare: Path) -> None:
    known = known_pixels(bare)
    rows, cols = np.mgrid[: GRID.height, : GRID.width]
    ids = np.where(known & (rows % 7 < 5), 70_000 + rows // 7 * 2000 + cols // 7 * 10, 0).astype(np.uint32)
    add_raster(bare, IDS, ids)
    assert faults(bare) == []  # unlike a number, an id may be missing where there is a class
    add_raster(bare, replace(IDS, kind="number"), ids, told=IDS)  # averages of ids are ids of nothing
    assert "ids.tif: overview 0 shows only what the raster holds" in faults(bare)
    add_raster(bare, IDS, np.where(known, ids, 5).astype(np.uint32))
    assert faults(bare) == ["ids.tif: nodata exactly where classes.tif has it"]
    add_raster(bare, IDS, ids, told=replace(IDS, kind="number"))
    assert faults(bare) == ["ids.tif: nodata exactly where classes.tif has it"]


def test_a_layer_comes_back_from_json() -> None:
    for layer in (HEIGHT, IDS, Layer("change", "number", dtype="float32", nodata=float("nan")), LAYERS[0]):
        text = json.dumps(layer.as_json(), allow_nan=False)
        assert repr(Layer.from_json(json.loads(text))) == repr(replace(layer, nodata=float(layer.nodata)))
