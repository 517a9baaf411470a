"""Scene: a raster (or several files of one grid) that may be read by windows; nothing is loaded, cheap to pickle."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.errors import RasterioError, RasterioIOError
from rasterio.io import DatasetReader
from rasterio.windows import Window

from geoseg.bands import SENSORS, Band, BandSet, resolve_band
from geoseg.errors import ConfigError, InputError
from geoseg.grid import Box, Grid
from geoseg.raster import Raster

COLORS = {ColorInterp.red: "red", ColorInterp.green: "green", ColorInterp.blue: "blue"}


@dataclass(frozen=True, slots=True)
class BandSource:
    """Where one band's pixels come from: file, 1-based index in it, stored -> physical scale and offset, nodata value."""

    file: str
    index: int
    scale: float = 1.0
    offset: float = 0.0
    nodata: float | None = None


@dataclass(frozen=True, slots=True)
class Scene:
    """A raster we may read.

    bands: what the channels measure, in file order without alpha; named: whether the names are known rather than
    counted; sources: one per band; block: native (rows, cols) block; dtype: the stored type.
    """

    grid: Grid
    bands: BandSet
    named: bool
    sources: tuple[BandSource, ...]
    dtype: str
    block: tuple[int, int]
    has_mask: bool

    @property
    def files(self) -> tuple[str, ...]:
        """The files, each once, in order."""
        return tuple(dict.fromkeys(s.file for s in self.sources))

    @property
    def name(self) -> str:
        """A short name for messages: the file's, or the first of several."""
        more = f" (+{len(self.files) - 1} files)" if len(self.files) > 1 else ""
        return Path(self.files[0]).name + more

    def physical(self, stored: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return (C, h, w) stored values as physical ones: value * scale + offset of each band."""
        if all(s.scale == 1 and s.offset == 0 for s in self.sources):
            return stored
        scale = np.array([s.scale for s in self.sources], np.float32)[:, None, None]
        offset = np.array([s.offset for s in self.sources], np.float32)[:, None, None]
        return stored * scale + offset

    def select(self, wanted: BandSet) -> "Scene":
        """Return the scene reduced to the bands that a model wants, in its order.

        By name and wavelength where the scene's bands are named; a scene without names is taken in order when the
        count fits. Raises InputError otherwise.
        """
        if self.named:
            order = self.bands.indices_of(wanted, where=self.name)
        elif len(self.bands) == len(wanted):
            order = tuple(range(len(wanted)))
        else:
            raise InputError(
                f"{self.name}: {len(self.bands)} bands without names, the model needs {len(wanted)} "
                f"({', '.join(wanted.names)}). Name the file's bands in order with --bands, e.g. --bands {','.join(wanted.names)}"
            )
        return replace(self, bands=wanted, named=True, sources=tuple(self.sources[i] for i in order))


def open_scene(
    source: str | Path | Sequence[str | Path],
    *,
    bands: str | None = None,
    sensor: str | None = None,
    nodata: float | None = None,
    assume_crs: str | None = None,
) -> Scene:
    """Open a GeoTIFF, COG, VRT or any raster GDAL reads, or several single-band files of one grid, as one scene.

    bands: the bands' names in file order ("B02,B03,…"), or 1-based numbers to pick ("3,2,1"); sensor: a key of
    ``geoseg.bands.SENSORS`` that gives them wavelengths; nodata: overrides the tag; assume_crs: for files without one.
    Raises InputError (not there, not a raster, no CRS, complex pixels, grids that differ) and ConfigError.
    """
    paths = [str(p) for p in ([source] if isinstance(source, str | Path) else source)]
    if not paths:
        raise ConfigError("no scene given")
    named = len([b for b in (bands or "").split(",") if b.strip()])
    parts = [_describe(path, assume_crs, named=named if len(paths) == 1 else 0) for path in paths]
    first = parts[0]
    for path, part in zip(paths[1:], parts[1:], strict=True):
        if not first.grid.same_as(part.grid):
            raise InputError(
                f"{path}: its grid ({part.grid.width} x {part.grid.height} px) differs from that of {paths[0]} "
                f"({first.grid.width} x {first.grid.height} px). Bring the bands to one grid first (gdalbuildvrt -resolution)"
            )
    sources = tuple(s if nodata is None else replace(s, nodata=nodata) for part in parts for s in part.sources)
    labels = [label for part in parts for label in part.labels]
    band_set, named, picked = _name_bands(labels, bands, sensor, paths[0])
    return Scene(
        grid=first.grid,
        bands=band_set,
        named=named,
        sources=tuple(sources[i] for i in picked),
        dtype=str(np.result_type(*(part.dtype for part in parts))),
        block=first.block,
        has_mask=any(part.has_mask for part in parts) or any(s.nodata is not None for s in sources),
    )


@dataclass(frozen=True, slots=True)
class _File:
    grid: Grid
    sources: tuple[BandSource, ...]
    labels: tuple[str | None, ...]
    dtype: str
    block: tuple[int, int]
    has_mask: bool


def open_raster(path: str) -> DatasetReader:
    """Open a raster for reading; raises InputError with one line where GDAL cannot."""
    if "://" not in path and not path.startswith("/vsi") and not Path(path).exists():
        raise InputError(f"{path}: no such file")
    try:
        return rasterio.open(path)
    except RasterioIOError as error:
        raise InputError(f"{path}: not a raster that can be read ({_first_line(error)})") from error


def _describe(path: str, assume_crs: str | None, *, named: int) -> _File:
    with open_raster(path) as src:
        if src.count == 0:
            raise InputError(f"{path}: no raster bands ({len(src.subdatasets)} subdatasets; name one of them)")
        if any(np.dtype(_numpy_name(d)).kind == "c" for d in src.dtypes):
            raise InputError(f"{path}: complex pixels ({src.dtypes[0]}); convert to amplitude or intensity first")
        crs = src.crs
        ungrounded = src.transform.is_identity and (src.gcps[0] or src.rpcs)  # a CRS, but no pixel has a place in it
        if crs is None or not crs.to_wkt() or (ungrounded and assume_crs is None):
            crs = _assumed(path, assume_crs, src)
        alpha = [] if named == src.count else _alpha(src)
        keep = [i for i in range(src.count) if i not in alpha]
        flags = src.mask_flag_enums
        return _File(
            grid=Grid(crs, src.transform, src.shape),
            sources=tuple(BandSource(path, i + 1, src.scales[i], src.offsets[i], src.nodatavals[i]) for i in keep),
            labels=tuple(_label(src, i, path) for i in keep),
            dtype=str(np.result_type(*(src.dtypes[i] for i in keep))),
            block=src.block_shapes[0],
            has_mask=any(MaskFlags.per_dataset in flags[i] for i in keep),
        )


def _alpha(src: DatasetReader) -> list[int]:
    """Return the 0-based alpha bands. GDAL takes the fourth of R, G, B, NIR for one unless told otherwise, so a band that
    its description names as something else is not."""
    flagged = [i for i, c in enumerate(src.colorinterp) if c is ColorInterp.alpha]
    return [i for i in flagged if src.count > 1 and "alpha" in (src.descriptions[i] or "alpha").lower()]


def _numpy_name(dtype: str) -> str:
    return "complex64" if dtype.startswith("complex_") else dtype


def _assumed(path: str, assume_crs: str | None, src: DatasetReader) -> CRS:
    if assume_crs is None:
        points = src.gcps[0]
        hint = (
            "it has ground control points or RPCs only: rectify it first (gdalwarp), or " if points or src.rpcs else ""
        )
        raise InputError(f"{path}: no CRS; {hint}say which one it is in with --assume-crs EPSG:n")
    try:
        return CRS.from_user_input(assume_crs)
    except ValueError as error:  # CRSError is one, and EPSG:words raises it plain
        raise ConfigError(f"--assume-crs {assume_crs}: not a CRS ({_first_line(error)})") from error


def _label(src: DatasetReader, i: int, path: str) -> str | None:
    if src.descriptions[i]:
        return str(src.descriptions[i])
    if src.colorinterp[i] in COLORS:
        return COLORS[src.colorinterp[i]]
    if src.count == 1:  # one band a file, as Sentinel-2 comes: T32UMA_20260101_B04_10m.jp2, scene-R.tif
        known = {k.lower() for table in SENSORS.values() for k in table} | {"b8a"}
        for token in reversed(re.split(r"[^A-Za-z0-9]+", Path(path).stem)):
            if token.lower() in known or re.fullmatch(r"[Bb]\d{1,2}[Aa]?", token):
                return token
    return None


def _name_bands(
    labels: list[str | None], bands: str | None, sensor: str | None, path: str
) -> tuple[BandSet, bool, tuple[int, ...]]:
    """Return the bands, whether their names are known, and which file bands they are."""
    every = tuple(range(len(labels)))
    if bands is not None:
        given = [b.strip() for b in bands.split(",") if b.strip()]
        if all(b.isdigit() for b in given):
            picked = tuple(int(b) - 1 for b in given)
            if not picked or min(picked) < 0 or max(picked) >= len(labels):
                raise ConfigError(f"--bands {bands}: {path} has bands 1..{len(labels)}")
            return BandSet(tuple(Band(f"band{i + 1}") for i in picked)), False, picked
        if len(given) != len(labels):
            raise ConfigError(
                f"--bands names {len(given)} bands, {path} has {len(labels)}; name all of them in file order"
            )
        return BandSet.parse(bands, sensor=sensor), True, every
    if labels and all(labels) and len({str(label).lower() for label in labels}) == len(labels):
        found = [_resolve(str(label), sensor) for label in labels]
        return BandSet(tuple(found)), True, every
    if sensor is not None:
        table = SENSORS.get(sensor.lower())
        if table is not None and len(table) == len(labels):
            return BandSet.parse(",".join(table), sensor=sensor), True, every
        BandSet.parse("", sensor=sensor) if table is None else None
        raise ConfigError(
            f"--sensor {sensor}: {path} has {len(labels)} bands without names; name them in file order with --bands"
        )
    partly = [resolve_band(label) if label else Band(f"band{i + 1}") for i, label in enumerate(labels)]
    return BandSet(tuple(partly)), any(labels), every


def _resolve(label: str, sensor: str | None) -> Band:
    if sensor is None:
        return resolve_band(label)
    try:
        return resolve_band(label, sensor=sensor)
    except ConfigError:
        if sensor.lower() not in SENSORS:
            raise
        return Band(label)  # a band beside the sensor's own, e.g. a quality layer


def read(scene: Scene, box: Box) -> Raster:
    """Read the pixels of ``box`` (inside the scene) as they are stored, with their validity.

    Returns data (C, h, w) in the scene's stored type. Invalid are: nodata (see ``_nodata_mask``), NaN and infinity,
    alpha 0, and what a mask band masks. Raises InputError where blocks cannot be decoded.
    """
    clipped = box.clip(scene.grid.box)
    if clipped != box:
        raise ValueError(f"{box} is not inside the scene of {scene.grid.shape}")
    data = np.empty((len(scene.bands), *box.shape), scene.dtype)
    valid = np.ones(box.shape, np.bool_)
    window = Window(box.col0, box.row0, box.shape[1], box.shape[0])
    for file in scene.files:
        channels = [c for c, s in enumerate(scene.sources) if s.file == file]
        indexes = [scene.sources[c].index for c in channels]
        with open_raster(file) as src:
            try:
                data[channels] = src.read(indexes, window=window)
                masks = _mask_bands(src, indexes, window)
            except RasterioError as error:
                raise InputError(
                    f"{file}: rows {box.row0}..{box.row1}, columns {box.col0}..{box.col1} cannot be read "
                    f"({_first_line(error)}); the file is damaged or cut off, fetch it again"
                ) from error
        for mask in masks:
            valid &= mask != 0
    valid &= ~_nodata_mask(data, [s.nodata for s in scene.sources])
    if data.dtype.kind == "f":
        for channel in data:
            valid &= np.isfinite(channel)
    return Raster(data, valid, scene.grid.crop(box), scene.bands)


def _mask_bands(src: DatasetReader, indexes: list[int], window: Window) -> list[NDArray[np.uint8]]:
    """Return the alpha or mask bands of the window; nodata values are judged elsewhere."""
    alpha = [i + 1 for i in _alpha(src) if i + 1 not in indexes]
    if alpha:
        return [src.read(alpha[0], window=window)]
    flags = src.mask_flag_enums[indexes[0] - 1]
    if MaskFlags.per_dataset in flags and MaskFlags.nodata not in flags:
        return [src.read_masks(indexes[0], window=window)]
    return []


def _nodata_mask(data: NDArray[np.generic], nodata: Sequence[float | None]) -> NDArray[np.bool_]:
    """Return where (C, H, W) data is nodata.

    A pixel is nodata where any band holds its nodata value. Unsigned data with one value for all bands is the
    exception: black (0) or white (255) in one band is a colour, so there every band must hold it.
    """
    hits = [_equals(channel, value) for channel, value in zip(data, nodata, strict=True) if value is not None]
    if not hits:
        return np.zeros(data.shape[1:], np.bool_)
    shared = len(hits) == len(data) and len(set(nodata)) == 1 and data.dtype.kind in "ub"
    out = hits[0]
    for hit in hits[1:]:
        out = out & hit if shared else out | hit
    return out


def _equals(channel: NDArray[np.generic], value: float) -> NDArray[np.bool_]:
    if np.isnan(value):
        return np.isnan(channel) if channel.dtype.kind == "f" else np.zeros(channel.shape, np.bool_)
    if channel.dtype.kind == "f":  # a tag written in text as float64 against float32 pixels
        return np.isclose(channel, value, rtol=1e-6, atol=0.0)
    return channel == value


def _first_line(error: Exception) -> str:
    cause = error.__cause__ or error
    return str(cause).strip().splitlines()[0] if str(cause).strip() else type(cause).__name__
