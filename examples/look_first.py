"""A cheap model looks first, a costly one draws buildings only around what it saw: windows saved, buildings lost.

python examples/look_first.py scene.tif cheap_model costly_model out
"""

import sys

import geopandas as gpd

import geoseg

AROUND_M = 20


def main(scene: str, cheap: str, costly: str, out: str) -> None:
    """Map ``scene`` by both models in the folder ``out``; the costly one runs everywhere too, to see what is lost."""
    seen = mapped(scene, cheap, f"{out}/cheap", tta="none").polygons()
    area = seen.to_crs(seen.estimate_utm_crs()).buffer(AROUND_M)
    gpd.GeoDataFrame(geometry=[area.union_all()], crs=area.crs).to_file(f"{out}/area.gpkg")
    near, everywhere = mapped(scene, costly, f"{out}/near", aoi=f"{out}/area.gpkg"), mapped(scene, costly, f"{out}/all")
    run, of = (result.run["windows"]["run"] for result in (near, everywhere))
    print(f"{1 - run / of:.0%} of {of} windows saved")
    found = everywhere.polygons().representative_point().within(near.polygons().union_all())
    print(f"{(~found).sum()} of {len(found)} buildings lost")


def mapped(scene: str, model: str, out: str, **options: str) -> geoseg.Result:
    """Return a run with its polygons."""
    return geoseg.predict(scene, model, out, options=geoseg.RunOptions(**options), polygons=geoseg.PolygonOptions())


if __name__ == "__main__":  # worker processes import this file
    main(*sys.argv[1:])
