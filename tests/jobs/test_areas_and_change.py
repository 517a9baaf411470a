"""Hectares by zone in any CRS, and what became what."""

import csv
from itertools import pairwise
from pathlib import Path

import geopandas as gpd
import numpy as np
import pyogrio
import pytest
import rasterio
import shapely
from affine import Affine
from make_outputs import CLASSES, finished_folder
from rasterio.crs import CRS

from geoseg.errors import InputError, OutputError
from geoseg.jobs.areas import areas
from geoseg.jobs.change import change
from geoseg.outputs.category_raster import write_categories
from geoseg.outputs.check import cog_faults
from geoseg.values.grid import Grid

METRES = Grid(CRS.from_epsg(32633), Affine(10, 0, 500_000, 0, -10, 5_400_000), (300, 400))
DEGREES = Grid(CRS.from_epsg(4326), Affine(1e-4, 0, 10, 0, -1e-4, 60), (300, 400))
FEET = Grid(CRS.from_epsg(2249), Affine(30, 0, 700_000, 0, -30, 3_000_000), (300, 400))
TURNED = Grid(CRS.from_epsg(32633), Affine(8, 3, 500_000, 3, -8, 5_400_000), (300, 400))
MERCATOR = Grid(CRS.from_epsg(3857), Affine(20, 0, 1_000_000, 0, -20, 8_000_000), (300, 400))


