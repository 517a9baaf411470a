"""Models of objects on scenes of nodata, of a pixel or a window, turned, in degrees, and on a disk that fills up."""

import detect
import numpy as np
import panoptic
import pytest
import rasterio
from conftest import largest_file, write_tif
from odd_places import places
from panoptic import assert_same_objects

from geoseg.cli import main

PLACES = places(window=256, large=300)


@pytest.mark.nightly
@pytest.mark.parametrize("task", ["panoptic", "objects"])
@pytest.mark.parametrize("place", PLACES)
def test_objects_come_back_wherever_the_scene_lies(place, task, tmp_path, capsys):
    side, crs, transform = PLACES[place]
    where = {"crs": crs, "transform": transform, "nodata": 65535 if task == "objects" else -9999.0}
    if task == "objects":
        ids = detect.truth_of((side, side), large=(), many=60 if side > 1 else 0, most=20)
        bands, model = ids[None].astype(np.uint16), detect.write_oracle(tmp_path / "m")
    else:
        classes, ids = panoptic.truth_of((side, side))
        bands, model = panoptic.answers_of(classes, ids), panoptic.write_oracle(tmp_path / "m")
    if place == "nodata":
        bands, ids = np.full_like(bands, where["nodata"]), np.zeros_like(ids)
    scene, out = write_tif(tmp_path / "scene.tif", bands, **where), tmp_path / "out"
    told = ["predict", str(scene), "-m", str(model), "-o", str(out)]
    if place == "turned":  # a disk that fills up, early and late; compiled code is stored before
        assert main([*told[:-1], str(tmp_path / "before")]) == 0
        for size in (3000, 12_000, 60_000):
            with largest_file(size):
                code = main(told)
            said = capsys.readouterr().err.strip().splitlines()
            assert code == 5, (size, said)
            assert said[-1].startswith("error: ")
            assert not {"run.json", "panoptic.tif", "instances.gpkg"} & {path.name for path in out.glob("*")}
    code = main(told)
    assert code == 0, capsys.readouterr().err
    assert main(["check", str(out)]) == 0
    with rasterio.open(out / "panoptic.tif") as src:
        found = src.read(1)
        assert (src.crs, src.transform) == (rasterio.crs.CRS.from_user_input(crs), transform)
    if ids.any():
        assert_same_objects(found, ids)
    assert (found > 0).all() == (place != "nodata")
    assert ids.max() > 10 or place in ("nodata", "pixel")
