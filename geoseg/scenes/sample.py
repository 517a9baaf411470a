"""A look at a scene before a run: pixels from all over it, read in a moment whatever its size, and what they show."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import batched

import numpy as np
from numpy.typing import NDArray

from geoseg.errors import InputError
from geoseg.scenes.kept_open import KeptOpen
from geoseg.scenes.reading import open_raster, read
from geoseg.scenes.scene import Scene
from geoseg.values.box import Box
from geoseg.values.raster import Raster

PATCH_PX = 32  # side of the patches that are looked at
PATCHES = 8  # along each axis of a large scene
WHOLE_PX = 2**21  # a scene of so many pixels is read at once: quicker than many small reads
READERS, SMALL_BLOCK_PX = 4, 2**20  # threads that read at once, and the largest blocks of which each holds its own
LARGEST_BLOCK_PX = 2**29  # GDAL decodes whole blocks: a look is not worth the memory of larger ones
NEARLY = 2  # lossy compression turns 0 and 255 into values this far off
LEAST_SHARE, LEAST_PATCHES = 0.01, 2  # of patches that are all 0 or saturated: roofs and clouds are less


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """Patches of a scene: data (N, C, h * w) as stored, valid (N, h * w)."""

    data: NDArray[np.generic]
    valid: NDArray[np.bool_]

    def quantiles(self, scene: Scene, share: float) -> NDArray[np.float64] | None:
        """Return (C, 3): per band the physical values below which ``share``, half and all but ``share`` of them lie.

        None where no pixel is valid.
        """
        physical = self.physical(scene)
        return np.asarray(np.nanquantile(physical, [share, 0.5, 1 - share], axis=1).T) if physical.shape[1] else None

    def physical(self, scene: Scene) -> NDArray[np.float32]:
        """Return (C, N) physical values of the valid pixels."""
        stored = np.moveaxis(self.data, 1, 0)[:, self.valid]
        return scene.physical(stored.astype(np.float32)[:, :, None])[:, :, 0]


def sample(scene: Scene) -> Sample:
    """Read patches spread evenly over a scene; those that cannot be read are left out: the run will say so."""
    side = min(PATCH_PX, scene.grid.height), min(PATCH_PX, scene.grid.width)
    data, valid = [], []
    for part in _parts(scene, side):
        for row, col in _corners(part.valid.shape, side, PATCH_PX**2):
            cut = slice(row, row + side[0]), slice(col, col + side[1])
            data.append(part.data[:, *cut].reshape(len(part.data), -1))
            valid.append(part.valid[cut].ravel())
    if not data:
        return Sample(np.empty((0, len(scene.bands), 0), scene.dtype), np.empty((0, 0), np.bool_))
    return Sample(np.stack(data), np.stack(valid))


def _parts(scene: Scene, side: tuple[int, int]) -> Iterator[Raster]:
    """Yield what is read at once: a small scene, strips of one that is stored by rows, patches of one in tiles."""
    height, width = scene.grid.shape
    if scene.block[0] * scene.block[1] > LARGEST_BLOCK_PX:
        boxes = []
    elif height * width <= WHOLE_PX:
        boxes = [scene.grid.box]
    else:
        size = (side[0], width) if scene.block[1] >= width and width <= WHOLE_PX else side
        boxes = [Box(r, c, r + size[0], c + size[1]) for r, c in _corners(scene.grid.shape, size, PATCHES)]
    readers = READERS if scene.block[0] * scene.block[1] <= SMALL_BLOCK_PX else 1
    shares = batched(boxes, max(1, -(-len(boxes) // readers)))
    with ThreadPoolExecutor(readers) as pool:
        for parts in pool.map(partial(_read_all, scene), shares):
            yield from parts


def _read_all(scene: Scene, boxes: Sequence[Box]) -> list[Raster]:
    """Read boxes one after the other, those that can be read."""
    found = []
    with KeptOpen(open_raster) as opener:  # several patches lie in a block
        for box in boxes:
            with suppress(InputError):  # a damaged block: the run will say so, or fill it
                found.append(read(scene, box, opener=opener))
    return found


def _corners(shape: tuple[int, int], side: tuple[int, int], most: int) -> list[tuple[int, int]]:
    """Return the first pixels of up to ``most`` boxes of ``side`` along each axis of ``shape``, both ends included."""
    rows, cols = (
        np.linspace(0, n - s, min(-(-n // s), most)).astype(int).tolist() for n, s in zip(shape, side, strict=True)
    )
    return [(r, c) for r in rows for c in cols]


def empty_areas(scene: Scene, seen: Sample) -> list[str]:
    """Return a warning for each value that fills large areas without any texture: holes and collars that nothing masks.

    Looked for are 0, the largest value of an integer type, and the least value where it is negative. The other way
    round, a scene that shows no pixel with data is warned of too.
    """
    if seen.valid.size and not seen.valid.any():
        return [
            f"{scene.name}: none of the {seen.valid.size:,} pixels looked at has data, so the map is empty or "
            f"nearly so; if it should not be, see its nodata value (geoseg info) and set another with --nodata"
        ]
    return [
        f"{scene.name}: about {share:.0%} of the pixels are {value:g} in all bands, in areas without any texture, and "
        f"are mapped as if they were ground; if these are holes or a collar, pass --nodata {value:g} (or --mask)"
        for share, value in (_empty_share(seen, value) for value in _suspects(scene, seen))
        if share
    ]


def _suspects(scene: Scene, seen: Sample) -> list[float]:
    values = {0.0}
    if np.dtype(scene.dtype).kind in "iu":
        values.add(float(np.iinfo(scene.dtype).max))
    known = seen.data[np.broadcast_to(seen.valid[:, None], seen.data.shape)]
    if known.size and (least := float(known.min())) < 0:
        values.add(least)
    return sorted(values)


def _empty_share(seen: Sample, value: float) -> tuple[float, float]:
    """Return the share of the pixels that hold about ``value``, 0 where too few patches are full of it, and which."""
    near = NEARLY if seen.data.dtype.kind in "iu" else 0
    hits = (np.abs(seen.data.astype(np.float32) - np.float32(value)) <= near).all(1) & seen.valid
    full = hits.all(1) if hits.size else np.zeros(len(hits), np.bool_)
    if full.sum() < max(LEAST_PATCHES, LEAST_SHARE * len(hits)):
        return 0.0, value
    held, times = np.unique(seen.data[full], return_counts=True)
    return float(hits.mean()), float(held[times.argmax()])
