from pathlib import Path
from xml.etree import ElementTree as ET

from make_outputs import CLASSES

from geoseg.outputs.pam import pam_path, write_pam


def test_names_colours_counts_and_areas_stand_beside_the_raster(tmp_path: Path) -> None:
    raster = tmp_path / "classes.tif"
    path = write_pam(
        raster, CLASSES, counts={1: 6_000_000_000, 2: 0, 4: 2_000_000_000}, area_ha={1: 60, 2: 0, 4: 20.25}
    )
    assert path == pam_path(raster) == tmp_path / "classes.tif.aux.xml"
    band = ET.parse(path).getroot().find("PAMRasterBand")
    names = [c.text for c in band.findall("CategoryNames/Category")]
    assert names == ["No data", "background", "Wälder & <Wiesen>", "(not used)", "building"]
    entries = [tuple(int(e.get(f"c{i}")) for i in (1, 2, 3, 4)) for e in band.findall("ColorTable/Entry")]
    assert entries == [(0, 0, 0, 0), (225, 225, 220, 255), (60, 140, 70, 255), (0, 0, 0, 0), (200, 60, 40, 255)]
    table = band.find("GDALRasterAttributeTable")
    fields = [[f.findtext(tag) for tag in ("Name", "Type", "Usage")] for f in table.findall("FieldDefn")]
    assert fields == [
        ["Value", "0", "5"], ["Count", "1", "1"], ["Class", "2", "2"],
        ["R", "0", "6"], ["G", "0", "7"], ["B", "0", "8"], ["A", "0", "9"],
        ["Area_ha", "1", "0"], ["Percent", "1", "0"],
    ]  # fmt: skip
    rows = [[f.text for f in row.findall("F")] for row in table.findall("Row")]
    assert rows == [
        ["1", "6000000000", "background", "225", "225", "220", "255", "60.000000", "75.0000"],
        ["2", "0", "Wälder & <Wiesen>", "60", "140", "70", "255", "0.000000", "0.0000"],
        ["4", "2000000000", "building", "200", "60", "40", "255", "20.250000", "25.0000"],
    ]


def test_scene_without_a_valid_pixel_has_no_percentages_to_divide(tmp_path: Path) -> None:
    nothing = dict.fromkeys((1, 2, 4), 0)
    root = ET.parse(write_pam(tmp_path / "c.tif", CLASSES, counts=nothing, area_ha=nothing)).getroot()
    assert [row.findall("F")[-1].text for row in root.iter("Row")] == ["0.0000"] * 3
