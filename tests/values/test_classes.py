"""The class table refuses what cannot be drawn, stored or told apart."""

import pytest

from geoseg.errors import ConfigError
from geoseg.values.classes import ClassInfo, ClassMap

GREY = (90, 90, 90)
TABLE = ClassMap((ClassInfo(1, "water", (0, 0, 255)), ClassInfo(4, "road", GREY), ClassInfo(254, "forest", GREY)))


def test_lookups_and_reduction_keep_ids():
    assert (TABLE.by_name("road").id, TABLE.by_id(254).name, TABLE.max_id) == (4, "forest", 254)
    assert TABLE.by_name("water").hex == "#0000ff"
    assert [c.id for c in TABLE.only(["forest", "water"])] == [1, 254]
    with pytest.raises(ConfigError, match="no class 'roof'; there are water, road, forest"):
        TABLE.only(["water", "roof"])
    with pytest.raises(ConfigError, match="no class 2; there are 1, 4, 254"):
        TABLE.by_id(2)


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        ((1, " ", GREY), "no name"),
        ((1, "a", (1, 2)), "three values"),
        ((1, "a", (1, 2, 256)), "three values"),
    ],
)
def test_a_class_must_fit_a_palette_and_a_legend(cells, words):
    with pytest.raises(ConfigError, match=words):
        ClassInfo(*cells)


@pytest.mark.parametrize(
    ("classes", "words"),
    [
        ((ClassInfo(0, "a", GREY),), r"ids are 1\.\.254"),
        ((ClassInfo(255, "a", GREY),), r"ids are 1\.\.254"),
        ((ClassInfo(2, "a", GREY), ClassInfo(1, "b", GREY)), "ascending"),
        ((ClassInfo(1, "a", GREY), ClassInfo(1, "b", GREY)), "unique"),
        ((ClassInfo(1, "a", GREY), ClassInfo(2, "a", GREY)), "unique"),
    ],
)
def test_a_table_fits_a_byte_and_tells_its_classes_apart(classes, words):
    with pytest.raises(ConfigError, match=words):
        ClassMap(classes)


def test_json_round_trip_and_its_errors():
    assert ClassMap.from_json(TABLE.as_json()) == TABLE
    for wrong in ([{"id": 1}], ["water"], [{"id": "x", "name": "a", "color": [1, 2, 3]}], None):
        with pytest.raises(ConfigError, match="id, name, color"):
            ClassMap.from_json(wrong)
    with pytest.raises(ConfigError, match=r"ids are 1\.\.254"):
        ClassMap.from_json([{"id": 0, "name": "a", "color": [1, 2, 3]}])
