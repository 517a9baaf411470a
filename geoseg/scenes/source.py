"""Scene: a raster (or several files of one grid) that may be read by windows; nothing is loaded, cheap to pickle."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
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

from geoseg.disk.files import mode_of, refuse_special
from geoseg.disk.places import CONNECTION
from geoseg.errors import ConfigError, InputError
from geoseg.scenes.local_only import LOCAL_DRIVERS, is_elsewhere
from geoseg.scenes.no_raster import way_out
from geoseg.scenes.reads import files_read, local_file
from geoseg.values.bands import SENSORS, Band, BandSet, resolve_band, sensor_bands
from geoseg.values.grid import Box, Grid, pyproj_crs
from geoseg.values.raster import Raster

COLORS = {ColorInterp.red: "red", ColorInterp.green: "green", ColorInterp.blue: "blue"}
LARGEST = float(np.finfo(np.float32).max)  # pixels are worked with as float32
AROUND_NAMES = re.compile(r"^(band|layer|channel)[\s_-]*\d+|[\s_]*\(?\d+(\.\d+)?\s*(nm|µm)\)?$", re.IGNORECASE)
# What a description may not hold where the colour interpretation, which writers set by default, is to be believed.
OTHER_BANDS = re.compile(
    r"\d|edge|infra|ir\b|ir_|nd[vw]i|index|^v[vh]|^h[vh]|cirrus|coast|aerosol|yellow", re.IGNORECASE
)
NUMBERED = re.compile(r"(band|layer|channel)?[\s_-]*\d+", re.IGNORECASE)  # "Band 1", "Layer_2": a count, not a name


@dataclass(frozen=True, slots=True)
class BandSource:
    """Where one band's pixels come from: file, 1-based index in it, stored -> physical scale and offset, nodata value.

    alpha: 1-based index of the file's alpha band, None where it has none.
    """

    file: str
    index: int
    scale: float = 1.0
    offset: float = 0.0
    nodata: float | None = None
    alpha: int | None = None


@dataclass(frozen=True, slots=True)
class Scene:
    """A raster we may read.

    bands: what the channels measure, in file order without alpha; named: whether the names are known rather than
    counted; sources: one per band; block: native (rows, cols) block; dtype: the stored type; mask: a raster of the
    same grid whose first band hides pixels where it is 0, nodata or NaN; origin: (row, col) in the files of its first
    pixel.
    """

    grid: Grid
    bands: BandSet
    named: bool
    sources: tuple[BandSource, ...]
    dtype: str
    block: tuple[int, int]
    mask: str | None = None
    origin: tuple[int, int] = (0, 0)

    def __repr__(self) -> str:
        """Return the file, size, CRS, pixel and bands, in five lines."""
        height_m, width_m = self.grid.ground_resolution_m()
        bands = list(self.bands.names)
        shown = ", ".join(bands[:8]) + (f", … ({len(bands)})" if len(bands) > 8 else "")
        return "\n".join(
            (
                f"Scene {self.name}",
                f"  size   {self.grid.height} x {self.grid.width} px",
                f"  pixel  {height_m:.4g} x {width_m:.4g} m",
                f"  CRS    {self.grid.crs.to_string()[:80]}",
                f"  bands  {shown}, {self.dtype}",
            )
        )

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
        physical = stored * scale
        physical += offset
        return physical

    def crop(self, box: Box) -> "Scene":
        """Return the part of the scene in ``box``, which lies inside it."""
        if box.clip(self.grid.box) != box:
            raise ValueError(f"{box} is not inside the scene of {self.grid.shape}")
        row, col = self.origin
        return replace(self, grid=self.grid.crop(box), origin=(row + box.row0, col + box.col0))

    def select(self, wanted: BandSet) -> "Scene":
        """Return the scene reduced to the bands that a model wants, in its order.

        By name and wavelength where the scene's bands are named; a scene without names is taken in order when the
        count fits. Raises InputError otherwise.
        """
        if self.named:
            order = self.bands.indices_of(wanted, where=self.name)
        elif len(self.bands) == len(wanted):
            order = tuple(range(len(wanted)))
        elif len(self.bands) == 1 and set(wanted.names) == set(COLORS.values()):
            order = (0, 0, 0)  # grey is equal parts of each
        else:
            raise InputError(
                f"{self.name}: {len(self.bands)} bands without names, the model needs {len(wanted)} "
                f"({', '.join(wanted.names)}). Name them in file order with --bands, or pick by number: --bands 3,2,1"
            )
        return replace(self, bands=wanted, named=True, sources=tuple(self.sources[i] for i in order))


def open_scene(
    source: str | Path | Sequence[str | Path],
    *,
    bands: str | None = None,
    sensor: str | None = None,
    nodata: float | None = None,
    mask: str | Path | None = None,
    assume_crs: str | None = None,
    local_only: bool = False,
) -> Scene:
    """Open a GeoTIFF, COG, VRT or any raster GDAL reads, or several single-band files of one grid, as one scene.

    bands: the bands' names in file order ("B02,B03,…"), or 1-based numbers to pick ("3,2,1"); a band marked as alpha
    is one of them when it is named or picked, else it masks. sensor: a key of ``geoseg.values.bands.SENSORS`` that
    gives the bands wavelengths; nodata: overrides the tag; mask: a raster on the scene's grid, pixels where its first
    band is 0, nodata or NaN are invalid; assume_crs: for files without one;
    local_only: names and formats that make GDAL read further files or URLs (VRT, WMS, …) are refused.
    Raises InputError (not there, not a raster, no CRS, complex pixels, grids that differ) and ConfigError.

    >>> from importlib.resources import files
    >>> scene = open_scene(str(files("geoseg") / "demo" / "scene.tif"))
    >>> scene.grid.shape, scene.bands.names
    ((1536, 768), ('red', 'green', 'blue'))
    """
    paths = [str(p) for p in ([source] if isinstance(source, str | Path) else source)]
    if not paths:
        raise ConfigError("no scene given")
    parts = [_describe(path, assume_crs, local_only=local_only) for path in paths]
    first = parts[0]
    for path, part in zip(paths[1:], parts[1:], strict=True):
        if not first.grid.same_as(part.grid):
            raise InputError(
                f"{path}: its grid ({_words(part.grid)}) differs from that of {paths[0]} ({_words(first.grid)}). "
                f"Bring the bands to one grid first ({_way_to_one_grid(first.grid, part.grid)})"
            )
    every = [s if nodata is None else replace(s, nodata=nodata) for part in parts for s in part.sources]
    labels = [label for part in parts for label in part.labels]
    dtypes = [dtype for part in parts for dtype in part.dtypes]
    is_alpha = [s.index == s.alpha for s in every]
    band_set, named, picked = _name_bands(labels, is_alpha, bands, sensor, paths[0])
    if mask is not None and not (own := _describe(str(mask), assume_crs, local_only=local_only).grid).same_as(
        first.grid
    ):
        raise InputError(
            f"{mask}: its grid ({_words(own)}) differs from that of {paths[0]} ({_words(first.grid)}); "
            f"bring the mask to the scene's grid first (gdalwarp -te -tr -r near)"
        )
    plain = {every[i].file for i in picked if is_alpha[i]}  # their alpha band is a band like the others
    return Scene(
        grid=first.grid,
        bands=band_set,
        named=named,
        sources=tuple(replace(s, alpha=None) if s.file in plain else s for s in (every[i] for i in picked)),
        dtype=_dtype_of_all(dtypes[i] for i in picked),
        block=first.block,
        mask=None if mask is None else str(mask),
    )


def _dtype_of_all(dtypes: Iterable[str]) -> str:
    """Return the type that holds the values of all; float32 for half floats, which few libraries work with."""
    common = np.result_type(*dtypes)
    return "float32" if common == np.float16 else str(common)


@dataclass(frozen=True, slots=True)
class _File:
    grid: Grid
    sources: tuple[BandSource, ...]
    labels: tuple[str | None, ...]
    dtypes: tuple[str, ...]
    block: tuple[int, int]


def _words(grid: Grid) -> str:
    """Return what a reader needs to tell two grids apart."""
    t = grid.transform
    size = f"{grid.width} x {grid.height} px of {t.a:g} x {t.e:g}"
    return f"{size} from {t.c:.10g}, {t.f:.10g} in {grid.crs.to_string()[:60]}"


def _way_to_one_grid(first: Grid, other: Grid) -> str:
    """Return the command that brings two grids together: pixels of another size on the same ground need no warp."""
    if first.crs == other.crs and np.allclose(first.bounds, other.bounds, rtol=0, atol=abs(first.transform.a) / 100):
        return "gdalbuildvrt -separate -resolution highest -r bilinear bands.vrt FILES, then that VRT with --bands"
    return "gdalwarp -t_srs -te -tr"


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
        return _opened_locally(path) if local_only else rasterio.open(path)
    except RasterioIOError as error:
        told = way_out(path) or _first_line(error)
        raise InputError(f"{path}: not a raster that can be read ({told})") from error


def _opened_locally(path: str) -> DatasetReader:
    for driver in LOCAL_DRIVERS:
        with suppress(RasterioIOError):
            return rasterio.open(path, driver=driver)
    raise RasterioIOError(f"none of the formats that --local-only allows: {', '.join(LOCAL_DRIVERS)}")


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


def is_utf8(name: str) -> bool:
    """Whether a file's name can be given to GDAL: names of other encodings hold halves of surrogate pairs."""
    return not any("\ud800" <= c <= "\udfff" for c in name)


