"""Reading: the only place that opens a scene's rasters and reads their pixels, with their validity."""

from collections.abc import Sequence
from contextlib import suppress

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.enums import MaskFlags
from rasterio.errors import RasterioError, RasterioIOError
from rasterio.io import DatasetReader
from rasterio.windows import Window

from geoseg.disk.files import mode_of, refuse_special
from geoseg.disk.places import CONNECTION
from geoseg.errors import ConfigError, InputError
from geoseg.scenes.kept_open import Opener
from geoseg.scenes.local_only import LOCAL_DRIVERS, is_elsewhere
from geoseg.scenes.no_raster import way_out
from geoseg.scenes.raster_grid import raster_window
from geoseg.scenes.reads import local_file
from geoseg.scenes.remote import error_of, first_stamp, is_remote, settings
from geoseg.scenes.scene import BandSource, Placing, Quality, Scene, Tiles
from geoseg.values.box import Box
from geoseg.values.raster import Raster

BLOCK_PX = 256  # side of the blocks in which pixels of another grid are brought to the scene's: bounds what they take


def open_raster(path: str, *, local_only: bool = False) -> DatasetReader:
    """Open a raster for reading; raises InputError with one line where GDAL cannot.

    local_only: names and formats that may make GDAL read other files or URLs are refused.
    """
    if local_only and is_elsewhere(path):
        raise InputError(f"{path}: not a file of this machine, and --local-only is given")
    if not is_utf8(path):
        raise InputError(f"{path!a}: its name is not UTF-8; rename the file")
    if not CONNECTION.match(path) and mode_of(path) is None:
        raise InputError(f"{path}: no such file")
    refuse_special(local_file(path) or path)
    try:
        if is_remote(path):
            first_stamp(path)
            with rasterio.Env(**settings()):
                return rasterio.open(path)
        return _opened_locally(path) if local_only else rasterio.open(path)
    except RasterioIOError as error:
        if is_remote(path):
            raise error_of(path, first_line(error)) from error
        reason = way_out(path) or first_line(error)
        raise InputError(f"{path}: not a raster that can be read ({reason})") from error


def _opened_locally(path: str) -> DatasetReader:
    for driver in LOCAL_DRIVERS:
        with suppress(RasterioIOError):
            return rasterio.open(path, driver=driver)
    raise RasterioIOError(f"none of the formats that --local-only allows: {', '.join(LOCAL_DRIVERS)}")


def is_utf8(name: str) -> bool:
    """Whether a file's name can be given to GDAL: names of other encodings hold halves of surrogate pairs."""
    return not any("\ud800" <= c <= "\udfff" for c in name)


def band_number(src: DatasetReader, band: int | str | None) -> int:
    """Return the 1-based number of a band given by number or description, of the last for None; raises ConfigError."""
    if band is None:
        return int(src.count)
    names = list(src.descriptions)
    if isinstance(band, str) and not band.isdigit():
        if band not in names:
            raise ConfigError(f"{src.name}: no band {band!r}; there are {', '.join(str(n) for n in names)}")
        return names.index(band) + 1
    if not 1 <= int(band) <= src.count:
        raise ConfigError(f"{src.name}: no band {band}; there are 1..{src.count}")
    return int(band)


def read(scene: Scene, box: Box, *, opener: Opener = open_raster) -> Raster:
    """Read the pixels of ``box`` (inside the scene) as they are stored, with their validity.

    Returns data (C, h, w) in the scene's stored type. Invalid are: nodata (see ``_nodata_mask``), NaN and infinity,
    alpha 0, and what a mask band masks. opener: opens each file, see ``kept_open`` for many reads of one scene.
    Raises InputError where blocks cannot be decoded.
    """
    # The window is read as it is, not widened to native blocks: GDAL decodes the same blocks for both, once each, and
    # the wider copy costs 0–50 % more (512 px tiles of 3 and 8 bands, by pixel and by band, cache of 1 to 512 MB).
    clipped = box.clip(scene.grid.box)
    if clipped != box:
        raise ValueError(f"{box} is not inside the scene of {scene.grid.shape}")
    placed = box.shifted(*scene.origin)
    if scene.tiles is None:
        data, valid = _pixels(scene, placed, opener)
    else:
        data, valid = _put_together(scene, scene.tiles, placed, opener)
    if scene.mask is not None:
        values, known = read_band(scene.mask, placed, opener=opener)
        valid &= known & (values != 0)
    return Raster(data, valid, scene.grid.crop(box), scene.bands)


