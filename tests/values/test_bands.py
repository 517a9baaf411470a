"""Bands are found by what they measure, never by where they stand."""

import tomllib
from importlib.resources import files

import pytest

from geoseg.errors import ConfigError, InputError
from geoseg.values.bands import COMMON, Band, BandSet, reach_nm, resolve_band
from geoseg.values.sensors import SENSORS, sensor_bands


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
    with pytest.raises(ConfigError, match=r"unknown sensor 'spot'; did you mean spot-[67]\?"):
        BandSet.parse("B1", sensor="spot")
    assert sensor_bands("SENTINEL2") is SENSORS["sentinel-2"]


@pytest.mark.parametrize(
    ("sensor", "called", "name"),
    [
        ("landsat-8", "SR_B5", "B5"), ("landsat-9", "ST_B10", "B10"), ("landsat-5", "nir", "B4"),
        ("sentinel-2-l2a", "B8a", "B8A"), ("sentinel-2", "red edge 1", "B05"), ("sentinel-2", "narrow_nir", "B8A"),
        ("worldview-2", "NIR2", "N2"), ("planetscope", "coastal_blue", "CB"), ("planetscope-4", "nir", "N"),
        ("pleiades", "B2", "R"), ("pleiades-neo", "Deep Blue", "DB"), ("micasense-rededge", "Red edge-717", "RedEdge"),
        ("sentinel-1", "Sigma0_VV", "VV"), ("ndsm", "height above ground", "nDSM"), ("rapideye", "rededge", "RE"),
    ],
)  # fmt: skip
def test_files_call_a_sensor_s_band_otherwise(sensor, called, name):
    assert resolve_band(called, sensor=sensor).name == name


def test_every_sensor_names_its_source_and_light_has_a_width():
    tables = tomllib.loads((files("geoseg.values") / "sensors.toml").read_text("utf-8"))
    assert all(table["source"] for table in tables.values())
    every = [band for table in SENSORS.values() for band in table.values()]
    assert all((band.wavelength_nm is None) == (band.width_nm is None) for band in every)
    assert "B10" not in SENSORS["sentinel-2-l2a"]
    assert SENSORS["sentinel-2-l2a"].keys() == SENSORS["sentinel-2-l1c"].keys() - {"B10"}


def test_a_panchromatic_band_is_no_colour():
    pan = resolve_band("B8", sensor="landsat-8")
    assert pan.wavelength_nm is None
    with pytest.raises(InputError, match="not found"):
        BandSet((pan,)).indices_of(BandSet.parse("yellow"))


def test_a_name_may_say_a_wavelength():
    assert resolve_band("B4 (665 nm)").wavelength_nm == 665
    assert resolve_band("Red edge") == resolve_band("rededge")


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


@pytest.mark.parametrize(
    ("held", "wanted", "words"),
    [
        ("red,gren,blue", "red,green,blue", "unknown band 'gren'; did you mean green?"),  # --bands, or a file
        ("red,green,blue", "rde,green", "unknown band 'rde'; did you mean red?"),  # a config
        ("red@1,gren@2", "red@1,green@2", "unknown band 'gren@2'; did you mean green@2?"),
        ("height1,red", "height2,red", None),  # two bands, not a slip
        ("swir22,nir", "swir16,nir", None),
        ("nir2,red", "nir,red", None),  # WorldView's
    ],
)
def test_a_mistyped_band_is_told_from_one_that_is_lacking(held, wanted, words):
    with pytest.raises(ConfigError if words else InputError) as caught:
        BandSet.parse(held).indices_of(BandSet.parse(wanted), where="a.tif")
    assert str(caught.value).startswith(f"a.tif: {words}" if words else "a.tif: band ")


def test_a_mistyped_band_of_a_sensor_names_the_one_that_is_meant():
    with pytest.raises(ConfigError, match=r"no band 'BO3'; did you mean B03\? it has B01, "):
        resolve_band("BO3", sensor="sentinel-2")


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
