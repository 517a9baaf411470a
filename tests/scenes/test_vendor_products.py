"""Deliveries that GDAL's drivers put together pass: DIMAP of Pléiades and SPOT, TIL of WorldView, Sentinel-1 on a grid.

Made up, with the layout and the fields of true ones.
"""

import numpy as np
import pytest
from affine import Affine
from conftest import write_tif

from geoseg.errors import InputError
from geoseg.scenes.open import open_scene
from geoseg.scenes.reading import read

PLACE = Affine(2, 0, 3e5, 0, -2, 3.06e6)
PIXELS = np.random.default_rng(0).integers(1, 900, (4, 40, 60)).astype(np.uint16)
TILES = ((0, 40), (40, 60))  # columns


def tiles(folder, name):
    """Write the two tiles of an image, NAME_R1C1.TIF and NAME_R1C2.TIF."""
    folder.mkdir()
    for number, (first, end) in enumerate(TILES, 1):
        place = PLACE @ Affine.translation(first, 0)
        write_tif(folder / f"{name}_R1C{number}.TIF", PIXELS[:, :, first:end], transform=place)
    return folder


def dimap(folder):
    """Make a delivery of Pléiades; returns its folder."""
    files = "".join(
        f'<Data_File tile_R="1" tile_C="{n}"><DATA_FILE_PATH href="IMG_R1C{n}.TIF"/></Data_File>' for n in (1, 2)
    )
    (tiles(folder, "IMG") / "DIM_PHR1A_MS_202005031000000_ORT.XML").write_text(f"""<?xml version="1.0"?>
<Dimap_Document>
<Metadata_Identification><METADATA_FORMAT version="2.15">DIMAP</METADATA_FORMAT></Metadata_Identification>
<Dataset_Content/>
<Coordinate_Reference_System><Projected_CRS><PROJECTED_CRS_CODE>urn:ogc:def:crs:EPSG::32645</PROJECTED_CRS_CODE>
</Projected_CRS></Coordinate_Reference_System>
<Geoposition><Geoposition_Insert><ULXMAP>300000</ULXMAP><ULYMAP>3060000</ULYMAP><XDIM>2</XDIM><YDIM>2</YDIM>
</Geoposition_Insert></Geoposition>
<Raster_Data>
<Data_Access><DATA_FILE_FORMAT>image/tiff</DATA_FILE_FORMAT><Data_Files>{files}</Data_Files></Data_Access>
<Raster_Dimensions><NROWS>40</NROWS><NCOLS>60</NCOLS><NBANDS>4</NBANDS>
<Tile_Set><NTILES>2</NTILES><Regular_Tiling><NTILES_SIZE nrows="40" ncols="40"/>
<NTILES_COUNT ntiles_R="1" ntiles_C="2"/><OVERLAP_ROW>0</OVERLAP_ROW><OVERLAP_COL>0</OVERLAP_COL></Regular_Tiling>
</Tile_Set></Raster_Dimensions>
<Raster_Encoding><DATA_TYPE>INTEGER</DATA_TYPE><NBITS>16</NBITS><SIGN>UNSIGNED</SIGN></Raster_Encoding>
</Raster_Data>
</Dimap_Document>""")
    return folder


def til(folder):
    """Make a delivery of WorldView; returns its folder."""
    groups = "".join(
        f'BEGIN_GROUP = TILE_{n}\n\tfilename = "IMG_R1C{n}.TIF";\n\tULColOffset = {first};\n\tULRowOffset = 0;\n'
        f"\tLRColOffset = {end - 1};\n\tLRRowOffset = 39;\nEND_GROUP = TILE_{n}\n"
        for n, (first, end) in enumerate(TILES, 1)
    )
    (tiles(folder, "IMG") / "IMG.TIL").write_text(f'bandId = "Multi";\nnumTiles = 2;\n{groups}END;\n')
    (folder / "IMG.IMD").write_text(
        'version = "AA";\nimageDescriptor = "ORStandard2A";\nbandId = "Multi";\nnumRows = 40;\nnumColumns = 60;\n'
        "bitsPerPixel = 16;\nBEGIN_GROUP = MAP_PROJECTED_PRODUCT\n\tULX = 300001.0;\n\tULY = 3059999.0;\n"
        'END_GROUP = MAP_PROJECTED_PRODUCT\nBEGIN_GROUP = IMAGE_1\n\tsatId = "WV02";\nEND_GROUP = IMAGE_1\nEND;\n'
    )
    return folder


def whole(folder):
    """Return a delivery's grid and pixels."""
    scene = open_scene(folder, bands="blue,green,red,nir")
    return scene.grid, read(scene, scene.grid.box).data


@pytest.mark.parametrize("make", [dimap, til])
def test_the_tiles_of_a_delivery_are_one_scene(tmp_path, make):
    grid, pixels = whole(make(tmp_path / "delivery"))
    assert (grid.crs.to_epsg(), grid.shape) == (32645, (40, 60))
    assert grid.transform.almost_equals(PLACE)
    np.testing.assert_array_equal(pixels, PIXELS)


@pytest.mark.parametrize("make", [dimap, til])
def test_a_delivery_that_lacks_a_tile_is_refused_with_its_name(tmp_path, make):
    (make(tmp_path / "delivery") / "IMG_R1C2.TIF").unlink()
    with pytest.raises(InputError, match=r"IMG_R1C2\.TIF"):
        whole(tmp_path / "delivery")


def test_sentinel_1_on_a_grid_is_a_scene_of_its_polarisations(tmp_path):
    values = np.abs(np.random.default_rng(0).normal(0.1, 0.05, (40, 60))).astype(np.float32)
    values[:, :5] = 0
    for band in ("VV", "VH"):
        name = f"S1A_IW_GRDH_1SDV_20240503T053000_{band}_gamma0-rtc.tif"
        write_tif(tmp_path / name, values[None], transform=Affine(10, 0, 3e5, 0, -10, 3.06e6), nodata=0)
    scene = open_scene(sorted(map(str, tmp_path.glob("*.tif"))), bands="vh,vv")
    raster = read(scene, scene.grid.box)
    np.testing.assert_array_equal(raster.data, np.stack([values] * 2))
    assert raster.valid.mean() == 55 / 60
