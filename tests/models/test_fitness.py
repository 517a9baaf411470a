"""Values of a scene against those of training: another unit is refused, a shift is said, and a stretch matches them."""

from dataclasses import replace

import numpy as np
import pytest
from affine import Affine
from pydantic import ValidationError
from rasterio.crs import CRS

from geoseg.errors import ConfigError, InputError
from geoseg.models.bundle import load_model
from geoseg.models.fitness import band_fits, doubts, refuse_unfit
from geoseg.models.spec import Normalisation
from geoseg.models.stretch import stretched
from geoseg.models.values import SHARES, TrainedValues, trained_values
from geoseg.scenes.sample import Sample
from geoseg.scenes.scene import BandSource, Scene
from geoseg.values.bands import BandSet
from geoseg.values.grid import Grid

RGB = BandSet.parse("red,green,blue")
BYTES = load_model("buildings").spec
GRID = Grid(CRS.from_epsg(32633), Affine(0.5, 0, 5e5, 0, -0.5, 5.3e6), (100, 100))


def trained(low, high, *, bands="red,green,blue,nir", bytes_alone=False):
    """Return a model of values spread evenly from low to high."""
    named = BandSet.parse(bands)
    row = tuple(low + (high - low) * share for share in SHARES)
    values = TrainedValues(quantiles=(row,) * len(named), bytes_alone=bytes_alone)
    normal = Normalisation(mean=(1.0,) * len(named), std=(1.0,) * len(named))
    return BYTES.model_copy(
        update={"bands": named.bands, "optional": (), "values": values, "normalisation": normal, "name": "m"}
    )


def looked(low, high, dtype, bands=RGB):
    """Return a scene and a sample of it with values spread evenly from low to high in every band."""
    sources = tuple(BandSource("s.tif", i + 1) for i in range(len(bands)))
    data = np.broadcast_to(np.linspace(low, high, 2000).astype(dtype), (1, len(bands), 2000))
    return Scene(GRID, bands, True, sources, dtype, (100, 100)), Sample(data, np.ones((1, 2000), np.bool_))


@pytest.mark.parametrize(
    ("values", "refused"),
    [
        ((0, 255, "uint8"), False), ((0, 1, "uint8"), False), ((0, 90, "uint16"), False), ((3, 250, "float32"), False),
        ((0, 258, "float32"), False), ((0, 1, "float32"), True), ((200, 4000, "uint16"), True),
        ((0, 65535, "uint16"), True), ((0, 1023, "int16"), True),
    ],
)  # fmt: skip
@pytest.mark.parametrize("told", [True, False])
def test_a_model_of_bytes_takes_bytes_of_any_type(values, refused, told):
    spec = BYTES if told else BYTES.model_copy(update={"values": None})
    scene, seen = looked(*values)
    if not refused:
        refuse_unfit(scene, spec, seen)
        return
    with pytest.raises(InputError, match=r"trained on values of 0 to 255, .*--scale .*--stretch 2,98") as caught:
        refuse_unfit(scene, spec, seen)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("values", "refused"),
    [
        ((0.0, 1.0, "float32"), True), ((0, 255, "uint8"), True), ((2e4, 2e5, "float32"), True),
        ((100, 900, "uint16"), False), ((8000, 16000, "uint16"), False), ((0, 255, "float32"), False),
    ],
)  # fmt: skip
def test_light_of_another_unit_is_refused_and_dark_or_bright_ground_is_not(values, refused):
    bands = BandSet.parse("red,green,blue,nir")
    scene, seen = looked(*values, bands)
    if refused:
        with pytest.raises(InputError, match="trained on values of 220 to 9820"):
            refuse_unfit(scene, trained(20, 10020), seen)
    else:
        refuse_unfit(scene, trained(20, 10020), seen)


def test_heights_and_radar_are_never_refused():
    for low, high in ((-25, 0), (0, 1e-3), (2000, 4000)):
        scene, seen = looked(low, high, "float32", BandSet.parse("VV,nDSM"))
        refuse_unfit(scene, trained(0, 30, bands="VV,nDSM"), seen)


