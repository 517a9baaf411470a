"""Drawing of a job: the polygons that its options ask for, as the polygons' own package takes them."""

from geoseg.options.polygons import PolygonOptions
from geoseg.values.classes import ClassInfo
from geoseg.values.confidence import PolygonConfidence
from geoseg.values.grid import Grid
from geoseg.vector.footprints.extract import FootprintRules
from geoseg.vector.tiles.draw import Drawing, PixelReader


def drawing_of(
    pixels: PixelReader,
    grid: Grid,
    target: ClassInfo,
    *,
    options: PolygonOptions,
    threshold: float,
    confidence: PolygonConfidence | None = None,
) -> Drawing:
    """Return what to draw of a scene on ``grid``; raises ConfigError for a threshold outside (0, 1]."""
    penalty = {} if options.diagonal_penalty is None else {"diagonal_penalty": options.diagonal_penalty}
    rules = FootprintRules(
        threshold=threshold,
        min_area_m2=options.min_area_m2,
        min_hole_m2=options.min_hole_m2,
        tolerance_m=options.tolerance_m,
        method=options.method,
        detail=options.detail,
        split_necks=options.split == "necks",
        **penalty,
    )
    return Drawing(
        pixels=pixels,
        grid=grid,
        rules=rules,
        target=target,
        confidence=confidence,
        max_component_px=options.max_component_px,
    )
