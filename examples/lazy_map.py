"""Look at a map in xarray before it is there: only the chunks that somebody looks at are computed.

python examples/lazy_map.py scene.tif buildings middle.tif
"""

import sys

import numpy as np

import geoseg


def main(scene: str, model: str, out: str) -> None:
    """Write the classes of the middle of ``scene`` by ``model`` to ``out``, and print what they are sure of."""
    opened = geoseg.open_scene(scene)
    classes = geoseg.lazy_map(opened, model)  # nothing is computed yet
    confidence = geoseg.lazy_map(opened, model, layer="confidence")
    height, width = classes.shape
    middle = {"y": slice(height // 4, 3 * height // 4), "x": slice(width // 4, 3 * width // 4)}
    classes, sure = classes.isel(middle), confidence.isel(middle)
    classes.rio.to_raster(out)  # computes; the grid goes along
    known = sure.where(sure > 0)  # bytes: 0 is nodata
    p = known * sure.attrs["scale_factor"] + sure.attrs["add_offset"]
    for value in np.unique(classes):
        print(f"class {value}: sure at {float(p.where(classes == value).mean()):.3f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
