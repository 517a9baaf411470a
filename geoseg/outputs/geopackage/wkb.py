"""WKB of MultiPolygons straight from coordinate arrays, as GeoPackages take it."""

import numpy as np
import pyarrow as pa
from numba import njit
from numpy.typing import NDArray

POLYGON, MULTIPOLYGON = 3, 6
HEADER_BYTES, COUNT_BYTES, POINT_BYTES = 9, 4, 16


def multipolygons(xy: NDArray[np.float64], ends: NDArray[np.int64], shells: NDArray[np.int64]) -> pa.Array:
    """Return each polygon as a little-endian MultiPolygon of one part, as shapely.to_wkb would, in (N,) binary.

    xy, ends, shells: as of ``RaggedPolygons``. Raises pyarrow.ArrowInvalid where all of them exceed 2 GiB.

    >>> square = np.array([[0, 0], [1, 0], [1, 1], [0, 1], [0, 0.0]])
    >>> len(multipolygons(square, np.array([0, 5]), np.array([0, 1]))[0].as_py())
    102
    """
    size = 2 * HEADER_BYTES + COUNT_BYTES * np.diff(shells) + POINT_BYTES * np.diff(ends[shells])
    start = np.concatenate([np.zeros(1, np.int64), np.cumsum(size)])
    out = np.empty(start[-1], np.uint8)
    _encode(np.ascontiguousarray(xy, "<f8").view(np.uint8).ravel(), ends, shells, out)
    offsets = pa.array(start).cast(pa.int32())
    return pa.Array.from_buffers(pa.binary(), len(size), [None, offsets.buffers()[1], pa.py_buffer(out)])


@njit(cache=True, nogil=True)
def _write_count(out: NDArray[np.uint8], at: int, value: int) -> int:
    for k in range(COUNT_BYTES):
        out[at + k] = value >> 8 * k & 255
    return at + COUNT_BYTES


@njit(cache=True, nogil=True)
def _write_header(out: NDArray[np.uint8], at: int, kind: int, count: int) -> int:
    out[at] = 1  # little-endian
    return _write_count(out, _write_count(out, at + 1, kind), count)


@njit(cache=True, nogil=True)
def _encode(
    coordinates: NDArray[np.uint8], ends: NDArray[np.int64], shells: NDArray[np.int64], out: NDArray[np.uint8]
) -> None:
    at = 0
    for p in range(len(shells) - 1):
        at = _write_header(out, at, MULTIPOLYGON, 1)
        at = _write_header(out, at, POLYGON, shells[p + 1] - shells[p])
        for ring in range(shells[p], shells[p + 1]):
            at = _write_count(out, at, ends[ring + 1] - ends[ring])
            for k in range(POINT_BYTES * ends[ring], POINT_BYTES * ends[ring + 1]):
                out[at] = coordinates[k]
                at += 1
