"""Segment: a scene is cut into superpixels."""

from pathlib import Path

from geoseg.config.segments import SegmentConfig
from geoseg.jobs.segment import segment


def run(config: SegmentConfig, *, overwrite: bool = False) -> int:
    """Open the scene, write its superpixels to the config's files, and return their number."""
    raster = None if config.raster is None else Path(config.raster)
    path = Path(config.out)
    return segment(config.open(), path, raster, options=config.options, run=config.run, overwrite=overwrite)
