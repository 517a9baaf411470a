"""Cut the embedded demo scene and its truth from the test quarter of the training scene, which no model was trained on.

usage: python benchmarks/cut_demo.py BANEPA_FOLDER [OUT_FOLDER]    (BANEPA_FOLDER from benchmarks/rebuild_banepa.py)
"""

import sys
from pathlib import Path

import geopandas as gpd
import rasterio
from rasterio.windows import Window, bounds
from shapely import box

WINDOW = Window(2304, 768, 768, 1536)  # columns 2304.. are test ground (configs/train_buildings_banepa.yaml)


def main(source: Path, out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    with rasterio.open(source / "banepa.tif") as src:
        ground = bounds(WINDOW, src.transform)
        profile = {
            "driver": "GTiff", "width": WINDOW.width, "height": WINDOW.height, "count": 3, "dtype": "uint8",
            "crs": src.crs, "transform": src.window_transform(WINDOW), "tiled": True, "blockxsize": 256,
            "blockysize": 256, "compress": "deflate", "predictor": 2, "zlevel": 9, "photometric": "RGB",
        }  # fmt: skip
        with rasterio.open(out / "scene.tif", "w", **profile) as dst:
            dst.write(src.read(window=WINDOW))
            dst.update_tags(
                TIFFTAG_IMAGEDESCRIPTION="Banepa, Nepal; test quarter of the scene of the buildings model",
                TIFFTAG_COPYRIGHT="OpenAerialMap contributors / HOTOSM, CC-BY-4.0",
            )
    truth = gpd.read_file(source / "banepa_buildings.gpkg").clip(box(*ground), keep_geom_type=True)
    truth = truth[["osm_id", "geometry"]].explode(ignore_index=True)
    truth.to_file(out / "buildings_truth.gpkg", layer="buildings")
    size = (out / "scene.tif").stat().st_size
    print(f"{out}: {WINDOW.height} x {WINDOW.width} px, {size / 1e6:.2f} MB, {len(truth)} footprints")


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2] if len(sys.argv) == 3 else "geoseg/demo"))
