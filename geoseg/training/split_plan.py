"""A split by blocks or groups for given scenes: how large blocks are, which role each has, and the areas of a scene."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import sqrt
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from geoseg.errors import ConfigError, InputError
from geoseg.models.architectures import check_architecture
from geoseg.models.spec import reading_gsd_m
from geoseg.training.blocks import BlockedScene, Cells, Role, Roles, block_ground, stratified
from geoseg.training.data_spec import BlockSplit, LabelledScene
from geoseg.training.labels import open_labels
from geoseg.training.scenes import open_labelled
from geoseg.training.split import Area
from geoseg.training.targets import IGNORE
from geoseg.values.grid import Grid

if TYPE_CHECKING:
    import shapely

    from geoseg.training.spec import TrainSpec

COARSE_PX = 768  # longest side of the labels that a plan looks at
MOST_SIZED = 20  # scenes whose connected areas are measured
LEAST_BLOCKS = 24  # that automatic sides leave
WINDOWS_WIDE = 8  # how many windows wide blocks are at most, where nothing larger is shown


@dataclass(frozen=True, slots=True)
class Block:
    """A block or a group: its role, in which scenes it lies, and of each class how many coarse pixels it has."""

    key: str
    role: Role
    scenes: tuple[str, ...]
    labels: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class SplitPlan:
    """Which ground is for what."""

    roles: Roles
    side_m: float
    buffer_m: float
    blocks: tuple[Block, ...]

    def areas(self, item: LabelledScene, grid: Grid, *, sensor: str | None) -> Iterator[Area]:
        """Yield the areas of a scene: what it trains on, and each block that validates or tests."""
        group = group_of(item, self.roles.split, grid, sensor=sensor)
        if group is not None:
            yield Area(self.roles.of(group), grid.box)
            return
        blocked = BlockedScene.of(grid, side_m=self.side_m, buffer_m=self.buffer_m)
        parts: list[tuple[Role, Cells]] = [("train", blocked.training(self.roles, buffer_m=self.buffer_m))]
        parts += [(role, cells) for key, cells in blocked.blocks() if (role := self.roles.of(key)) != "train"]
        for role, cells in parts:
            if (box := cells.box) is not None and (clipped := box.clip(grid.box)) is not None:
                yield Area(role, clipped, cells)

    def ground(self) -> list["shapely.Polygon | None"]:
        """Return the ground of each block in degrees; None for groups."""
        return [block_ground(block.key, self.side_m) for block in self.blocks]

    def lines(self) -> list[str]:
        """Return what is printed of it."""
        split = self.roles.split
        counts = {role: [b for b in self.blocks if b.role == role] for role in ("train", "validation", "test")}
        parts = ", ".join(f"{len(blocks)} {role}" for role, blocks in counts.items())
        fold = "" if split.folds is None else f", fold {split.fold} of {split.folds}"
        if split.by != "blocks":
            return [f"split by {split.by}: {parts}{fold}"]
        return [f"blocks of {self.side_m:g} m: {parts}{fold}; training keeps {self.buffer_m:g} m away from the others"]


def group_of(item: LabelledScene, split: BlockSplit, grid: Grid, *, sensor: str | None) -> str | None:
    """Return what a whole scene goes by, None where its ground is split; raises ConfigError where it is unsaid."""
    if split.by == "blocks":
        return None if grid.has_place else Path(item.name).name
    said = {
        "scene": Path(item.name).name,
        "site": item.site or Path(item.name).name,
        "date": item.date,
        "sensor": item.sensor or sensor,
    }
    if (group := said[split.by]) is None:
        raise ConfigError(f"split.by: {split.by}, and {item.name} says none")
    return group


def plan_split(spec: "TrainSpec") -> SplitPlan | None:
    """Return the plan of a split by blocks or groups; None for strips and whole scenes.

    Raises InputError where there is too little ground for the roles.
    """
    split = spec.split
    if not isinstance(split, BlockSplit):
        return None
    items = [item for item in spec.data if item.use == "split" and item.split is None]
    if not items:
        return None
    grids = [open_labelled(item).grid for item in items]
    gsd_m = reading_gsd_m(spec.gsd_m, spec.gsd_range_m, grids[0]) or grids[0].mean_resolution_m()
    network = check_architecture(spec.arch)
    margin_px = network.windows[1] if spec.margin_px is None else spec.margin_px
    buffer_m = split.buffer_m
    if buffer_m is None:
        buffer_m = float(np.ceil((spec.schedule.crop_px / 2 + margin_px) * gsd_m))
    given, kept_side_m = _kept(split.keep)
    side_m = split.side_m or kept_side_m or _side_m(spec, items, grids, window_m=spec.schedule.crop_px * gsd_m)
    found: dict[str, dict[int, int]] = defaultdict(lambda: defaultdict(int))
    scenes: dict[str, list[str]] = defaultdict(list)
    for item, grid in zip(items, grids, strict=True):
        labels = coarse_classes(spec, item, grid)
        for key, own in _by_key(item, split, grid, labels, side_m=side_m, sensor=spec.sensor):
            scenes[key].append(Path(item.name).name)
            for one, n in zip(*np.unique(own, return_counts=True), strict=True):
                found[key][int(one)] += int(n) * (one != IGNORE)
    labelled = {key: frozenset(c for c, n in of.items() if n) for key, of in found.items()}
    roles = stratified(Roles(split, given), {k: v for k, v in labelled.items() if v})
    names = [c.name for c in spec.target.class_table]
    blocks = tuple(
        Block(key, roles.of(key), tuple(scenes[key]), {n: found[key].get(i, 0) for i, n in enumerate(names)})
        for key in sorted(found)
    )
    lacking = [r for r in ("train", "validation") if not any(b.role == r and labelled[b.key] for b in blocks)]
    if lacking:
        raise InputError(
            f"split: {len(blocks)} {split.by if split.by == 'blocks' else 'groups'} leave no labels for "
            f"{' and '.join(lacking)}; make side_m smaller, or split by strips"
        )
    return SplitPlan(roles, side_m, buffer_m, blocks)


def coarse_classes(spec: "TrainSpec", item: LabelledScene, grid: Grid) -> NDArray[np.uint8]:
    """Return the classes of a scene's labels on few pixels, (H, W): their places in the class table, or IGNORE."""
    scale = min(1.0, COARSE_PX / max(grid.shape))
    coarse = grid.resized((max(1, round(grid.height * scale)), max(1, round(grid.width * scale))))
    raw = open_labels(item, spec.target, coarse)(coarse.box)
    ids = [c.id for c in spec.target.class_table]
    table = np.full(IGNORE + 1, IGNORE, np.uint8)
    table[: len(spec.target.channels)] = [ids.index(c.class_id or 0) for c in spec.target.channels]
    return table[spec.target.labels(raw, gsd_m=coarse.mean_resolution_m())]


