"""Draw where prompts and clicks are asked, over the demo scene, for docs/prompts.md; no network is run.

usage: python benchmarks/render_prompts.py [OUT_PNG]
"""

import sys
from pathlib import Path

import geopandas as gpd
import numpy as np
import shapely
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from render_classical import small_png
from render_demo import ROWS, SCENE

from geoseg.jobs.everything import Lattice
from geoseg.jobs.prompt_places import window_of
from geoseg.options.prompt import PromptOptions
from geoseg.scenes.open import open_scene
from geoseg.scenes.prompts import prompts_of
from geoseg.scenes.reading import read
from geoseg.tiling.windows import WindowGrid
from geoseg.values.box import Box

SIDE = 384  # of windows; those of published models are 1024 px
COLOURS = ("#ffe14d", "#37d0ff", "#ff7ad9")
CLICKED, BOXED, OUTLINED = 100, 210, 330  # rows of the part, near which a building of the truth is prompted


def main(png: Path) -> None:
    """Draw both panels."""
    scene = open_scene(SCENE)
    part = Box(ROWS.start, 0, ROWS.stop, scene.grid.width)
    grid = scene.grid.crop(part)
    windows = WindowGrid.fit(grid.shape, window=SIDE, margin=SIDE // 4, ramp=0, multiple=16, least=SIDE)
    prompts = prompts_of(asked(grid), grid, source="truth").good
    image = read(scene, part).data.transpose(1, 2, 0)
    figure = Figure(figsize=(10, 5.2), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    for axis in (left, right):
        axis.imshow(image, extent=(0, grid.width, grid.height, 0))
        axis.set(xlim=(0, grid.width), ylim=(grid.height, 0))
        axis.set_axis_off()
    for one, colour in zip(prompts, COLOURS, strict=True):
        left.add_patch(rectangle(window_of(one, windows), edgecolor=colour, linewidth=1.6, linestyle="--"))
        if one.box is not None:
            x0, y0, x1, y1 = one.box
            left.add_patch(Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, edgecolor=colour, linewidth=2.2))
        for x, y, label in one.points:
            left.plot(x, y, "o" if label else "x", color=colour, markersize=7, markeredgewidth=2)
    left.set_title("Prompts, and the window that answers each (dashed)", fontsize=10)
    lattice = Lattice(asking=None, options=PromptOptions(everything=True), area=None)
    every = windows.windows(grid.box)
    for window in every:
        cell = windows.cell(window)
        x, y = zip(*lattice.clicks(cell, np.ones(cell.shape, np.bool_)), strict=True)
        middle = window == every[len(every) // 2]
        right.plot(x, y, ".", color=COLOURS[0] if middle else "white", markersize=3)
        right.add_patch(rectangle(cell, edgecolor="white", linewidth=1))
        if middle:
            right.add_patch(rectangle(window, edgecolor=COLOURS[0], linewidth=1.6, linestyle="--"))
    right.set_title("--everything: clicks, cells, and the window of the middle cell (dashed)", fontsize=10)
    small_png(figure, png)


def asked(grid):
    """Return three buildings of the truth as a click inside and one beside, a box, and an outline."""
    truth = gpd.read_file(SCENE.with_name("buildings_truth.gpkg"), layer="buildings").to_crs(grid.crs.to_wkt())
    inside = truth[truth.within(frame_of(grid)) & (truth.area > 60)]
    rows = []
    for name, row in (("a", CLICKED), ("b", BOXED), ("c", OUTLINED)):
        x, y = grid.transform @ (2 * row, 2 * row)
        shape = inside.geometry.loc[inside.distance(shapely.Point(x, y)).idxmin()]
        point = shape.representative_point()
        if name == "a":
            beside = shapely.Point(shape.bounds[2] + 4, point.y)
            rows += [(name, 1, point), (name, 0, beside)]
        else:
            rows.append((name, 1, shape.envelope if name == "b" else shape))
    return gpd.GeoDataFrame(rows, columns=["object", "label", "geometry"], crs=truth.crs)


def frame_of(grid):
    """Return the ground of a grid as a polygon."""
    return shapely.box(*(grid.transform @ (0, grid.height)), *(grid.transform @ (grid.width, 0)))


def rectangle(box: Box, **style):
    """Return a box without a filling, a little inside of its edges."""
    height, width = box.shape
    return Rectangle((box.col0 + 2, box.row0 + 2), width - 4, height - 4, fill=False, **style)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "docs/images/prompts.png"))