def _describe(path: str, assume_crs: str | None, *, local_only: bool) -> _File:
    """Return what a file says of itself; raises InputError with its name."""
    with open_raster(path, local_only=local_only) as src:
        try:
            return _file(src, path, assume_crs)
        except UnicodeDecodeError as error:
            raise InputError(
                f"{path}: a band's name or a tag in it, or in its .aux.xml, is not UTF-8 ({error.reason}); "
                f"write it anew (gdal_edit, or remove the .aux.xml)"
            ) from error


def _file(src: DatasetReader, path: str, assume_crs: str | None) -> _File:
    if src.driver == "VRT":
        files_read([path])  # refuses sources that are missing, or that GDAL would wait for without end
    if src.count == 0:
        hint = (
            f"; it holds {len(src.subdatasets)} rasters, name one, e.g. {src.subdatasets[0]}" if src.subdatasets else ""
        )
        raise InputError(f"{path}: no raster bands{hint}")
    if any(np.dtype(_numpy_name(d)).kind == "c" for d in src.dtypes):
        raise InputError(f"{path}: complex pixels ({src.dtypes[0]}); convert to amplitude or intensity first")
    if src.transform.is_identity and (src.gcps[0] or src.rpcs):
        raise InputError(
            f"{path}: placed by ground control points or RPCs only; rectify it first (gdalwarp, gdalwarp -rpc)"
        )
    if src.transform.is_identity:  # what rasterio gives for a missing or empty one
        raise InputError(
            f"{path}: no geotransform, so nobody knows where its pixels lie or how large they are; give it one "
            f"(gdal_edit -a_ullr left top right bottom, or a world file beside it)"
        )
    _refuse_scales(src, path)
    crs = src.crs if src.crs is not None and src.crs.to_wkt() else _assumed(path, assume_crs)
    try:
        pyproj_crs(crs)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    labels = tuple(_label(src, i, path) for i in range(src.count))
    # Writers mark the fourth of four bytes as alpha by default, near infrared included: a name says what it is.
    alpha = [i + 1 for i, c in enumerate(src.colorinterp) if c is ColorInterp.alpha and labels[i] is None]
    return _File(
        grid=Grid(crs, src.transform, src.shape),
        sources=tuple(
            BandSource(path, i + 1, src.scales[i], src.offsets[i], src.nodatavals[i], alpha[0] if alpha else None)
            for i in range(src.count)
        ),
        labels=labels,
        dtypes=src.dtypes,
        block=src.block_shapes[0],
    )