def _put_together(
    scene: Scene, tiles: Tiles, box: Box, opener: Opener
) -> tuple[NDArray[np.generic], NDArray[np.bool_]]:
    """Return pixels of a mosaic, each of the first tile that knows it.

    Of several dates: NaN in the bands of one that lacks a pixel, which is valid where any has it.
    """
    dates = [s.date for s in scene.sources]
    data = np.full((len(dates), *box.shape), np.nan if any(dates) else 0, scene.dtype)
    valid = {date: np.zeros(box.shape, np.bool_) for date in dates}
    for tile, lies in tiles.meeting(box):
        common = lies.clip(box)
        assert common is not None
        at, known = common.within(box), valid[tile.date]
        if known[at].all():
            continue
        raster = read(tile, common.shifted(-lies.row0, -lies.col0), opener=opener)
        values = tile.physical(raster.data.astype(np.float32)) if tiles.physical else raster.data
        new = raster.valid & ~known[at]
        for channel, own in zip(np.flatnonzero(np.equal(dates, tile.date)), values, strict=True):
            data[channel, *at][new] = own[new]
        known[at] |= new
    return data, np.logical_or.reduce(list(valid.values()))


def _pixels(scene: Scene, box: Box, opener: Opener) -> tuple[NDArray[np.generic], NDArray[np.bool_]]:
    """Return pixels of a scene's files."""
    data = np.empty((len(scene.bands), *box.shape), scene.dtype)
    valid, window = np.ones(box.shape, np.bool_), raster_window(box)
    for file, placing in dict.fromkeys((s.file, s.placing) for s in scene.sources):
        channels = [c for c, s in enumerate(scene.sources) if (s.file, s.placing) == (file, placing)]
        own = [scene.sources[c] for c in channels]
        with opener(file) as src:
            try:
                if placing is not None:
                    data[channels], shown = _brought(src, own, placing, box, data.dtype)
                elif len(own) == len(data):
                    src.read([s.index for s in own], window=window, out=data)
                    shown = _unmasked(src, own, window)
                else:
                    data[channels] = src.read([s.index for s in own], window=window)
                    shown = _unmasked(src, own, window)
                valid &= shown
            except RasterioError as error:
                if is_remote(file):
                    raise error_of(file, first_line(error)) from error
                raise InputError(
                    f"{file}: rows {box.row0}..{box.row1}, columns {box.col0}..{box.col1} cannot be read "
                    f"({first_line(error)}); the file is damaged or cut off, fetch it again"
                ) from error
    if scene.quality is not None:
        valid &= _good(scene.quality, box, opener)
    valid &= ~_nodata_mask(data, [s.nodata for s in scene.sources])
    if data.dtype.kind == "f":
        for channel in data:
            valid &= np.isfinite(channel)
    return data, valid


def _good(quality: Quality, box: Box, opener: Opener) -> NDArray[np.bool_]:
    """Return where a quality band hides nothing; outside its file nothing is known, and all is hidden."""

    def fetch(part: Box) -> tuple[NDArray[np.generic], NDArray[np.bool_]]:
        values, _ = read_band(quality.file, part, opener=opener)
        return values[None], np.ones((1, *values.shape), np.bool_)

    if quality.placing is None:
        values, known = fetch(box)
    else:
        brought = [(b.within(box), *quality.placing.bring(b, fetch)) for b in box.blocks(BLOCK_PX)]
        values, known = np.zeros((1, *box.shape)), np.zeros((1, *box.shape), np.bool_)
        for (rows, cols), some, there in brought:
            values[:, rows, cols], known[:, rows, cols] = some, there
    stored = values[0].astype(np.int64)
    return known[0] & ~np.isin(stored, quality.hidden) & (stored & quality.bits == 0)


