"""What a scene's file does not say of itself, as its user says it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

from geoseg.options.option import NAMED, NUMBER, Checked, Option, above, span
from geoseg.values.resampling import Overlap, Rule


@dataclass(frozen=True, kw_only=True)
class SceneOptions(Checked):
    """What a scene's file does not say of itself. Without slots: the keys of configs inherit its defaults."""

    TOPIC = "Scene"

    def _faults(self) -> Iterator[str]:
        if self.pixel_m is not None and not self.no_crs:
            yield "pixel_m is for images without a place: give no_crs with it; others say how large their pixels are"

    bands: Annotated[
        str | None,
        Option(
            "Names of the file's bands in order, e.g. B02,B03,B04,B08; or numbers to pick, e.g. 3,2,1; gray: 1,1,1.",
            unset="as the file says",
        ),
    ] = None
    sensor: Annotated[str | None, Option("Sensor that gives the bands wavelengths, e.g. sentinel-2 or naip.")] = None
    nodata: Annotated[float | None, Option("Nodata value.", unset="the file's own", limit=NUMBER)] = None
    scale: Annotated[
        float | None,
        Option(
            "Physical value = stored value x scale + offset, e.g. 0.0001.",
            unset="the file's own",
            limit=span(1e-9, 1e9),
        ),
    ] = None
    offset: Annotated[float | None, Option("See scale, e.g. -0.1.", unset="the file's own", limit=span(-1e9, 1e9))] = (
        None
    )
    mask: Annotated[
        str | None,
        Option("Raster on the scene's grid; pixels where it is 0 or nodata are invalid.", limit=NAMED, metavar="FILE"),
    ] = None
    assume_crs: Annotated[str | None, Option("CRS of a file that has none, e.g. EPSG:32633.")] = None
    resampling: Annotated[
        Rule | None,
        Option("How files of other pixel sizes are brought to the grid of the first.", unset="they are refused"),
    ] = None
    warp_to: Annotated[
        str | None,
        Option("CRS that a scene placed by ground control points, or in another CRS, is warped to, e.g. EPSG:32633."),
    ] = None
    height: Annotated[
        float | None,
        Option("Height of the ground in metres, for a scene placed by RPCs that --warp-to warps.", limit=NUMBER),
    ] = None
    dem: Annotated[
        str | None,
        Option(
            "Raster of heights in metres, for a scene placed by RPCs; instead of --height.", limit=NAMED, metavar="FILE"
        ),
    ] = None
    mask_quality: Annotated[
        bool, Option("Mask what a product's own quality band calls cloud, shadow or defect: SCL, QA_PIXEL, UDM2.")
    ] = False
    no_crs: Annotated[
        bool, Option("Take an image without any place: maps and polygons in pixel coordinates, x right, y down.")
    ] = False
    pixel_m: Annotated[
        float | None,
        Option("Size of the pixels of such an image in metres.", unset="as the model was trained", limit=above(0)),
    ] = None
    overlap: Annotated[
        Overlap,
        Option("Which tile of a mosaic gives a pixel that several know: the first, newest, oldest or clearest one."),
    ] = "first"
    local_only: Annotated[bool, Option("Refuse URLs, VRTs and other formats that make GDAL read further files.")] = (
        False
    )
