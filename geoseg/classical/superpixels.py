"""Superpixels: pixels that lie together and are alike, one for each cell of a lattice of the scene.

Both methods look a bounded way and count in integers, so tiles with a halo of ``halo_px`` change no bit. A superpixel
is numbered by its cell, in raster order from 1; cells whose pixels all went elsewhere leave a gap.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from geoseg.numba_cache import njit

STEPS = 5  # of SLIC: after as many, few pixels change any more
SUB = 16  # parts of a pixel and of a value in which SLIC's centres are held
GRADIENT_PX = 2  # a gradient looks so far: a mean of 3 x 3, and a Sobel filter of it
MEAN_PX, MODE_PX, MODES = 2, 2, 2  # slic sees means of 5 x 5; specks give way to the mode of 5 x 5, twice
FAR = np.int64(2**62)


@dataclass(frozen=True, slots=True)
class SuperpixelRules:
    """How a scene is cut into superpixels."""

    method: Literal["slic", "waterpixels"]
    """slic: the likest of nine centres; waterpixels: floods from the calmest pixel of each cell."""
    spacing_px: int
    """Side of a lattice cell."""
    compactness: int = 40
    """Of slic: the difference in value, of 255, that counts as much as a distance of one spacing."""

    @property
    def halo_px(self) -> int:
        """Pixels around a tile that its superpixels depend on.

        Of slic: a step looks two cells farther, and the first centres are the middles of the cells beyond. Of
        waterpixels: from a cell's last row to the first one of the cell before the cell before.
        """
        if self.method == "slic":
            return self.spacing_px * (2 * STEPS + 1) + self.spacing_px // 2 + MEAN_PX + MODES * MODE_PX
        return self.spacing_px * 3 - 1 + GRADIENT_PX


def superpixels(
    image: NDArray[np.uint8],
    valid: NDArray[np.bool_],
    corner: tuple[int, int],
    shape: tuple[int, int],
    rules: SuperpixelRules,
) -> NDArray[np.uint32]:
    """Return the number of each pixel's superpixel, (h, w), 0 where not ``valid``.

    image: (C, h, w), of which the first pixel lies at ``corner`` (row, col) of a scene of ``shape``.
    """
    if rules.method == "slic":
        found = _slic(_means(image), valid, corner, shape, rules.spacing_px, rules.compactness)
        for _ in range(MODES):
            found = _modes(found)
    else:
        found = _waterpixels(gradient(image), corner, shape, rules.spacing_px)
    return np.where(valid, found, 0).astype(np.uint32)


def _means(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the mean of the box around each pixel, of each band."""
    side = 2 * MEAN_PX + 1
    box = np.ones((side, side), np.int64)
    sums = [ndimage.correlate(band.astype(np.int64), box, mode="nearest") for band in image]
    return np.stack([total // side**2 for total in sums]).astype(np.uint8)


def gradient(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return how fast the smoothed bands (C, h, w) change, (h, w): the mean of Sobel's two filters over bands, to 255.

    >>> int(gradient(np.full((3, 4, 4), 9, np.uint8)).max())
    0
    """
    total = np.zeros(image.shape[1:], np.int64)
    for band in image:
        smooth = ndimage.correlate(band.astype(np.int64), np.ones((3, 3), np.int64), mode="nearest")
        for axis in (0, 1):
            total += np.abs(ndimage.sobel(smooth, axis, mode="nearest"))
    return np.minimum(total // (9 * 8 * len(image)), 255).astype(np.uint8)


@njit(cache=True, nogil=True)
def _slic(
    image: NDArray[np.uint8],
    valid: NDArray[np.bool_],
    corner: tuple[int, int],
    shape: tuple[int, int],
    spacing: int,
    weight: int,
) -> NDArray[np.int64]:
    """Simple linear iterative clustering (Achanta et al. 2012) with a fixed number of steps, in integers."""
    bands, height, width = image.shape
    row0, col0 = corner
    across = -(-shape[1] // spacing)
    i0, j0 = row0 // spacing, col0 // spacing
    down, over = (row0 + height - 1) // spacing - i0 + 1, (col0 + width - 1) // spacing - j0 + 1
    centre = np.zeros((down, over, bands + 2), np.int64)
    for i in range(down):
        for j in range(over):
            y = min((i + i0) * spacing + spacing // 2, shape[0] - 1)
            x = min((j + j0) * spacing + spacing // 2, shape[1] - 1)
            centre[i, j, bands], centre[i, j, bands + 1] = SUB * y, SUB * x
            inside_y, inside_x = min(max(y - row0, 0), height - 1), min(max(x - col0, 0), width - 1)
            for b in range(bands):
                centre[i, j, b] = SUB * np.int64(image[b, inside_y, inside_x])
    label = np.zeros((height, width), np.int64)
    total = np.zeros((down, over, bands + 3), np.int64)
    for _ in range(STEPS + 1):
        total[:] = 0
        for r in range(height):
            for c in range(width):
                if valid[r, c]:
                    i, j = _likest(image, r, c, corner, centre, spacing, weight)
                    label[r, c] = (i + i0) * across + j + j0 + 1
                    for b in range(bands):
                        total[i, j, b] += image[b, r, c]
                    total[i, j, bands] += r + row0
                    total[i, j, bands + 1] += c + col0
                    total[i, j, bands + 2] += 1
        for i in range(down):
            for j in range(over):
                n = total[i, j, bands + 2]
                for k in range(bands + 2 if n else 0):
                    centre[i, j, k] = (SUB * total[i, j, k] + n // 2) // n
    return label


@njit(cache=True, nogil=True)
def _likest(
    image: NDArray[np.uint8],
    r: int,
    c: int,
    corner: tuple[int, int],
    centre: NDArray[np.int64],
    spacing: int,
    weight: int,
) -> tuple[int, int]:
    """Return which centre of the nine cells around a pixel is the likest and nearest, the first of equals."""
    down, over, size = centre.shape
    y, x = r + corner[0], c + corner[1]
    at_i, at_j = y // spacing - corner[0] // spacing, x // spacing - corner[1] // spacing
    best, best_i, best_j = FAR, at_i, at_j
    for i in range(max(at_i - 1, 0), min(at_i + 2, down)):
        for j in range(max(at_j - 1, 0), min(at_j + 2, over)):
            far = (SUB * y - centre[i, j, size - 2]) ** 2 + (SUB * x - centre[i, j, size - 1]) ** 2
            unlike = np.int64(0)
            for b in range(size - 2):
                unlike += (SUB * np.int64(image[b, r, c]) - centre[i, j, b]) ** 2
            cost = unlike * spacing * spacing + (size - 2) * weight * weight * far
            if cost < best:
                best, best_i, best_j = cost, i, j
    return best_i, best_j


@njit(cache=True, nogil=True)
def _modes(label: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the commonest label around each pixel that has one; its own where none is commoner, else the least."""
    height, width = label.shape
    out = np.zeros_like(label)
    near = np.empty((2 * MODE_PX + 1) ** 2, np.int64)
    for r in range(height):
        for c in range(width):
            n = 0
            for y in range(max(r - MODE_PX, 0), min(r + MODE_PX + 1, height)):
                for x in range(max(c - MODE_PX, 0), min(c + MODE_PX + 1, width)):
                    if label[y, x] > 0:
                        near[n] = label[y, x]
                        n += 1
            own, most = label[r, c], 0
            for k in near[:n]:
                count = 0
                for other in near[:n]:
                    count += other == k
                better = count > most or (count == most and out[r, c] != own and (k == own or k < out[r, c]))
                if own > 0 and better:
                    out[r, c], most = k, count
    return out


@njit(cache=True, nogil=True)
def _waterpixels(
    gradient: NDArray[np.uint8], corner: tuple[int, int], shape: tuple[int, int], spacing: int
) -> NDArray[np.int64]:
    """Watershed from one marker a cell (Machairas et al. 2015), of which each floods the nine cells around alone.

    A pixel goes to the marker with the lowest pass on the way, then to the nearest, then to the first.
    """
    height, width = gradient.shape
    row0, col0 = corner
    across = -(-shape[1] // spacing)
    best, out = np.full((height, width), FAR, np.int64), np.zeros((height, width), np.int64)
    side = 3 * spacing
    queue, count = np.empty((256, side * side, 2), np.int32), np.zeros(256, np.int64)
    for i in range(row0 // spacing, (row0 + height - 1) // spacing + 1):
        for j in range(col0 // spacing, (col0 + width - 1) // spacing + 1):
            marker = _calmest(gradient, corner, i * spacing, j * spacing, spacing)
            top, left = (i - 1) * spacing - row0, (j - 1) * spacing - col0
            passes = _flooded(gradient, marker, top, left, side, queue, count)
            for y in range(side):
                for x in range(side):
                    if passes[y, x] >= 0:
                        r, c = y + top, x + left
                        key = (passes[y, x] << 32) | ((r - marker[0]) ** 2 + (c - marker[1]) ** 2)
                        if key < best[r, c]:
                            best[r, c], out[r, c] = key, i * across + j + 1
    return out


@njit(cache=True, nogil=True)
def _calmest(
    gradient: NDArray[np.uint8], corner: tuple[int, int], top: int, left: int, spacing: int
) -> tuple[int, int]:
    """Return the pixel of the part with the least gradient in the middle of a cell, the first of equals."""
    height, width = gradient.shape
    edge = spacing // 4
    least, row, col = 256, 0, 0
    for r in range(max(top + edge - corner[0], 0), min(top + spacing - edge - corner[0], height)):
        for c in range(max(left + edge - corner[1], 0), min(left + spacing - edge - corner[1], width)):
            if gradient[r, c] < least:
                least, row, col = gradient[r, c], r, c
    if least == 256:  # no middle of a cell that the scene's edge cuts
        row, col = min(max(top - corner[0], 0), height - 1), min(max(left - corner[1], 0), width - 1)
    return row, col


@njit(cache=True, nogil=True)
def _flooded(
    gradient: NDArray[np.uint8],
    marker: tuple[int, int],
    top: int,
    left: int,
    side: int,
    queue: NDArray[np.int32],
    count: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Return the lowest pass from the marker to each pixel of a square, (side, side), -1 where none leads."""
    height, width = gradient.shape
    passes = np.full((side, side), -1, np.int64)
    count[:] = 0
    low = np.int64(gradient[marker[0], marker[1]])
    queue[low, 0, 0], queue[low, 0, 1] = marker[0] - top, marker[1] - left
    count[low] = 1
    passes[marker[0] - top, marker[1] - left] = low
    for level in range(low, 256):
        done = 0
        while done < count[level]:
            r, c = queue[level, done]
            done += 1
            for d in range(4):
                y, x = r + (d == 0) - (d == 1), c + (d == 2) - (d == 3)
                inside = 0 <= y < side and 0 <= x < side and 0 <= y + top < height and 0 <= x + left < width
                if inside and passes[y, x] < 0:
                    passed = max(level, int(gradient[y + top, x + left]))
                    passes[y, x] = passed
                    queue[passed, count[passed], 0], queue[passed, count[passed], 1] = y, x
                    count[passed] += 1
    return passes