def a_map(path: Path, grid: Grid, ids: np.ndarray | None = None) -> Path:
    if ids is None:
        rows, cols = np.mgrid[: grid.height, : grid.width]
        ids = np.array([1, 2, 4], np.uint8)[(rows // 31 + cols // 47) % 3]
        ids[:40, :60] = 0
    counts = dict(enumerate(np.bincount(ids.ravel(), minlength=256).tolist()))
    boxes = [(grid.box, ids)]
    write_categories(path, boxes, grid, CLASSES, pixels=counts, area_ha=dict.fromkeys(range(256), 1.0), layer="classes")
    return path


def zones_over(path: Path, grid: Grid, crs: str | int, *, parts: int = 4) -> Path:
    """Stripes that tile the map; their common borders go through the middles of pixels."""
    cuts = [0, *(round(grid.width / parts) * k + 0.5 for k in range(1, parts)), grid.width]
    shapes = [shapely.box(a, 0, b, grid.height) for a, b in pairwise(cuts)]
    shapes = [shapely.segmentize(s, 5) for s in shapes]
    shapes = shapely.transform(np.array(shapes), lambda xy: np.array(grid.transform @ xy.T).T)
    frame = gpd.GeoDataFrame({"name": list("abcd")[:parts]}, geometry=shapes, crs=grid.crs.to_wkt())
    frame.to_crs(crs).to_file(path)
    return path


@pytest.mark.parametrize(
    "grid", [METRES, DEGREES, FEET, TURNED, MERCATOR], ids=["metres", "degrees", "feet", "turned", "3857"]
)
def test_zones_that_cover_the_map_add_up_to_it_in_any_crs(tmp_path: Path, grid: Grid) -> None:
    raster = a_map(tmp_path / "classes.tif", grid)
    rows = areas(raster, zones_over(tmp_path / "z.gpkg", grid, grid.crs.to_wkt()), tmp_path / "areas.gpkg")
    with rasterio.open(raster) as src:
        ids = src.read(1)
    per_row = np.array([np.bincount(row, minlength=5) for row in ids])
    whole = grid.row_areas_m2() @ per_row / 1e4
    for name, i in (("nodata", 0), ("background", 1), ("walder_wiesen", 2), ("building", 4)):
        assert sum(row[f"{name}_ha"] for row in rows) == pytest.approx(whole[i], rel=1e-3)
    shares = [sum(value for key, value in row.items() if key.endswith("_share")) for row in rows]
    assert shares == pytest.approx([1] * 4, abs=1e-5)
    measured = [sum(row[f"{n}_ha"] for n in ("nodata", "background", "walder_wiesen", "building")) for row in rows]
    assert measured == pytest.approx([row["zone_ha"] for row in rows], rel=6e-3)  # half a column is 0.5 %
    assert sum(measured) == pytest.approx(sum(row["zone_ha"] for row in rows), rel=1e-3)


def test_zones_of_a_runs_folder_in_another_crs_count_its_polygons(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    out = finished_folder(tmp_path / "out")
    with rasterio.open(out / "classes.tif") as src:
        grid = Grid(src.crs, src.transform, src.shape)
    zones = zones_over(tmp_path / "z.gpkg", grid, 4326)
    rows = areas(out, zones, tmp_path / "areas.csv")
    assert sum(row["polygons"] for row in rows) == 40
    with (tmp_path / "areas.csv").open(encoding="utf-8") as file:
        written = list(csv.DictReader(file))
    assert [row["name"] for row in written] == list("abcd")
    assert float(written[2]["building_ha"]) == rows[2]["building_ha"]
    assert not caplog.records
    far = gpd.read_file(zones)
    far.geometry = [far.geometry[0], far.geometry[0], far.geometry[1].union(far.geometry[2]), shapely.box(1, 1, 2, 2)]
    far.to_file(tmp_path / "far.gpkg")
    rows = areas(out, tmp_path / "far.gpkg", tmp_path / "far.fgb")
    assert rows[0]["building_ha"] == rows[1]["building_ha"]
    assert rows[3]["nodata_share"] == 1
    assert [r.message for r in caplog.records] == [
        "far.gpkg: 1 pairs of zones overlap; each zone is counted on its own"
    ]
    for read in (out / "buildings.gpkg", zones):
        with pytest.raises(OutputError, match="is read by this run"):
            areas(out, zones, read, overwrite=True)


def test_zones_beside_the_map_are_refused(tmp_path: Path) -> None:
    raster = a_map(tmp_path / "classes.tif", METRES)
    gpd.GeoDataFrame(geometry=[shapely.box(1, 1, 2, 2)], crs=4326).to_file(tmp_path / "z.gpkg")
    with pytest.raises(InputError, match=r"z\.gpkg: no zone meets the map"):
        areas(raster, tmp_path / "z.gpkg", tmp_path / "a.csv")
    assert not (tmp_path / "a.csv").exists()


def test_a_map_has_not_changed_against_itself(tmp_path: Path) -> None:
    raster = a_map(tmp_path / "classes.tif", METRES)
    made = change(raster, raster, tmp_path / "out")
    assert made["polygons"] == 0
    assert all(row["from_id"] == row["to_id"] for row in made["changes"])
    with rasterio.open(tmp_path / "out/change.tif") as src:
        assert set(np.unique(src.read(1))) == {0, 1}
    assert len(pyogrio.read_dataframe(tmp_path / "out/change.gpkg", layer="change")) == 0


def test_a_change_is_what_was_changed(tmp_path: Path) -> None:
    ids = np.full(METRES.shape, 1, np.uint8)
    ids[:, :10] = 0
    later = ids.copy()
    later[50:80, 100:150] = 4
    later[200, 300] = 2
    later[:20, :20] = 0
    ids[100:110, 200:210] = 2
    before, after = a_map(tmp_path / "a.tif", METRES, ids), a_map(tmp_path / "b.tif", METRES, later)
    made = change(before, after, tmp_path / "out", min_area_m2=200)
    pairs = {(row["from_class"], row["to_class"]): row for row in made["changes"]}
    assert pairs["background", "building"]["pixels"] == 30 * 50
    assert pairs["background", "building"]["area_ha"] == pytest.approx(15, rel=1e-3)
    assert pairs["background", "Wälder & <Wiesen>"]["pixels"] == 1
    assert sum(row["pixels"] for row in made["changes"]) == 300 * 390 - 20 * 10
    frame = pyogrio.read_dataframe(tmp_path / "out/change.gpkg", layer="change")
    assert sorted(frame["change"]) == ["Wälder & <Wiesen> → background", "background → building"]
    assert frame.area_m2.tolist() == pytest.approx(frame.to_crs(METRES.crs.to_wkt()).area, rel=1e-3)
    with rasterio.open(tmp_path / "out/change.tif") as src:
        kinds = src.read(1)
        names = {int(key[6:]): name for key, name in src.tags(1).items() if key.startswith("CLASS_")}
    assert (kinds == 0).sum() == 300 * 10 + 20 * 10
    assert {names[i] for i in np.unique(kinds[kinds > 0])} == {"unchanged", *(f"{a} → {b}" for a, b in pairs if a != b)}
    assert cog_faults(tmp_path / "out/change.tif") == []


def test_maps_that_cannot_be_compared(tmp_path: Path) -> None:
    before, after = a_map(tmp_path / "a.tif", METRES), a_map(tmp_path / "b.tif", FEET)
    with pytest.raises(InputError, match=r"b\.tif: has another grid than .*a\.tif: CRS EPSG:2249, not EPSG:32633"):
        change(before, after, tmp_path / "out")
    with rasterio.open(before, "r+", IGNORE_COG_LAYOUT_BREAK="YES") as src:
        src.update_tags(1, CLASS_4="lake")
    after = a_map(tmp_path / "b.tif", METRES)
    with pytest.raises(InputError, match=r"b\.tif: has another class table \(4: building, not lake\)"):
        change(before, after, tmp_path / "out")
    assert not (tmp_path / "out").exists()
