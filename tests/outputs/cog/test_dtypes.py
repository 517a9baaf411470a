"""Layers of every dtype and kind in one part: what comes back through GDAL, on every level, equals naive arrays."""

from pathlib import Path

import numpy as np
import pytest
import rasterio
from make_outputs import GRID
from numpy.typing import NDArray
from rio_cogeo.cogeo import cog_validate

from geoseg.outputs.cog.cog import assemble
from geoseg.outputs.cog.parts import PartEncoder, StoredPart, read_record, write_part
from geoseg.outputs.cog.vrt import shown, write_parts_vrt
from geoseg.tiling.overviews import halved_layer
from geoseg.values.box import Box
from geoseg.values.layers import PREDICTOR, Layer

LAYERS = (
    Layer("classes", "category"),
    Layer("height", "number", dtype="int16", nodata=-9999, scale=0.1, unit="m"),
    Layer("centre", "probability", dtype="uint16", nodata=65535, offset=1.0),
    Layer("ids", "ids", dtype="uint32"),
    Layer("change", "number", dtype="float32", nodata=float("nan")),
    Layer("confidence", "probability"),
)


def pixels_of(layer: Layer) -> NDArray[np.generic]:
    """Noise with a nodata corner that holds more than a tile."""
    rng = np.random.default_rng(len(layer.name))
    kind = np.dtype(layer.dtype)
    if kind.kind == "f":
        out = rng.normal(0, 1e5, GRID.shape).astype(kind)
    else:
        out = rng.integers(np.iinfo(kind).min, np.iinfo(kind).max, GRID.shape, kind, endpoint=True)
    out[:600, :600] = layer.nodata
    return out


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> dict[Box, Path]:
    folder = tmp_path_factory.mktemp("parts")
    whole = {layer.name: pixels_of(layer) for layer in LAYERS}
    found = {}
    for box in (Box(0, 0, 700, 1024), Box(0, 1024, 700, 1100)):
        encoder = PartEncoder(box.shape, LAYERS, overviews=1)
        encoder.add({name: pixels[box.within(GRID.box)] for name, pixels in whole.items()})
        found[box] = folder / f"{box.col0}.tif"
        write_part(found[box], encoder.finish(), grid=GRID.crop(box), record={"a": 1}, tables={"objects": b"abc"})
        assert read_record(found[box]) == {"a": 1}
        assert StoredPart.open(found[box]).table("objects") == b"abc"
    return found


@pytest.mark.parametrize("band", range(len(LAYERS)), ids=[layer.dtype for layer in LAYERS])
def test_a_file_of_any_dtype_reads_back_on_every_level(parts: dict[Box, Path], tmp_path: Path, band: int) -> None:
    layer, path = LAYERS[band], tmp_path / "a.tif"
    assemble(parts, GRID, {band: layer}, path, tags={})
    assert cog_validate(path, strict=True, quiet=True)[0]
    expected = pixels_of(layer)
    for level in range(-1, 2):
        with rasterio.open(path, **({} if level < 0 else {"overview_level": level})) as image:
            np.testing.assert_array_equal(image.read(1), expected)
        expected = halved_layer(expected, layer)
    with rasterio.open(path) as image:
        assert image.dtypes == (layer.dtype,)
        np.testing.assert_equal(image.nodata, layer.nodata)
        assert (image.scales, image.offsets, image.units) == ((layer.scale,), (layer.offset,), (layer.unit or None,))
        assert image.tags(ns="IMAGE_STRUCTURE")["OVERVIEW_RESAMPLING"] == layer.treatment.resampling
        assert PREDICTOR[layer.dtype] == int(image.tags(ns="IMAGE_STRUCTURE")["PREDICTOR"])


def test_preview_shows_the_layers_of_the_first_dtype(parts: dict[Box, Path], tmp_path: Path) -> None:
    write_parts_vrt(tmp_path / "parts.vrt", parts, GRID, shown(LAYERS))
    with rasterio.open(tmp_path / "parts.vrt") as preview:
        assert preview.descriptions == ("classes", "confidence")
        np.testing.assert_array_equal(preview.read(), [pixels_of(LAYERS[0]), pixels_of(LAYERS[5])])
