"""Write the embedded scene of the land-cover demo: a NAIP scene as it is, without its nodata tag.

usage: python benchmarks/cut_land_cover_demo.py naip_va_rgbn.tif [OUT_FOLDER]
The source says nodata=255, which is a white roof in these bytes: the tag is left out. No model was trained on it.
"""

import sys
from pathlib import Path

import rasterio

BANDS = ("red", "green", "blue", "nir")


def main(source: Path, out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    with rasterio.open(source) as src:
        profile = {
            "driver": "GTiff", "width": src.width, "height": src.height, "count": 4, "dtype": "uint8", "crs": src.crs,
            "transform": src.transform, "tiled": True, "blockxsize": 256, "blockysize": 256, "compress": "deflate",
            "predictor": 2, "zlevel": 9, "photometric": "RGB", "alpha": "UNSPECIFIED",
        }  # fmt: skip
        with rasterio.open(out / "land_cover.tif", "w", **profile) as dst:
            dst.write(src.read())
            for number, name in enumerate(BANDS, 1):
                dst.set_band_description(number, name)
            dst.update_tags(
                TIFFTAG_IMAGEDESCRIPTION="NAIP, Virginia, 1 m: red, green, blue, near infrared",
                TIFFTAG_COPYRIGHT="USDA Farm Service Agency, National Agriculture Imagery Program, public domain",
            )
    print(f"{out / 'land_cover.tif'}: {(out / 'land_cover.tif').stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2] if len(sys.argv) == 3 else "geoseg/demo"))