def _refuse_scales(src: DatasetReader, path: str) -> None:
    """Raise InputError where a band's scale or offset would leave no value to work with."""
    for i, (scale, offset) in enumerate(zip(src.scales, src.offsets, strict=True), 1):
        if not (0 < abs(scale) < LARGEST and abs(offset) < LARGEST):
            raise InputError(
                f"{path}: band {i} has the scale {scale:g} and the offset {offset:g}, which give no physical values; "
                f"set them right (gdal_edit -scale 1 -offset 0)"
            )


def _numpy_name(dtype: str) -> str:
    return "complex64" if dtype.startswith("complex_") else dtype


def _assumed(path: str, assume_crs: str | None) -> CRS:
    if assume_crs is None:
        raise InputError(f"{path}: no CRS; say which one it is in with --assume-crs EPSG:n")
    try:
        return CRS.from_user_input(assume_crs)
    except ValueError as error:  # CRSError is one, and EPSG:words raises it plain
        raise ConfigError(f"--assume-crs {assume_crs}: not a CRS ({_first_line(error)})") from error


def _label(src: DatasetReader, i: int, path: str) -> str | None:
    """Return what band ``i`` is called, None where nothing says it or it is called alpha."""
    told = (src.descriptions[i] or "").split(",")[0].strip()  # "B4, central wavelength 665 nm"
    if told and not NUMBERED.fullmatch(told):
        if told.lower() in ("alpha", "mask") and src.colorinterp[i] is ColorInterp.alpha:
            return None
        return _known(told) or (told if OTHER_BANDS.search(told) else COLORS.get(src.colorinterp[i], told))
    if src.colorinterp[i] in COLORS:
        return COLORS[src.colorinterp[i]]
    if src.colorinterp[i] is ColorInterp.palette:
        return "palette"  # numbers of colours, no grey values
    if src.count == 1:  # one band a file, as Sentinel-2 comes: T32UMA_20260101_B04_10m.jp2, scene-R.tif
        known = {k.lower() for table in SENSORS.values() for k in table}
        for token in reversed(re.split(r"[^A-Za-z0-9]+", Path(path).stem)):
            if token.lower() in known:
                return token
    return None