def test_a_shift_is_measured_and_said():
    spec = trained(20, 220, bands="red,green,blue", bytes_alone=True)
    alike = band_fits(*_with(spec, looked(20, 220, "uint8")))
    assert all(fit.stability_index < 0.01 and fit.outside < 0.01 for fit in alike)
    assert doubts(looked(0, 1, "uint8")[0], spec, alike) == []
    scene, seen = looked(0, 1, "uint8")
    far = band_fits(scene, spec, seen)
    assert all(fit.stability_index > 4 and fit.outside == 1 for fit in far)
    assert "red (stability index" in doubts(scene, spec, far)[0]
    assert band_fits(scene, spec.model_copy(update={"values": None}), seen) == ()


def _with(spec, look):
    return look[0], spec, look[1]


def test_the_stability_index_is_that_of_its_definition_and_ties_are_one_tenth():
    rng = np.random.default_rng(0)
    train, scene = rng.normal(100, 20, 50000).astype(np.float32), rng.normal(110, 20, 50000).astype(np.float32)
    values = trained_values([train[None]], bytes_alone=False)
    edges = np.quantile(train, np.arange(1, 10) / 10)
    share = np.bincount(np.searchsorted(edges, scene), minlength=10) / len(scene)
    assert values.stability_index(0, scene) == pytest.approx(((share - 0.1) * np.log(share / 0.1)).sum(), rel=0.02)
    tied = np.repeat(np.float32([0, 0, 0, 0, 0, 0, 1, 2, 3, 4]), 1000)
    assert trained_values([tied[None]], bytes_alone=False).stability_index(0, tied) < 0.01
    lacking = np.stack([train[:100], np.full(100, np.nan, np.float32)])
    both = trained_values([lacking, np.stack([scene[:100]] * 2)], bytes_alone=False)
    assert both.at(0.5)[1] == pytest.approx(np.median(scene[:100]), rel=0.01)


def test_values_that_make_no_sense_are_refused():
    with pytest.raises(ValidationError, match="low to high"):
        TrainedValues(shares=(0.1, 0.5, 0.9), quantiles=((1, 3, 2),))
    with pytest.raises(ValidationError, match="low to high"):
        TrainedValues(shares=(0.1, 0.5, 0.9), quantiles=((1, 2),))
    with pytest.raises(ValidationError, match="3 bands, but values of 1"):
        type(BYTES).model_validate(
            {**BYTES.model_dump(), "values": {"shares": (0.1, 0.5, 0.9), "quantiles": [(1, 2, 3)]}}
        )


def test_a_stretch_matches_percentiles_and_stays_within_bytes():
    scene, seen = looked(300, 4000, "uint16")
    told = stretched(scene, BYTES, seen, (2, 98))
    low, high = (np.quantile(seen.physical(told), share, axis=1) for share in (0.02, 0.98))
    np.testing.assert_allclose(low, BYTES.values.at(0.02), atol=0.1)
    np.testing.assert_allclose(high, BYTES.values.at(0.98), atol=0.1)
    refuse_unfit(told, BYTES, seen)
    assert "percentiles 2 and 98 (red 374 to 3925" in told.notes[0]
    plain = stretched(scene, BYTES.model_copy(update={"values": None}), seen, (2, 98))
    physical = seen.physical(plain)
    assert (physical.min(), physical.max()) == (0, 255)
    assert np.quantile(physical, 0.02) == pytest.approx(0, abs=0.5)


def test_a_stretch_needs_spread_and_a_model_that_says_its_values():
    with pytest.raises(InputError, match="percentiles 2 and 98 of red, green, blue are equal"):
        stretched(*_with(BYTES, looked(7, 7, "uint16")), (2, 98))
    spectral = load_model("spectral").spec
    with pytest.raises(ConfigError, match="does not say which values"):
        stretched(*_with(spectral, looked(7, 9, "uint16", spectral.band_set)), (2, 98))
    scene, seen = looked(7, 9, "uint16")
    empty = replace(seen, valid=np.zeros_like(seen.valid))
    assert stretched(scene, BYTES, empty, (2, 98)) is scene
