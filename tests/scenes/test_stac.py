"""STAC items are scenes: bands by common name with the scales of the raster extension; several are a mosaic."""

import json

import numpy as np
import pytest
from affine import Affine
from conftest import write_tif

from geoseg.errors import InputError
from geoseg.scenes.open import open_scene
from geoseg.scenes.reading import read


def item(folder, name, *, east=3e5, value=3000, clouds=10.0, **properties):
    """Make an item of a red band of 10 m and an infrared one of 20 m, with a picture of it."""
    assets = {"visual": {"href": f"{name}_visual.tif", "type": "image/tiff; application=geotiff", "roles": ["visual"]}}
    for key, size, side in (("red", 10, 8), ("nir", 20, 4)):
        data = np.full((1, side, side), value, np.uint16)
        write_tif(folder / f"{name}_{key}.tif", data, transform=Affine(size, 0, east, 0, -size, 3.06e6))
        assets[key] = {
            "href": f"./{name}_{key}.tif", "type": "image/tiff; application=geotiff", "roles": ["data"],
            "eo:bands": [{"name": f"x{size}", "common_name": key}],
            "raster:bands": [{"scale": 1e-4, "offset": -0.1, "nodata": 0}],
        }  # fmt: skip
    own = {"datetime": "2024-05-03T10:00:00Z", "eo:cloud_cover": clouds, **properties}
    return {"type": "Feature", "stac_version": "1.0.0", "id": name, "properties": own, "assets": assets}


def write(path, content):
    path.write_text(json.dumps(content))
    return path


@pytest.mark.parametrize(("told", "value"), [({}, 0.2), ({"earthsearch:boa_offset_applied": True}, 0.3)])
def test_an_item_is_a_scene_of_its_bands(tmp_path, told, value):
    scene = open_scene(write(tmp_path / "a.json", item(tmp_path, "a", **told)))
    assert scene.bands.names == ("red", "nir")
    assert scene.grid.shape == (8, 8)
    np.testing.assert_allclose(scene.physical(read(scene, scene.grid.box).data.astype(np.float32)), value, atol=1e-6)


def test_a_collection_is_a_mosaic_of_which_the_clearest_gives_the_pixel(tmp_path):
    items = [
        item(tmp_path, "a", value=3000),
        item(tmp_path, "b", value=4000, clouds=1.0),
        item(tmp_path, "c", east=3e5 + 80),
    ]
    path = write(tmp_path / "all.json", {"type": "FeatureCollection", "features": items})
    one = open_scene(f"{path}#b")
    assert read(one, one.grid.box).data[0, 0, 0] == 4000
    with pytest.raises(InputError, match="no such file"):
        open_scene(f"{path}#z")
    for overlap, value in (("first", 3000), ("clearest", 4000)):
        scene = open_scene(path, overlap=overlap)
        assert scene.grid.shape == (8, 16)
        assert read(scene, scene.grid.box).data[0, 0, [0, 15]].tolist() == [value, 3000]


def test_the_items_of_a_collection_are_dates_where_it_is_asked_for(tmp_path):
    items = [
        item(tmp_path, "june", value=4000, datetime="2024-06-01T10:00:00Z"),
        item(tmp_path, "may", value=3000),
    ]
    path = write(tmp_path / "all.json", {"type": "FeatureCollection", "features": items})
    scene = open_scene(f"datetime={path}")
    assert scene.bands.names == ("red@1", "nir@1", "red@2", "nir@2")
    assert read(scene, scene.grid.box).data[:, 0, 0].tolist() == [3000, 3000, 4000, 4000]
    items[0]["properties"]["datetime"] = "2024-05-03T10:00:20Z"
    write(path, {"type": "FeatureCollection", "features": items})
    with pytest.raises(InputError, match="the date 2024-05-03 comes twice, with items on the same ground"):
        open_scene(f"datetime={path}")
    beside = item(tmp_path, "beside", east=3e5 + 80, value=5000, datetime="2024-05-03T10:00:20Z")
    june = item(tmp_path, "june", value=4000, datetime="2024-06-01T10:00:00Z")
    write(path, {"type": "FeatureCollection", "features": [june, items[1], beside]})
    scene = open_scene(f"datetime={path}")
    raster = read(scene, scene.grid.box)
    assert scene.grid.shape == (8, 16)
    assert raster.data[::2, 0, [0, 15]].tolist()[0] == [3000, 5000]
    assert raster.data[2, 0, 0] == 4000
    assert np.isnan(raster.data[2, 0, 15])
    items[0]["properties"]["datetime"] = None
    write(path, {"type": "FeatureCollection", "features": items})
    with pytest.raises(InputError, match="holds no STAC items that all say their datetime"):
        open_scene(f"datetime={path}")


def test_what_lacks_assets_is_refused(tmp_path):
    content = item(tmp_path, "a")
    with pytest.raises(InputError, match="no quality band of it is known"):
        open_scene(write(tmp_path / "a.json", content), mask_quality=True)
    (tmp_path / "a_nir.tif").unlink()
    with pytest.raises(InputError, match=r"a_nir\.tif: no such file"):
        open_scene(tmp_path / "a.json")
    (tmp_path / "cut.json").write_text('{"type": "Feature", "assets')
    with pytest.raises(InputError, match=r"cut\.json: no JSON"):
        open_scene(tmp_path / "cut.json")
    content["assets"] = {}
    with pytest.raises(InputError, match="item a has no raster among its assets"):
        open_scene(write(tmp_path / "b.json", content))
