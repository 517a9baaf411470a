"""The field's jobs on toys, from training to what is handed in: the commands of docs/applications.md."""

import csv
import json
from dataclasses import dataclass, field
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
import yaml
from affine import Affine
from conftest import write_tif

from geoseg.cli import main

pytestmark = pytest.mark.nightly
CONFIGS = Path(__file__).parents[2] / "configs"
SIDE = 256
LEFT, TOP = 3e5, 3.06e6


@dataclass
class Toy:
    """A job in a folder of its own, and how wide its pixels are."""

    folder: Path
    job: str
    pixel_m: float
    made: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))

    @property
    def place(self) -> Affine:
        return Affine(self.pixel_m, 0, LEFT, 0, -self.pixel_m, TOP)

    def image(self, file: str, kinds: np.ndarray, looks: dict[str, tuple[int, ...]]) -> Path:
        """Write a scene of kinds (H, W): what each looks like in the bands that are named, with noise."""
        values = np.array(list(looks.values()))[:, kinds] + self.made.normal(0, 6, (len(looks), SIDE, SIDE))
        write_tif(self.folder / file, np.rint(values).clip(1, 255).astype(np.uint8), transform=self.place)
        with rasterio.open(self.folder / file, "r+") as scene:
            scene.descriptions = tuple(looks)
        return self.folder / file

    def box(self, row0: int, row1: int, col0: int, col1: int) -> shapely.Polygon:
        """Return the ground of some pixels."""
        (west, north), (east, south) = self.place @ (col0, row0), self.place @ (col1, row1)
        return shapely.box(west, south, east, north)

    def layer(self, file: str, shapes: list[shapely.Geometry], **columns: list[str]) -> Path:
        gpd.GeoDataFrame(columns, geometry=shapes, crs="EPSG:32645").to_file(self.folder / file)
        return self.folder / file

    def train(self, steps: int) -> Path:
        """Train the job's config for two epochs, with a small network, blocks and windows that fit the toy."""
        content = yaml.safe_load((CONFIGS / f"train_{self.job}.yaml").read_text())
        content["arch"] = {"name": "compact-unet", "options": {"widths": [8, 16]}}
        content["split"] = {"by": "blocks", "side_m": 64 * self.pixel_m, "buffer_m": 0}
        content["schedule"] |= {
            "epochs": 2, "steps_per_epoch": steps // 2, "batch": 4, "crop_px": 64, "learning_rate": 0.01,
            "precision": "fp32",
        }  # fmt: skip
        content |= {"window_px": 128, "margin_px": 16, "ramp_px": 32}
        config, model = self.folder / "train.yaml", self.folder / "model"
        config.write_text(yaml.safe_dump(content))
        run("train", config, "--data", self.folder, "-o", model)
        return model

    def areas(self, out: Path) -> list[dict[str, float]]:
        """Return what geoseg areas counts in the western and in the eastern half."""
        halves = [self.box(0, SIDE, 0, SIDE // 2), self.box(0, SIDE, SIDE // 2, SIDE)]
        run("areas", out, "--zones", self.layer("zones.gpkg", halves), "-o", self.folder / "areas.csv")
        with (self.folder / "areas.csv").open() as file:
            return [{k: float(v) for k, v in row.items() if k != "most_of_it"} for row in csv.DictReader(file)]

    def halves(self, mask: np.ndarray) -> list[float]:
        """Return the share of a mask (H, W) in both halves."""
        return [float(mask[:, : SIDE // 2].mean()), float(mask[:, SIDE // 2 :].mean())]


def run(*command: str | Path) -> None:
    assert main([*map(str, command), "-q"]) == 0


def cells(chosen: np.ndarray) -> np.ndarray:
    """Return a value for each pixel, of one for each cell."""
    px = SIDE // len(chosen)
    return chosen.repeat(px, 0).repeat(px, 1)


def test_flood_is_water_beyond_the_usual_and_hectares_by_district(tmp_path):
    toy = Toy(tmp_path, "flood", 10.0)
    usual, flooded = np.zeros((2, SIDE, SIDE), int)
    usual[:, 100:116] = flooded[:, 100:116] = 1
    flooded[80:200, 60:180] = 1
    looks = {"blue": (60, 90), "green": (80, 80), "red": (90, 60), "nir": (150, 30), "swir16": (140, 20)}
    scenes = [toy.image("usual.tif", usual, looks), toy.image("scene.tif", flooded, looks)]
    toy.layer("water.gpkg", [toy.box(0, SIDE, 100, 116), toy.box(80, 200, 60, 180)], kind=["water"] * 2)
    model, (before, after) = toy.train(30), (tmp_path / "before", tmp_path / "after")
    for scene, out in zip(scenes, (before, after), strict=True):
        run("predict", scene, "-m", model, "-o", out)
    assert [row["water_share"] for row in toy.areas(after)] == pytest.approx(toy.halves(flooded), abs=0.02)
    run("change", before, after, "-o", tmp_path / "change")
    with (tmp_path / "change" / "change.csv").open() as file:
        became = {(row["from_class"], row["to_class"]): float(row["area_ha"]) for row in csv.DictReader(file)}
    assert became["dry", "water"] == pytest.approx(1e-2 * (flooded > usual).sum(), rel=0.05)
    assert became.get(("water", "dry"), 0) < 1
    run("vectorize", after / "classes.tif", "--kind", "coverage", "-o", tmp_path / "flood.gpkg")
    drawn = gpd.read_file(tmp_path / "flood.gpkg")
    assert shapely.coverage_is_valid(drawn.geometry.values)
    assert shapely.area(drawn.geometry.values).sum() == pytest.approx((SIDE * 10.0) ** 2)
    water = shapely.union_all(drawn.geometry.values[drawn["class_name"] == "water"])
    true = shapely.union_all(gpd.read_file(tmp_path / "water.gpkg").geometry.values)
    assert water.intersection(true).area > 0.95 * water.union(true).area


def test_forest_loss_of_two_dates_is_hectares_and_polygons_above_an_area(tmp_path):
    toy = Toy(tmp_path, "forest_loss", 10.0)
    lost, small = (toy.made.random((16, 16)) < 0.15).astype(int), np.zeros((SIDE, SIDE), bool)
    small[4:250:64, 4:250:64] = True  # single pixels, which nobody labels
    looks = {"red": (40, 110), "nir": (160, 90), "swir16": (60, 150)}
    before = toy.image("before.tif", np.zeros((SIDE, SIDE), int), looks)
    after = toy.image("after.tif", cells(lost) | small, looks)
    patches = [toy.box(r * 16, r * 16 + 16, c * 16, c * 16 + 16) for r, c in np.argwhere(lost)]
    toy.layer("loss.gpkg", patches, kind=["loss"] * len(patches))
    model, out = toy.train(30), tmp_path / "out"
    run("predict", f"2023-06-01={before}", f"2024-06-01={after}", "-m", model, "-o", out)
    assert [row["loss_share"] for row in toy.areas(out)] == pytest.approx(toy.halves(cells(lost)), abs=0.02)
    least = ["--class-id", "2", "--method", "contour", "--min-area-m2", "5000"]
    run("vectorize", out / "classes.tif", *least, "-o", tmp_path / "found.gpkg")
    found, true = gpd.read_file(tmp_path / "found.gpkg").geometry.values, shapely.union_all(patches)
    assert shapely.area(found).min() >= 5000
    assert shapely.union_all(found).intersection(true).area > 0.95 * shapely.union_all(found).union(true).area


def test_fields_that_touch_are_polygons_of_their_own_without_gap_or_overlap(tmp_path):
    toy = Toy(tmp_path, "fields", 10.0)
    sown = toy.made.random((8, 8)) < 0.7
    rows, cols = np.mgrid[:8, :8]
    kinds = cells(np.where(sown, 1 + (rows + 2 * cols) % 3, 0))  # neighbours differ
    toy.image("scene.tif", kinds, dict.fromkeys(("blue", "green", "red", "nir"), (50, 110, 160, 210)))
    fields = [toy.box(r * 32, r * 32 + 32, c * 32, c * 32 + 32) for r, c in np.argwhere(sown)]
    truth = toy.layer("fields.gpkg", fields, kind=["field"] * len(fields))
    model, out = toy.train(120), tmp_path / "out"
    least = ["--method", "contour", "--min-area-m2", "5000", "--min-hole-m2", "5000"]
    run("buildings", tmp_path / "scene.tif", "-m", model, "-o", out, *least)
    drawn = gpd.read_file(out / "buildings.gpkg", layer="buildings")
    assert set(drawn["class_name"]) == {"field"}
    assert shapely.coverage_is_valid(drawn.geometry.values)
    assert len(shapely.get_parts(shapely.union_all(drawn.geometry.values))) < len(fields) / 3  # most fields touch
    drawn_as = ["--truth", truth, "--tolerance-m", "10", "--json", tmp_path / "told.json"]
    run("evaluate", out / "buildings.gpkg", *drawn_as)
    told = json.loads((tmp_path / "told.json").read_text())
    print(f"{len(drawn)} polygons, {len(fields)} fields, {told['objects']}")
    assert told["objects"]["f1"] > 0.75


def test_weeds_are_a_share_of_each_plot(tmp_path):
    toy = Toy(tmp_path, "weeds", 0.005)
    kinds = cells(toy.made.choice(3, (16, 16), p=[0.6, 0.25, 0.15]))
    toy.image("field.tif", kinds, {"red": (130, 60, 110), "green": (110, 140, 170), "blue": (90, 60, 50)})
    write_tif(tmp_path / "plants.tif", kinds.astype(np.uint8)[None], transform=toy.place)
    model, out = toy.train(30), tmp_path / "out"
    run("predict", tmp_path / "field.tif", "-m", model, "-o", out)
    found = toy.areas(out)
    for kind, name in enumerate(("soil", "crop", "weed")):
        assert [row[f"{name}_share"] for row in found] == pytest.approx(toy.halves(kinds == kind), abs=0.03)


def test_plants_are_counted_by_plot_where_they_touch_too(tmp_path):
    toy = Toy(tmp_path, "plant_counts", 0.02)
    rows, cols = np.mgrid[:SIDE, :SIDE]
    middles = [(r, c) for r in range(16, SIDE, 32) for c in range(16, SIDE, 32)]
    pairs = [(r + d, c) for r, c in middles if (r + c) % 64 == 0 for d in (-7, 8)]
    middles = [(r, c) for r, c in middles if (r + c) % 64 != 0] + pairs
    plant = np.any([(rows - r) ** 2 + (cols - c) ** 2 <= 7.5**2 for r, c in middles], axis=0)
    toy.image("field.tif", plant.astype(int), {"red": (130, 60), "green": (110, 150), "blue": (90, 60)})
    toy.layer("plants.gpkg", [shapely.Point(toy.place @ (c + 0.5, r + 0.5)) for r, c in middles])
    model, out = toy.train(240), tmp_path / "out"
    least = ["--method", "contour", "--min-area-m2", "0.02", "--min-hole-m2", "0.02"]
    run("buildings", tmp_path / "field.tif", "-m", model, "-o", out, *least)
    counts, true = [row["polygons"] for row in toy.areas(out)], [sum(c < 128 for _, c in middles)]
    true.append(len(middles) - true[0])
    print(f"{counts} plants, {true} true")
    assert counts == pytest.approx(true, rel=0.1)
