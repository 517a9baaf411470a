"""What GDAL reads for a scene: every file is known, and a change in any is seen and named."""

import os
import subprocess
import zipfile

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
from conftest import write_tif
from rasterio.shutil import copy as gdal_copy

from geoseg import RunOptions, open_scene, predict
from geoseg.errors import InputError, OutputError
from geoseg.jobs.evaluate.files import files_behind
from geoseg.scenes.reads import changed, files_read, local_file, stamps


def gray(path, value=1, **profile):
    return write_tif(path, np.full((1, 32, 48), value, np.uint8), **profile)


def vrt(path, source):
    """A VRT that draws its one band from ``source``; GDAL's own tools fold nested ones into one."""
    with rasterio.open(source) as src:
        crs, grid = src.crs.to_wkt(), ", ".join(map(str, src.transform.to_gdal()))
    path.write_text(
        f'<VRTDataset rasterXSize="48" rasterYSize="32"><SRS>{crs}</SRS><GeoTransform>{grid}</GeoTransform>'
        f'<VRTRasterBand dataType="Byte" band="1"><ColorInterp>Red</ColorInterp><SimpleSource>'
        f'<SourceFilename relativeToVRT="0">{source}</SourceFilename><SourceBand>1</SourceBand>'
        f'<SourceProperties RasterXSize="48" RasterYSize="32" DataType="Byte" BlockXSize="48" BlockYSize="32"/>'
        f"</SimpleSource></VRTRasterBand></VRTDataset>"
    )
    return path


def mask_beside(path):
    with rasterio.open(
        f"{path}.msk", "w", driver="GTiff", count=1, height=32, width=48, dtype="uint8", crs=None
    ) as dst:
        dst.write(np.full((1, 32, 48), 255, np.uint8))
        dst.update_tags(INTERNAL_MASK_FLAGS_1="2")


def source_of_nested_vrts(folder):
    source = gray(folder / "source.tif")
    return vrt(folder / "outer.vrt", vrt(folder / "inner.vrt", source)), source


def mask_that_comes_later(folder):
    return gray(folder / "scene.tif"), folder / "scene.tif.msk"


def mask_of_a_source(folder):
    outer, source = source_of_nested_vrts(folder)
    mask_beside(source)
    return outer, folder / "source.tif.msk"


def archive(folder):
    with zipfile.ZipFile(folder / "scenes.zip", "w") as file:
        file.write(gray(folder / "inside.tif"), "inside.tif")
    return f"/vsizip/{folder}/scenes.zip/inside.tif", folder / "scenes.zip"


def archive_of_rasterio(folder):
    _, file = archive(folder)
    return f"zip://{file}!inside.tif", file


def subdataset(folder):
    gdal_copy(gray(folder / "plain.tif"), folder / "cube.nc", driver="netCDF")
    return f"NETCDF:{folder}/cube.nc:Band1", folder / "cube.nc"


def directory_of_a_tiff(folder):
    return f"GTIFF_DIR:1:{gray(folder / 'pages.tif')}", folder / "pages.tif"


def world_file(folder):
    scene = folder / "scene.png"
    gdal_copy(gray(folder / "plain.tif"), scene, driver="PNG")
    (folder / "scene.wld").write_text("1\n0\n0\n-1\n5\n5\n")
    (folder / "scene.png.aux.xml").unlink()
    return scene, folder / "scene.wld"


def overviews(folder):
    scene = gray(folder / "scene.tif")
    with rasterio.Env(TIFF_USE_OVR=True), rasterio.open(scene, "r+") as src:
        src.build_overviews([2])
    return scene, folder / "scene.tif.ovr"


def raster_that_is_a_folder(folder):
    (folder / "scene.zarr").mkdir()
    (folder / "scene.zarr" / "c0").write_bytes(b"1")
    return folder / "scene.zarr", folder / "scene.zarr" / "c0"