def _by_key(
    item: LabelledScene, split: BlockSplit, grid: Grid, labels: NDArray[np.uint8], *, side_m: float, sensor: str | None
) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    """Yield each block or group of a scene with the labels of its coarse pixels."""
    group = group_of(item, split, grid, sensor=sensor)
    if group is not None:
        yield group, labels
        return
    blocked = BlockedScene.of(grid.resized(labels.shape), side_m=side_m, buffer_m=0)
    rows, cols = (np.arange(n) // blocked.cell_px for n in labels.shape)
    number = blocked.inside[np.ix_(rows, cols)].ravel()
    order = np.argsort(number, kind="stable")
    found, first = np.unique(number[order], return_index=True)
    for i, own in zip(found, np.split(labels.ravel()[order], first[1:]), strict=True):
        yield blocked.keys[i], own


def _side_m(spec: "TrainSpec", items: list[LabelledScene], grids: list[Grid], *, window_m: float) -> float:
    """Return how wide blocks are: as many windows, or twice a class's connected areas, as leave enough of them."""
    from scipy.ndimage import label

    sizes: dict[int, list[tuple[float, float]]] = defaultdict(list)
    for item, grid in list(zip(items, grids, strict=True))[:MOST_SIZED]:
        classes = coarse_classes(spec, item, grid)
        pixel_m2 = grid.ground_area_m2() / classes.size
        for one in np.unique(classes[classes != IGNORE]):
            areas = np.bincount(label(classes == one)[0].ravel())[1:] * pixel_m2
            sizes[int(one)] += [(a, sqrt(a)) for a in areas.tolist()]
    across = [_weighted_median(of_class) for of_class in sizes.values()]
    wanted = max(WINDOWS_WIDE * window_m, 2 * float(np.median(across)) if across else 0.0)
    ground = sum(grid.ground_area_m2() for grid in grids)
    side_m = max(min(wanted, sqrt(ground / LEAST_BLOCKS)), 2 * window_m)
    return float(f"{side_m:.2g}")


def _weighted_median(weighed: list[tuple[float, float]]) -> float:
    """Return the value with half of the weight below it; (weight, value)."""
    weight, value = np.array(sorted(weighed, key=lambda pair: pair[1])).T
    return float(value[np.searchsorted(np.cumsum(weight), weight.sum() / 2)])


def _kept(source: str | None) -> tuple[dict[str, Role], float | None]:
    """Return the roles and the side of an earlier split; raises InputError where it cannot be read."""
    if source is None:
        return {}, None
    import pyogrio

    try:
        table = pyogrio.read_dataframe(source, read_geometry=False)
        return dict(zip(table["key"], table["role"], strict=True)), float(table["side_m"].iloc[0])
    except (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError, KeyError, IndexError) as error:
        raise InputError(f"{source}: no split.gpkg of an earlier training ({str(error).splitlines()[0]})") from error
