"""Where prompts lie: in which window of the global grid, and why some cannot be answered."""

from dataclasses import replace
from math import ceil, floor, log10

import shapely

from geoseg.errors import InputError
from geoseg.jobs.job import Job
from geoseg.scenes.polygons import read_polygons
from geoseg.scenes.prompts import INSIDE, Prompt, Prompts
from geoseg.scenes.reading import read
from geoseg.tiling.axis import Axis
from geoseg.tiling.windows import WindowGrid
from geoseg.values.box import Box
from geoseg.values.grid import Grid


def seen_grid(job: Job) -> Grid:
    """Return where the pixels lie that the network sees."""
    return job.scene.grid.resized(job.resampling.working_shape)


def placed(job: Job, asked: Prompts) -> Prompts:
    """Return prompts with their boxes cut at the scene's edges; those without a place, or too wide, are faults."""
    good, faults = [], dict(asked.faults)
    for one in asked.good:
        try:
            good.append(_checked(job, one))
        except ValueError as error:
            faults[one.name] = str(error)
    return Prompts(asked.source, tuple(good), faults)


def _checked(job: Job, one: Prompt) -> Prompt:
    """Return a prompt that can be answered; raises ValueError with what is wrong."""
    height, width = job.resampling.working_shape
    if any(not (0 <= x <= width and 0 <= y <= height) for x, y, _ in one.points):
        raise ValueError("lies beside the scene")
    if one.box is not None:
        x0, y0, x1, y1 = one.box
        cut = max(x0, 0.0), max(y0, 0.0), min(x1, float(width)), min(y1, float(height))
        if not (cut[0] < cut[2] and cut[1] < cut[3]):
            raise ValueError("lies beside the scene")
        one = replace(one, box=cut)
    x0, y0, x1, y1 = one.extent
    windows = job.windows
    if None in (_start(windows.rows, y0, y1), _start(windows.cols, x0, x1)):
        side, held = windows.rows.window, min(axis.window - axis.stride for axis in (windows.rows, windows.cols))
        span = max(x1 - x0, y1 - y0)
        coarser = seen_grid(job).mean_resolution_m() * span / max(held, 1)
        raise ValueError(
            f"spans {x1 - x0:.0f} x {y1 - y0:.0f} px, and windows of {side} px hold {held} px anywhere; read the scene "
            f"coarser, with --gsd-m {_rounded_up(coarser):g}"
        )
    if not _on_data(job, one):
        raise ValueError("lies where the scene has no data")
    return one


def _rounded_up(value: float) -> float:
    """Return a number with two digits that is not smaller.

    >>> _rounded_up(0.8123), _rounded_up(12.0)
    (0.82, 12.0)
    """
    step = 10.0 ** (floor(log10(value)) - 1)
    return float(f"{ceil(value / step - 1e-9) * step:.2g}")


def _on_data(job: Job, one: Prompt) -> bool:
    """Whether a point inside of the object, or any of its box, lies on valid pixels."""
    scene, (rows, cols) = job.scene, job.resampling.scale
    places = [(x, y, x, y) for x, y, label in one.points if label == INSIDE] if one.box is None else [one.box]
    for x0, y0, x1, y1 in places:
        top, left = min(floor(y0 / rows), scene.grid.height - 1), min(floor(x0 / cols), scene.grid.width - 1)
        box = Box(top, left, max(ceil(y1 / rows), top + 1), max(ceil(x1 / cols), left + 1)).clip(scene.grid.box)
        if box is not None and read(scene, box).valid.any():
            return True
    return False


def _start(axis: Axis, lo: float, hi: float) -> int | None:
    """Return where the window of an axis begins that holds [lo, hi] with most room around, the first of equals.

    The scene's own edges do not count. None where none holds it.
    """
    best: tuple[float, int] | None = None
    first = max(0, ceil((hi - axis.window) / axis.stride))
    for i in range(first, min(axis.count - 1, floor(lo / axis.stride)) + 1):
        start = axis.start(i)
        before = lo - start if i > 0 else float("inf")
        after = start + axis.window - hi if i + 1 < axis.count else float("inf")
        room = min(before, after)
        if room >= 0 and (best is None or room > best[0]):
            best = room, start
    return None if best is None else best[1]


def window_of(one: Prompt, windows: WindowGrid) -> Box:
    """Return the window that a prompt is answered in."""
    x0, y0, x1, y1 = one.extent
    top, left = _start(windows.rows, y0, y1), _start(windows.cols, x0, x1)
    assert top is not None  # placed has looked
    assert left is not None
    height, width = windows.window_shape
    return Box(top, left, top + height, left + width)


def earlier_masks(source: str, grid: Grid) -> dict[str, shapely.Geometry]:
    """Return the polygons of earlier answers by their objects' names; raises InputError."""
    frame = read_polygons(source, layer=None, grid=grid)
    if "object" not in frame:
        raise InputError(f"{source}: no column object; it says whose masks these are")
    if "rank" in frame:
        frame = frame[frame["rank"] == 0]
    return dict(zip(frame["object"].map(str), frame.geometry, strict=True))
