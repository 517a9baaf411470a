"""Ground that is shown twice, for different roles: by its place, and by its looks (a perceptual hash of 64 bits)."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import shapely
from numpy.typing import NDArray
from scipy.fft import dctn

from geoseg.training.areas import LabelledArea, blocks
from geoseg.training.audit.findings import Finding
from geoseg.training.blocks import block_ground
from geoseg.training.data_spec import Split
from geoseg.training.samples import Samples, areas_of
from geoseg.training.scenes import open_labelled
from geoseg.training.spec import TrainSpec
from geoseg.training.split_file import outline
from geoseg.values.box import Box

SIDE = 32  # of the picture that is hashed
NEAR_BITS = 6  # in which hashes of one picture differ at most
ALIKE = 0.9  # correlation of pictures that are one
FLAT = 0.05  # spread of pictures that show nothing, in spreads of the band
MOST_WINDOWS = 4000
LEAST_M2 = 1.0
DEGREE_M2 = 111_320.0**2


@dataclass(frozen=True, slots=True, eq=False)
class Hashed:
    """Pictures of windows with their hashes: bits (N, 64), pictures (N, SIDE²) of mean 0 and length 1."""

    bits: NDArray[np.bool_]
    pictures: NDArray[np.float32]
    role: tuple[str, ...]
    place: tuple[str, ...]


def perceptual_hash(picture: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Return 64 bits of a picture (SIDE, SIDE): low cosines above their median (pHash, Zauner 2010)."""
    low = dctn(picture, norm="ortho")[:8, :8].ravel()
    low[0] = 0.0
    return np.asarray(low > np.median(low))


def of_looks(samples: Samples, window_px: int) -> Iterator[Finding]:
    """Yield windows of different roles that look the same."""
    hashed = hash_windows(samples, window_px)
    role = np.array(hashed.role)
    packed = np.packbits(hashed.bits, 1).view(np.uint64).ravel()
    for one, other in (("train", "validation"), ("train", "test"), ("validation", "test")):
        rows, cols = (np.flatnonzero(role == r) for r in (one, other))
        if not (len(rows) and len(cols)):
            continue
        bits = np.bitwise_count(packed[rows][:, None] ^ packed[cols][None])
        pairs = [(rows[i], cols[k]) for i, k in np.argwhere(bits <= NEAR_BITS)]
        same = [(i, k) for i, k in pairs if float(hashed.pictures[i] @ hashed.pictures[k]) > ALIKE]
        if same:
            i, k = same[0]
            yield Finding(
                "fault",
                f"{one}, {other}",
                f"{len({k for _, k in same})} windows of {other} are shown in {one} too, such as {hashed.place[k]} as "
                f"{hashed.place[i]}: scores would be of what was learnt; split by site or scene, or remove one",
            )


def hash_windows(samples: Samples, window_px: int) -> Hashed:
    """Return the hashes of windows of all areas, some of many; flat ones and those without data are left out."""
    roles = {"train": samples.train, "validation": samples.validation, "test": samples.test}
    windows = [(r, a, box) for r, areas in roles.items() for a in areas for box in blocks(a, window_px)]
    spread = float(np.nanmean(samples.survey.spread))
    found = []
    for role, area, box in windows[:: max(1, len(windows) // MOST_WINDOWS)]:
        picture = _picture(area, box)
        if picture is not None and picture.std() > FLAT * spread:
            centred = (picture - picture.mean()).ravel()
            place = f"{Path(area.site).name} (row {box.row0}, column {box.col0})"
            found.append((perceptual_hash(picture), centred / np.linalg.norm(centred), role, place))
    return Hashed(
        np.array([bits for bits, *_ in found], bool).reshape(-1, 64),
        np.array([picture for _, picture, *_ in found], np.float32).reshape(-1, SIDE * SIDE),
        tuple(role for *_, role, _ in found),
        tuple(place for *_, place in found),
    )


def _picture(area: LabelledArea, box: Box) -> NDArray[np.float64] | None:
    """Return a window as a small grey picture; None where it is too small, or without data."""
    if min(box.shape) < SIDE:
        return None
    pixels = area.read(box)
    if pixels.valid.mean() < 0.9:
        return None
    grey = np.nanmean(pixels.image, 0)
    rows, cols = (np.arange(SIDE) * n // SIDE for n in grey.shape)
    sums = np.add.reduceat(np.add.reduceat(grey, rows, 0), cols, 1)
    sizes = np.outer(np.diff([*rows, grey.shape[0]]), np.diff([*cols, grey.shape[1]]))
    return np.asarray(sums / sizes, np.float64)


def of_places(spec: TrainSpec, samples: Samples) -> Iterator[Finding]:
    """Yield pairs of roles that share ground, by the outlines of their strips, scenes and blocks."""
    ground = list(_ground(spec, samples))
    shapes = np.array([shape for *_, shape in ground], object)
    one, other = shapely.STRtree(shapes).query(shapes, predicate="intersects")
    shared: dict[tuple[str, str], tuple[float, str]] = {}
    for i, k in zip(one, other, strict=True):
        (name, role, shape), (beside, another, shape2) = ground[i], ground[k]
        if role < another:
            common = shape.intersection(shape2)
            m2 = common.area * DEGREE_M2 * float(np.cos(np.radians(shape.centroid.y)))
            before, example = shared.get((role, another), (0.0, f"{name} and {beside}"))
            shared[role, another] = (before + m2, example)
    for (role, another), (m2, example) in shared.items():
        if m2 > LEAST_M2:
            text = f"share {m2 / 1e4:.2g} ha of ground, such as {example}; split by: blocks keeps them apart"
            yield Finding("fault", f"{role}, {another}", text)


def _ground(spec: TrainSpec, samples: Samples) -> Iterator[tuple[str, str, shapely.Geometry]]:
    """Yield (name, role, outline in degrees) of strips, whole scenes, and blocks."""
    for item in spec.data:
        blocked = item.use == "split" and not isinstance(item.split or spec.split, Split)
        scene = open_labelled(item)
        if blocked and samples.plan is not None and samples.plan.roles.split.by == "blocks":
            continue
        for area in areas_of(item, scene, spec, samples.plan):
            if (shape := outline(scene.grid.crop(area.box))) is not None:
                yield scene.name, area.role, shape
    if samples.plan is not None and samples.plan.roles.split.by == "blocks":
        for block in samples.plan.blocks:
            if (square := block_ground(block.key, samples.plan.side_m)) is not None:
                yield f"block {block.key}", block.role, square