def _known(told: str) -> str | None:
    """Return the common name within "Band 1 (Red)" or "Red (665 nm)", None where there is none."""
    name = AROUND_NAMES.sub("", told).strip(" ()_-:")
    return name if resolve_band(name).wavelength_nm is not None else None


def _name_bands(
    labels: list[str | None], is_alpha: list[bool], bands: str | None, sensor: str | None, path: str
) -> tuple[BandSet, bool, tuple[int, ...]]:
    """Return the bands, whether their names are known, and which of the files' bands they are."""
    data = tuple(i for i, alpha in enumerate(is_alpha) if not alpha) or tuple(range(len(labels)))
    table = sensor_bands(sensor) if sensor is not None else {}
    if bands is not None:
        given = [b.strip() for b in bands.split(",") if b.strip()]
        if all(b.isdigit() for b in given):
            picked = tuple(int(b) - 1 for b in given)
            if not picked or min(picked) < 0 or max(picked) >= len(labels):
                raise ConfigError(f"--bands {bands}: {path} has bands 1..{len(labels)}")
            if table:
                raise ConfigError(f"--bands {bands} --sensor {sensor}: numbers pick bands, only names have wavelengths")
            return BandSet(tuple(Band(f"band{i + 1}") for i in picked)), False, picked
        if len(given) not in (len(data), len(labels)):
            raise ConfigError(
                f"--bands names {len(given)} bands, {path} has {len(data)}; name all in file order, or give numbers"
            )
        return BandSet.parse(bands, sensor=sensor), True, data if len(given) == len(data) else tuple(range(len(labels)))
    found = _resolved([labels[i] for i in data], sensor)
    if table and not all(found):
        order = [Band(name, nm) for name, nm in table.items()]
        if len(order) != len(data) or any(own not in (None, b) for own, b in zip(found, order, strict=True)):
            raise ConfigError(
                f"--sensor {sensor}: {path} has {len(data)} bands, not all named; name them in file order with --bands"
            )
        return BandSet(tuple(order)), True, data
    named = BandSet(tuple(own or Band(f"band{i + 1}") for i, own in zip(data, found, strict=True)))
    return named, any(found), data


