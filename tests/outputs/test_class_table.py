from pathlib import Path

import numpy as np
import rasterio
from affine import Affine

from geoseg.outputs.class_table import read_classes
from geoseg.outputs.pam import pam_path, write_pam
from geoseg.values.classes import ClassInfo, ClassMap

CATEGORIES = """<PAMDataset><PAMRasterBand band="1"><CategoryNames><Category>NA</Category><Category>Water</Category>
<Category> </Category></CategoryNames></PAMRasterBand></PAMDataset>"""


def write(path: Path, *, palette=None, tags=None, dtype="uint8") -> Path:
    with rasterio.open(
        path, "w", driver="GTiff", height=4, width=4, count=1, dtype=dtype, crs="EPSG:32633",
        transform=Affine(2, 0, 5e5, 0, -2, 5e6),
    ) as dst:  # fmt: skip
        dst.write(np.zeros((1, 4, 4), dtype))
        if palette:
            dst.write_colormap(1, palette)
        dst.update_tags(1, **(tags or {}))
    return path


def classes(path: Path, present: set[int]) -> list[tuple[int, str]]:
    with rasterio.open(path) as src:
        return [(c.id, c.name) for c in read_classes(src, 1, present)]


def test_tags_and_palette_of_our_own_rasters(tmp_path):
    path = write(tmp_path / "a.tif", palette={1: (1, 2, 3), 4: (9, 8, 7)}, tags={"CLASS_1": "water", "CLASS_4": "road"})
    with rasterio.open(path) as src:
        assert read_classes(src, 1, {1}) == (ClassInfo(1, "water", (1, 2, 3)), ClassInfo(4, "road", (9, 8, 7)))


def test_names_and_colours_of_the_attribute_table(tmp_path):
    table = ClassMap((ClassInfo(1, "water", (1, 2, 3)), ClassInfo(4, "road", (9, 8, 7))))
    path = write(tmp_path / "a.tif")
    write_pam(path, table, counts={1: 5, 4: 6}, area_ha={1: 1.0, 4: 2.0})
    with rasterio.open(path) as src:
        assert read_classes(src, 1, {1, 4}) == table.classes


def test_categories_beside_the_file_and_numbers_without(tmp_path):
    path = write(tmp_path / "a.tif")
    pam_path(path).write_text(CATEGORIES)
    assert classes(path, {0, 1, 2, 7}) == [(0, "NA"), (1, "Water"), (2, "class 2"), (7, "class 7")]
    pam_path(path).write_text("<PAMDataset>")  # cut off: GDAL reads the raster all the same
    assert classes(path, {1}) == [(1, "class 1")]


def test_classes_without_colours_get_distinct_ones(tmp_path):
    with rasterio.open(write(tmp_path / "a.tif", dtype="int16")) as src:
        found = read_classes(src, 1, range(-3, 40))
    colors = np.array([c.color for c in found])
    apart = np.abs(colors[:, None] - colors[None]).sum(-1)
    assert apart[~np.eye(len(found), dtype=bool)].min() > 5


def test_rows_that_say_nothing_name_nothing(tmp_path):
    path = write(tmp_path / "a.tif", tags={"CLASS_\u00b2": "x", "CLASS_-1": "y", "CLASS_": "z"})
    fields = "".join(f"<FieldDefn><Name>n</Name><Usage>{usage}</Usage></FieldDefn>" for usage in (5, 2, 6, 7, 8))
    rows = (
        ("1", "water", "1", "2", "3"),
        ("2",),
        ("x", "b"),
        ("1e999", "q"),
        ("nan", "q"),
        ("", ""),
        ("3", "road", "300", "-1", "0"),
    )
    cells = "".join(f"<Row>{''.join(f'<F>{cell}</F>' for cell in row)}</Row>" for row in rows)
    table = f"<GDALRasterAttributeTable>{fields}{cells}</GDALRasterAttributeTable>"
    pam_path(path).write_text(f'<PAMDataset><PAMRasterBand band="1">{table}</PAMRasterBand></PAMDataset>')
    assert classes(path, {1, 2, 3}) == [(1, "water"), (2, "class 2"), (3, "road")]
