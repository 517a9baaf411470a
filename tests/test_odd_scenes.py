"""Prompts, superpixels, fits and outlines on scenes of nodata, of a pixel or a window, turned and in degrees."""

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
from conftest import write_tif
from odd_places import places
from sam_folders import write_sam_folder

from geoseg.cli import main

PLACES = places(window=64, large=160)
FAULTS = {  # what is said instead, by scene and verb
    "nodata": {
        "prompt": "'a' lies where the scene has no data",
        "everything": "no valid pixel was found",
        "slic": "no valid pixel was found",
        "waterpixels": "no valid pixel was found",
        "otsu": "red has one value, or none",
        "kmeans": "none of its pixels is valid",
        "refine": "'a' lies on nodata",
    },
    "pixel": {
        "everything": "no mask",
        "otsu": "red has one value, or none",
        "kmeans": "2 clusters of 1 points",
    },
    "window": {"everything": "more than half a window"},
}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    pytest.importorskip("transformers")
    folder = tmp_path_factory.mktemp("sam")
    assert main(["import", str(write_sam_folder(folder / "saved")), "--family", "sam2", "-o", str(folder / "m")]) == 0
    return str(folder / "m")


@pytest.mark.nightly
@pytest.mark.parametrize("place", PLACES)
def test_every_verb_writes_its_files_or_says_why_not_in_a_sentence(place, model, tmp_path, capsys):
    side, crs, transform = PLACES[place]
    pixels = np.random.default_rng(0).integers(40, 90, (3, side, side)).astype(np.uint8)
    for at in (8, 34):
        pixels[:, at : at + 14, at : at + 16] += 120
    scene = str(write_tif(tmp_path / "scene.tif", pixels * (place != "nodata"), crs=crs, transform=transform, nodata=0))

    def on_map(shape):
        return shapely.transform(shape, lambda xy: np.column_stack(transform @ tuple(xy.T)))

    ground = on_map(shapely.box(0, 0, side, side))
    middle = min(side, 30) / 2
    for name, shape in (
        ("click", shapely.Point(middle, middle)),
        ("roof", shapely.Point(middle, middle).buffer(middle / 2)),
    ):
        gpd.GeoDataFrame({"object": ["a"]}, geometry=[on_map(shape)], crs=crs).to_file(tmp_path / f"{name}.gpkg")
    click, roof = (str(tmp_path / f"{name}.gpkg") for name in ("click", "roof"))
    asked = ["-m", model, "--embeddings", str(tmp_path / "cache")]
    verbs = {
        "prompt": (["prompt", scene, click, *asked], "objects.gpkg"),
        "everything": (
            ["prompt", scene, "--everything", "--least-iou", "0", "--least-stability", "0", *asked],
            "objects.gpkg",
        ),
        "slic": (["segment", scene], ".gpkg"),
        "waterpixels": (["segment", scene, "--method", "waterpixels"], ".gpkg"),
        "otsu": (["fit", scene, "--of", "red"], "model.json"),
        "kmeans": (["fit", scene, "--method", "kmeans", "--classes", "2"], "model.json"),
        "refine": (["refine", roof, scene], ".gpkg"),
    }
    for verb, (command, file) in verbs.items():
        out = tmp_path / (f"{verb}{file}" if file == ".gpkg" else verb)
        code, fault = main([*command, "-o", str(out)]), FAULTS.get(place, {}).get(verb)
        said = capsys.readouterr().err
        if fault is not None:
            assert (code, said.count("error: ")) == (3, 1), (verb, said)
            assert fault in said
            assert not out.exists() or not [*out.glob("[!.]*")]
            continue
        assert code == 0, (verb, said)
        written = out if file == ".gpkg" else out / file
        if file == "model.json":
            assert main(["predict", scene, "-m", str(out), "-o", str(tmp_path / f"{verb}_map"), "-q"]) == 0
            with rasterio.open(tmp_path / f"{verb}_map" / "classes.tif") as src:
                assert src.transform.almost_equals(transform, 1e-9)
                assert set(np.unique(src.read(1))) == {1, 2}
            continue
        found = gpd.read_file(written, layer=0)
        shapes = shapely.union_all(found.geometry[found.geometry.notna()])
        assert shapely.area(shapes - ground) < 1e-6 * ground.area
        if command[0] == "segment":
            assert shapes.area == pytest.approx(ground.area, rel=1e-6)
            assert found["pixels"].sum() == side**2