KINDS = (
    source_of_nested_vrts, mask_that_comes_later, mask_of_a_source, archive, archive_of_rasterio, subdataset,
    directory_of_a_tiff, world_file, overviews, raster_that_is_a_folder,
)  # fmt: skip


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_a_change_of_any_file_that_is_read_is_named(kind, tmp_path):
    scene, file = kind(tmp_path)
    reads = files_read([str(scene)])
    before = stamps(reads)
    assert changed(stamps(reads), before) == []
    content = file.read_bytes() if file.exists() else b"new"
    times = (1, file.stat().st_mtime_ns) if file.exists() else (1, 1)
    other = tmp_path / "other"
    other.write_bytes(content)
    os.utime(other, ns=times)  # as long, as old
    other.replace(file)
    assert changed(stamps(reads), before) == [file.name]
    assert changed(stamps(reads), before, inodes=False) == [file.name]


def test_a_remote_file_is_no_local_one():
    names = ["/vsicurl/https://example.org/a.tif", "https://example.org/b.tif", "s3://bucket/c.tif"]
    assert [local_file(f"/vsizip/{n}/d.tif") for n in names] == [None] * 3
    assert stamps(names[2:]) == [["s3://bucket/c.tif"]]


def test_a_file_that_other_machines_number_otherwise_is_the_same_there():
    here, there = [["a.tif", 10, 1, 1, 77]], [["a.tif", 10, 1, 1, 5]]
    assert changed(there, here, inodes=False) == []
    assert changed(there, here) == ["a.tif"]
    assert changed([["a.tif", 10, 1, 2, 77]], here, inodes=False) == ["a.tif"]


def test_the_order_of_files_counts():
    a, b = ["a.tif", 1, 1, 1, 1], ["b.tif", 1, 1, 1, 2]
    assert changed([b, a], [a, b]) == ["a.tif", "b.tif"]


def test_a_missing_source_is_named_before_work(tmp_path):
    outer, source = source_of_nested_vrts(tmp_path)
    source.unlink()
    with pytest.raises(InputError, match=r"inner.vrt: its source .*source.tif is missing"):
        files_read([str(outer)])


def test_shards_of_two_scenes_are_refused_with_the_file(tmp_path, tiny_bundle):
    pixels = np.full((3, 64, 600), 90, np.uint8)
    source = write_tif(tmp_path / "source.tif", pixels, photometric="RGB")
    subprocess.run(["gdal_translate", "-q", "-of", "VRT", source, tmp_path / "scene.vrt"], check=True)
    options = {"chunk_px": 512, "engine": "sync", "device": "cpu"}
    predict(tmp_path / "scene.vrt", tiny_bundle, tmp_path / "out", options=RunOptions(**options, shard=(1, 2)))
    times = source.stat().st_mtime_ns
    write_tif(source, pixels + 100, photometric="RGB")
    os.utime(source, ns=(times, times))
    with pytest.raises(OutputError, match=r"source source\.tif changed") as refused:
        predict(tmp_path / "scene.vrt", tiny_bundle, tmp_path / "out", options=RunOptions(**options))
    assert refused.value.exit_code == 5


def test_a_mask_file_that_changes_is_refused(tmp_path, tiny_scene, tiny_bundle):
    mask = write_tif(tmp_path / "shown.tif", np.ones((1, 160, 192), np.uint8))
    options = {"chunk_px": 512, "engine": "sync", "device": "cpu"}
    scene = open_scene(tiny_scene, mask=mask)
    predict(scene, tiny_bundle, tmp_path / "out", options=RunOptions(**options, shard=(1, 2)))
    mask.write_bytes(mask.read_bytes())
    with pytest.raises(OutputError, match=r"source shown\.tif changed"):
        predict(open_scene(tiny_scene, mask=mask), tiny_bundle, tmp_path / "out", options=RunOptions(**options))


def test_each_part_of_a_shapefile_is_one_of_its_files(tmp_path):
    path = tmp_path / "marks.shp"
    gpd.GeoDataFrame({"class": ["roof"]}, geometry=[shapely.box(0, 0, 9, 9)], crs="EPSG:32645").to_file(path)
    files = [*map(str, files_behind(f"{path}|layername=marks"))]
    for part in (".shp", ".dbf", ".shx", ".prj", ".cpg"):
        before = stamps(files)
        path.with_suffix(part).write_bytes(path.with_suffix(part).read_bytes() + b" ")
        assert changed(stamps(files), before) == [f"marks{part}"]
