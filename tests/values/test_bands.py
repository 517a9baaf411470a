"""Bands are found by what they measure, never by where they stand."""

import pytest

from geoseg.errors import ConfigError, InputError
from geoseg.values.bands import COMMON, Band, BandSet, reach_nm, resolve_band
from geoseg.values.sensors import SENSORS


def every(sensor):
    return BandSet.parse(",".join(SENSORS[sensor]), sensor=sensor)


@pytest.mark.parametrize("sensor", SENSORS)
def test_each_sensor_s_bands_find_themselves_in_any_order(sensor):
    bands = every(sensor)
    turned = BandSet(tuple(reversed(bands.bands)))
    assert turned.indices_of(bands) == tuple(reversed(range(len(bands))))


def test_names_are_folded_and_common_names_lead_to_a_sensor_s_band():
    assert resolve_band("b8", sensor="Sentinel-2") == Band("B08", 832.8)
    assert resolve_band("B8A", sensor="sentinel-2") == resolve_band("nir08", sensor="sentinel-2")
    assert resolve_band("nir", sensor="sentinel-2").name == "B08"
    assert resolve_band("Red", sensor="naip").name == "R"
    assert resolve_band("N") == Band("nir", COMMON["nir"])
    assert resolve_band("VV") == Band("VV")


@pytest.mark.parametrize(("name", "sensor"), [("B13", "sentinel-2"), ("coastal", "landsat-7"), ("swir16", "naip")])
def test_a_sensor_without_the_band_says_what_it_has(name, sensor):
    with pytest.raises(ConfigError, match=f"has no band '{name}'; it has "):
        resolve_band(name, sensor=sensor)


def test_an_unknown_sensor_says_which_are_known():
    with pytest.raises(ConfigError, match=r"unknown sensor 'spot'; known: landsat-7, .*sentinel-2"):
        BandSet.parse("B1", sensor="spot")


@pytest.mark.parametrize(
    ("scene", "wanted", "names"),
    [
        ("sentinel-2", "naip", ["B04", "B03", "B02", "B08"]),
        ("landsat-8", "naip", ["B4", "B3", "B2", "B5"]),
        ("naip", "rgb", ["R", "G", "B"]),
        ("worldview-3", "naip", ["R", "G", "B", "N"]),
        ("planetscope", "naip", ["R", "G", "B", "N"]),
    ],
)
def test_another_sensor_s_nearest_band_serves(scene, wanted, names):
    bands = every(scene)
    assert [bands[i].name for i in bands.indices_of(every(wanted))] == names


def test_equal_names_of_different_things_do_not_match():
    landsat, sentinel = every("landsat-8"), every("sentinel-2")
    wanted = BandSet((resolve_band("B05", sensor="sentinel-2"),))  # red edge; Landsat's B5 is near infrared
    assert sentinel.indices_of(wanted) == (4,)
    with pytest.raises(InputError, match=r"scene: band B05 not found among B1, .*--bands"):
        landsat.indices_of(wanted)


def test_red_edge_is_no_red_and_a_band_is_never_taken_by_position():
    edge = BandSet.parse("B05,B03,B02", sensor="sentinel-2")
    with pytest.raises(InputError, match="band red not found"):
        edge.indices_of(BandSet.parse("red,green,blue"))
    with pytest.raises(InputError, match="band red, green, blue not found among band1, band2, band3"):
        BandSet((Band("band1"), Band("band2"), Band("band3"))).indices_of(BandSet.parse("red,green,blue"))
    assert reach_nm(700) == 35
    assert reach_nm(842) == 60


def test_two_wanted_bands_never_share_one():
    with pytest.raises(InputError, match="match one band"):
        BandSet.parse("R,G,B,N", sensor="naip").indices_of(BandSet.parse("nir,nir08"))


def test_bands_without_wavelength_match_by_name_alone():
    assert BandSet.parse("VH,VV").indices_of(BandSet.parse("vv")) == (1,)


@pytest.mark.parametrize(("text", "words"), [("", "at least one"), ("R,red", "unique"), ("VV,VV", "unique")])
def test_a_band_set_is_not_empty_and_repeats_nothing(text, words):
    with pytest.raises(ConfigError, match=words):
        BandSet.parse(text)


def test_json_round_trip_and_its_errors():
    bands = BandSet.parse("B02,VV,B08")
    assert BandSet.from_json(bands.as_json()) == bands
    for wrong in ([{"wavelength_nm": 1}], ["red"], [{"name": "red", "wavelength_nm": "long"}], None):
        with pytest.raises(ConfigError, match="name, wavelength_nm"):
            BandSet.from_json(wrong)
    with pytest.raises(ConfigError, match="unique"):
        BandSet.from_json([{"name": "a"}, {"name": "a"}])