def _brought(
    src: DatasetReader, own: Sequence[BandSource], placing: Placing, box: Box, dtype: np.dtype[np.generic]
) -> tuple[NDArray[np.generic], NDArray[np.bool_]]:
    """Return (C, h, w) pixels of a file of another grid as ``dtype``, and (h, w) where they are not masked.

    Masked pixels, and nodata of a band, are left out of what its pixels are made of; where only nodata is left, it
    stays nodata.
    """

    def fetch(part: Box) -> tuple[NDArray[np.generic], NDArray[np.bool_]]:
        stored = src.read([s.index for s in own], window=raster_window(part))
        shown = _unmasked(src, own, raster_window(part))
        known = [shown & np.isfinite(b) & ~_equals(b, s.nodata) for b, s in zip(stored, own, strict=True)]
        return np.concatenate([stored, shown[None]]), np.stack([*known, shown])

    lost = np.array([np.nan if s.nodata is None else s.nodata for s in own])[:, None, None]
    data, shown = np.zeros((len(own), *box.shape), dtype), np.zeros(box.shape, np.bool_)
    for block in box.blocks(BLOCK_PX):
        values, known = placing.bring(block, fetch)
        values = np.where(known[:-1] | ~known[-1], values[:-1], lost)
        rows, cols = block.within(box)
        data[:, rows, cols] = np.rint(values) if dtype.kind in "iu" else values
        shown[rows, cols] = known[-1]
    return data, shown


def read_band(path: str, box: Box, *, opener: Opener = open_raster) -> tuple[NDArray[np.generic], NDArray[np.bool_]]:
    """Return (h, w) pixels of a file's first band, and which of them are neither nodata nor NaN; raises InputError."""
    with opener(path) as src:
        try:
            values = src.read(1, window=raster_window(box), masked=True)
        except RasterioError as error:
            raise InputError(f"{path}: cannot be read ({first_line(error)}); fetch it again") from error
    return values.data, ~np.ma.getmaskarray(values) & ~np.isnan(values.data)


def _unmasked(src: DatasetReader, own: Sequence[BandSource], window: Window) -> NDArray[np.bool_]:
    """Return where neither the alpha band nor mask bands hide a pixel; nodata values are judged elsewhere."""
    flags = {s.index: src.mask_flag_enums[s.index - 1] for s in own}
    masked = [i for i, f in flags.items() if not f]  # no flag: a mask of the band's own
    masked += [i for i, f in flags.items() if MaskFlags.per_dataset in f and MaskFlags.alpha not in f][:1]
    masks = src.read_masks(masked, window=window) if masked else np.ones((0, window.height, window.width), np.uint8)
    if own[0].alpha is not None:
        masks = np.concatenate([masks, src.read([own[0].alpha], window=window) != 0])
    return (masks != 0).all(0)


def _nodata_mask(data: NDArray[np.generic], nodata: Sequence[float | None]) -> NDArray[np.bool_]:
    """Return where (C, H, W) data is nodata.

    A pixel is nodata where any band holds its nodata value. The exception is one value for all bands that pixels may
    have measured, 0 (black) or the integer type's largest (saturated): there all bands of the scene must hold it, since
    in some bands alone it is a colour.
    """
    hits = [_equals(channel, value) for channel, value in zip(data, nodata, strict=True) if value is not None]
    if not hits:
        return np.zeros(data.shape[1:], np.bool_)
    measurable = (0, np.iinfo(str(data.dtype)).max) if data.dtype.kind in "iu" else (0,)
    everywhere = len(hits) == len(data) and len(set(nodata)) == 1 and nodata[0] in measurable
    return (np.logical_and if everywhere else np.logical_or).reduce(hits)


def _equals(channel: NDArray[np.generic], value: float | None) -> NDArray[np.bool_]:
    if value is None:
        return np.zeros(channel.shape, np.bool_)
    if np.isnan(value):
        return np.isnan(channel) if channel.dtype.kind == "f" else np.zeros(channel.shape, np.bool_)
    if channel.dtype.kind == "f":  # a tag written in text as float64 against float32 pixels
        return np.isclose(channel, value, rtol=1e-6, atol=0.0)
    return channel == value


def first_line(error: Exception) -> str:
    """Return the first line of what GDAL said, or what kind of error it was."""
    cause = error.__cause__ or error
    return str(cause).strip().splitlines()[0] if str(cause).strip() else type(cause).__name__
