"""Draw what classical methods make of a part of the demo scene, for docs/classical.md.

usage: python benchmarks/render_classical.py [OUT_PNG]
"""

import io
import sys
import tempfile
from pathlib import Path

import geopandas as gpd
import numpy as np
import rasterio
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image
from render_demo import SCENE

from geoseg import predict
from geoseg.jobs.fit import fit
from geoseg.jobs.segment import segment
from geoseg.options.fit import FitOptions
from geoseg.options.run import PartsOptions
from geoseg.options.segment import SegmentOptions
from geoseg.scenes.open import open_scene

PART = (slice(300, 620), slice(220, 540))  # rows and columns of the demo
COLOURS = 160  # of the picture


def main(png: Path) -> None:
    """Draw all panels."""
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "part.tif"
        image, place = cut(path)
        scene = open_scene(path)
        figure = Figure(figsize=(11, 3.1), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots(1, 4)
        fits = {
            "otsu of red": FitOptions(method="otsu", of=scene.bands.names[0]),
            "kmeans, 5 classes": FitOptions(method="kmeans", classes=5),
        }
        for axis, (title, options) in zip(axes, fits.items(), strict=False):
            model, out = Path(scratch) / options.method, Path(scratch) / f"{options.method}_out"
            fit(scene, model, options)
            predict(scene, model, out)
            with rasterio.open(out / "classes.tif") as src:
                classes, colours = src.read(1), src.colormap(1)
            palette = np.array([colours[v][:3] for v in range(int(classes.max()) + 1)], np.uint8)
            axis.imshow(palette[classes], extent=place, interpolation="nearest")
            axis.set_title(title, fontsize=10, y=1)
        for axis, method in zip(axes[2:], ("slic", "waterpixels"), strict=True):
            polygons = Path(scratch) / f"{method}.gpkg"
            segment(scene, polygons, options=SegmentOptions(method=method, spacing_px=24), run=PartsOptions())
            axis.imshow(image, extent=place, interpolation="nearest")
            gpd.read_file(polygons).boundary.plot(ax=axis, color="#ffe14d", linewidth=0.7)
            axis.set_title(f"{method}, spacing 24 px", fontsize=10, y=1)
        for axis in axes:
            axis.set(xlim=place[:2], ylim=place[2:])
            axis.set_axis_off()
        small_png(figure, png)


def cut(path: Path):
    """Write a part of the demo, and return it, (H, W, 3), with its ground: left, right, bottom and top."""
    rows, cols = PART
    with rasterio.open(SCENE) as src:
        data, transform = (
            src.read()[:, rows, cols],
            src.window_transform(((rows.start, rows.stop), (cols.start, cols.stop))),
        )
        height, width = data.shape[1:]
        profile = {"driver": "GTiff", "count": 3, "dtype": "uint8", "height": height, "width": width, "crs": src.crs}
    with rasterio.open(path, "w", **profile, transform=transform) as dst:
        dst.write(data)
    left, top = transform @ (0, 0)
    right, bottom = transform @ (width, height)
    return data.transpose(1, 2, 0), (left, right, bottom, top)


def small_png(figure: Figure, png: Path) -> None:
    """Write a figure with few colours, so that the repository stays small."""
    drawn = io.BytesIO()
    figure.savefig(drawn, dpi=80)
    png.parent.mkdir(parents=True, exist_ok=True)
    Image.open(drawn).convert("RGB").quantize(COLOURS, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(
        png, optimize=True
    )


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "docs/images/classical.png"))