def _resolved(labels: list[str | None], sensor: str | None) -> list[Band | None]:
    """Return the band that each label names; None where there is none, and where two labels name the same."""
    found = [None if label is None else _resolve(label, sensor) for label in labels]
    times = Counter(band.name.lower() for band in found if band)
    return [band if band and times[band.name.lower()] == 1 else None for band in found]


def _resolve(label: str, sensor: str | None) -> Band:
    if sensor is None:
        return resolve_band(label)
    try:
        return resolve_band(label, sensor=sensor)
    except ConfigError:
        return Band(label)  # a band beside the sensor's own, e.g. a quality layer


def read(scene: Scene, box: Box) -> Raster:
    """Read the pixels of ``box`` (inside the scene) as they are stored, with their validity.

    Returns data (C, h, w) in the scene's stored type. Invalid are: nodata (see ``_nodata_mask``), NaN and infinity,
    alpha 0, and what a mask band masks. Raises InputError where blocks cannot be decoded.
    """
    # The window is read as it is, not widened to native blocks: GDAL decodes the same blocks for both, once each, and
    # the wider copy costs 0–50 % more (512 px tiles of 3 and 8 bands, by pixel and by band, cache of 1 to 512 MB).
    clipped = box.clip(scene.grid.box)
    if clipped != box:
        raise ValueError(f"{box} is not inside the scene of {scene.grid.shape}")
    data = np.empty((len(scene.bands), *box.shape), scene.dtype)
    valid = np.ones(box.shape, np.bool_)
    row, col = scene.origin
    window = Window(col + box.col0, row + box.row0, box.shape[1], box.shape[0])
    for file in scene.files:
        channels = [c for c, s in enumerate(scene.sources) if s.file == file]
        own = [scene.sources[c] for c in channels]
        with open_raster(file) as src:
            try:
                if len(own) == len(data):
                    src.read([s.index for s in own], window=window, out=data)
                else:
                    data[channels] = src.read([s.index for s in own], window=window)
                valid &= _unmasked(src, own, window)
            except RasterioError as error:
                raise InputError(
                    f"{file}: rows {box.row0}..{box.row1}, columns {box.col0}..{box.col1} cannot be read "
                    f"({_first_line(error)}); the file is damaged or cut off, fetch it again"
                ) from error
    if scene.mask is not None:
        valid &= _shown(scene.mask, window)
    valid &= ~_nodata_mask(data, [s.nodata for s in scene.sources])
    if data.dtype.kind == "f":
        for channel in data:
            valid &= np.isfinite(channel)
    return Raster(data, valid, scene.grid.crop(box), scene.bands)


def _shown(mask: str, window: Window) -> NDArray[np.bool_]:
    """Return where a mask file shows pixels: its first band is neither 0 nor nodata nor NaN."""
    with open_raster(mask) as src:
        try:
            values = src.read(1, window=window, masked=True)
        except RasterioError as error:
            raise InputError(f"{mask}: cannot be read ({_first_line(error)}); fetch it again") from error
    shown = np.asarray(values.filled(0))
    return (shown != 0) & ~np.isnan(shown)


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


def _equals(channel: NDArray[np.generic], value: float) -> NDArray[np.bool_]:
    if np.isnan(value):
        return np.isnan(channel) if channel.dtype.kind == "f" else np.zeros(channel.shape, np.bool_)
    if channel.dtype.kind == "f":  # a tag written in text as float64 against float32 pixels
        return np.isclose(channel, value, rtol=1e-6, atol=0.0)
    return channel == value


def _first_line(error: Exception) -> str:
    cause = error.__cause__ or error
    return str(cause).strip().splitlines()[0] if str(cause).strip() else type(cause).__name__
