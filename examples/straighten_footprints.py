"""Give footprints of your own straight walls and right corners, and see how far each wall went.

python examples/straighten_footprints.py footprints.gpkg straight.gpkg
"""

import sys

import geopandas as gpd

import geoseg


def main(footprints: str, out: str) -> None:
    """Write ``footprints`` with straight walls to the GeoPackage ``out``, and print what became of them."""
    options = geoseg.RegularizeOptions(min_area_m2=4, min_hole_m2=1)
    print(geoseg.regularize(footprints, out, options=options, overwrite=True))
    before, after = gpd.read_file(footprints), gpd.read_file(out)
    print(after["status"].value_counts().to_string())
    corners = [frame.geometry.count_coordinates().sum() for frame in (before, after)]
    print(f"{corners[0]} vertices became {corners[1]}")


if __name__ == "__main__":
    main(*sys.argv[1:])
