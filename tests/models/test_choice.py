"""The model is chosen by bands, pixel size and values; where none fits, what is against each is said."""

import numpy as np
import pytest
from affine import Affine
from rasterio.crs import CRS

from geoseg.errors import InputError
from geoseg.models import choice
from geoseg.models.bundle import load_model
from geoseg.models.choice import Judged, fitting, judge
from geoseg.models.spec import Architecture, Channel, ModelSpec, Normalisation
from geoseg.scenes.sample import Sample
from geoseg.scenes.scene import BandSource, Scene
from geoseg.values.bands import BandSet
from geoseg.values.classes import BUILDING_CLASSES
from geoseg.values.grid import Grid

SATELLITE = "blue,green,red,nir,swir16"
SPECTRAL = load_model("spectral").spec
AERIAL = ModelSpec(
    name="aerial",
    arch=Architecture(name="compact-unet", options={"widths": [4, 8]}),
    bands=BandSet.parse("red,green,blue,nir").bands,
    gsd_m=1.0,
    normalisation=Normalisation(mean=(110.0, 110.0, 100.0, 120.0), std=(40.0, 40.0, 40.0, 45.0)),
    channels=(Channel(name="background", class_id=1), Channel(name="building", class_id=2)),
    classes=BUILDING_CLASSES,
)


def scene_of(bands, pixel_m, dtype="uint16"):
    named = BandSet.parse(bands)
    return Scene(
        grid=Grid(CRS.from_epsg(32633), Affine(pixel_m, 0, 5e5, 0, -pixel_m, 5.3e6), (100, 100)),
        bands=named, named=True, sources=tuple(BandSource("s.tif", i + 1) for i in range(len(named))), dtype=dtype,
        block=(100, 100),
    )  # fmt: skip


def looks(low, high, dtype="uint16"):
    """Return a look that sees values from low to high in every band."""

    def look(scene):
        data = np.linspace(low, high, 1000).astype(dtype)
        return Sample(np.broadcast_to(data, (1, len(scene.bands), 1000)), np.ones((1, 1000), np.bool_))

    return look


@pytest.mark.parametrize(
    ("scene", "look", "spec", "against"),
    [
        (scene_of(SATELLITE, 10), looks(200, 4000), SPECTRAL, ""),
        (scene_of(SATELLITE, 30, "float32"), looks(0.02, 0.6, "float32"), SPECTRAL, ""),
        (scene_of(SATELLITE, 500), looks(200, 4000), SPECTRAL, "pixels of 500 m, and it is for 10 to 30 m"),
        (scene_of("blue,green,red,nir", 10), looks(200, 4000), SPECTRAL, "band swir16 not found"),
        (scene_of(SATELLITE, 10, "uint8"), looks(3, 250, "uint8"), SPECTRAL, "takes reflectance 0 to 1"),
        (scene_of("red,green,blue,nir", 0.6, "uint8"), looks(3, 250, "uint8"), AERIAL, ""),
        (scene_of("red,green,blue,nir", 1), looks(200, 4000), AERIAL, "was trained on values of 0 to 255"),
        (scene_of("red,green,blue,nir", 0.05, "uint8"), looks(3, 250, "uint8"), AERIAL, "pixels of 0.05 m"),
    ],
)
def test_a_model_is_held_against_bands_pixels_and_values(scene, look, spec, against):
    judged = judge(scene, "m", spec, look)
    assert against in judged.against
    assert bool(against) == bool(judged.against)


def test_a_stretch_makes_numbers_of_another_range_fit():
    scene, look = scene_of("red,green,blue,nir", 1), looks(200, 4000)
    assert judge(scene, "m", AERIAL, look, stretch=(2, 98)).against == ""
    assert (
        "takes reflectance"
        in judge(scene_of(SATELLITE, 10, "uint8"), "m", SPECTRAL, looks(3, 250, "uint8"), stretch=(2, 98)).against
    )


def test_the_nearest_pixels_win_among_those_that_fit():
    judged = [Judged("a", "", 2.0), Judged("b", "", 1.0), Judged("c", "no such band", 1.0)]
    assert fitting(judged).name == "b"
    assert fitting([judged[2]]) is None


def test_the_choice_is_said_with_its_reason(monkeypatch, caplog):
    monkeypatch.setattr(
        choice, "judge", lambda _scene, name, _spec, **_: Judged(name, "" if name == "spectral" else "no", 1)
    )
    with caplog.at_level("INFO", logger="geoseg"):
        assert choice.chosen(scene_of(SATELLITE, 10)) == "spectral"
    [said] = [r.getMessage() for r in caplog.records]
    assert "model spectral, because its bands (blue, green, red, nir, swir16)" in said


def test_a_scene_that_no_model_is_for_gets_what_is_against_each(monkeypatch):
    monkeypatch.setattr(choice, "judge", lambda _scene, name, _spec, **_: Judged(name, f"{name} cannot", 9))
    with pytest.raises(InputError, match=r"no model .* fits \(.*spectral: spectral cannot\); geoseg models lists all"):
        choice.chosen(scene_of(SATELLITE, 500))
