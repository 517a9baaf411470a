"""Predict a scene from Python: a class map and building polygons in a folder, and what came of it.

python examples/predict_scene.py scene.tif buildings out
"""

import sys

import geoseg


def main(scene: str, model: str, out: str) -> None:
    """Map ``scene`` by ``model`` (a name or a folder) into the folder ``out``, and print areas and houses."""
    result = geoseg.predict(
        scene,
        model,
        out,
        options=geoseg.RunOptions(layers=("classes", "confidence"), overwrite=True),
        polygons=geoseg.PolygonOptions(min_area_m2=10),
    )
    print(result)
    buildings = result.polygons()  # a GeoDataFrame
    print(f"{len(buildings)} buildings of {buildings['area_m2'].sum():.0f} m² in all")
    confidence = result.to_xarray("confidence")  # lazy: bytes 1..255 for 0..1, 0 is nodata
    sure = (confidence >= 1 + 254 * 0.9).sum() / (confidence > 0).sum()
    print(f"{float(sure):.1%} of the pixels are surer than 0.9")


if __name__ == "__main__":  # worker processes import this file
    main(*sys.argv[1:])
