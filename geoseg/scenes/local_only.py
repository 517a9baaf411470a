"""Which names and files make GDAL read nothing but files of this machine."""

import re

# Formats whose files name no others: VRT, WMS, STAC and the like may name files and URLs.
LOCAL_DRIVERS = (
    "GTiff", "PNG", "JPEG", "JP2OpenJPEG", "WEBP", "BMP", "GIF", "HFA", "AAIGrid", "ENVI", "netCDF", "HDF5",
    "GPKG",
)  # fmt: skip
LOCAL_VSI = "zip|gzip|tar|7z|rar|subfile|sparse|mem|crypt"  # GDAL's file systems that stay on this machine
LOCAL_PREFIX = "file|zip|tar|netcdf|hdf5|gtiff_dir|gpkg|jpeg2000"
ELSEWHERE = re.compile(
    rf"""(?<!^file)(?<!^zip)(?<!^tar)://    # a URL, also inside another name
    | /vsi(?!(?:{LOCAL_VSI})(?:/|$))        # GDAL's network file systems, and those that nobody knows yet
    | ^\s*[<{{]                             # a dataset written out as XML or JSON
    | ^(?!(?:{LOCAL_PREFIX}):)[a-z][\w+-]+: # a driver's own connection, e.g. WMS:, PG:
    """,
    re.IGNORECASE | re.VERBOSE,
)


def is_elsewhere(name: str) -> bool:
    """Whether a raster's or layer's name may make GDAL look beyond the files of this machine.

    >>> is_elsewhere("/data/scene.tif"), is_elsewhere("aoi.gpkg:layer"), is_elsewhere("/vsizip/a.zip/b.tif")
    (False, False, False)
    >>> is_elsewhere("file:///data/scene.tif"), is_elsewhere("zip:///data/a.zip!b.tif")
    (False, False)
    >>> is_elsewhere("https://a.org/b.tif"), is_elsewhere("/vsizip//vsicurl/http.zip"), is_elsewhere("WMS:a")
    (True, True, True)
    >>> is_elsewhere("zip+https://a.org/b.zip!b.tif"), is_elsewhere("zip://https://a.org/b.zip"), is_elsewhere("s3://a/b")
    (True, True, True)
    """
    return ELSEWHERE.search(name) is not None
