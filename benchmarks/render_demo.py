"""Render the demo's outputs over its scene to one PNG, to look at and for the README.

usage: python benchmarks/render_demo.py [DEMO_FOLDER] [OUT_PNG]    (after `make demo`)
"""

import sys
from importlib import resources
from pathlib import Path

import geopandas as gpd
import numpy as np
import rasterio
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

SCENE = Path(str(resources.files("geoseg"))) / "demo" / "scene.tif"
ROWS = slice(300, 1068)  # a square of the scene


def main(folder: Path, png: Path) -> None:
    with rasterio.open(SCENE) as src:
        image, transform = src.read().transpose(1, 2, 0)[ROWS], src.transform
    with rasterio.open(folder / "classes.tif") as src:
        classes, colors = src.read(1)[ROWS], src.colormap(1)
    with rasterio.open(folder / "confidence.tif") as src:
        confidence = src.read(1)[ROWS].astype(float)
    buildings = gpd.read_file(folder / "buildings.gpkg", layer="buildings")
    truth = gpd.read_file(SCENE.with_name("buildings_truth.gpkg"), layer="buildings").to_crs(buildings.crs)
    left, top = transform @ (0, ROWS.start)
    right, bottom = transform @ (image.shape[1], ROWS.stop)
    place = {"extent": (left, right, bottom, top), "interpolation": "nearest"}
    figure = Figure(figsize=(18, 6.3), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, 3)
    axes[0].imshow(image, **place)
    truth.boundary.plot(ax=axes[0], color="#37d0ff", linewidth=0.9)
    buildings.boundary.plot(ax=axes[0], color="#ffe14d", linewidth=1.2)
    axes[0].set_title("Polygons (yellow) and truth (blue)")
    palette = np.array([colors[v][:3] for v in range(int(classes.max()) + 1)], np.uint8)
    axes[1].imshow(palette[classes], **place)
    axes[1].set_title("classes.tif")
    p_building = np.where(classes == 2, confidence - 1, 255 - confidence) / 254
    axes[2].imshow(p_building, vmin=0, vmax=1, cmap="magma", **place)
    axes[2].set_title("p(building), from classes.tif and confidence.tif")
    for axis in axes:
        axis.set(xlim=(left, right), ylim=(bottom, top))
        axis.set_axis_off()
    png.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(png, dpi=70)


if __name__ == "__main__":
    main(
        Path(sys.argv[1] if len(sys.argv) > 1 else "demo"),
        Path(sys.argv[2] if len(sys.argv) > 2 else "docs/images/demo.png"),
    )
