"""Segment: a scene is cut into superpixels."""

from pathlib import Path

from geoseg.config.segments import SegmentConfig
from geoseg.jobs.run import Listener, Stop
from geoseg.jobs.segment import segment


def run(config: SegmentConfig, *, listen: Listener, stop: Stop, finishing: bool = False) -> int:
    """Open the scene, write its superpixels to the config's files, and return their number; of a shard, its tiles."""
    raster = None if config.raster is None else Path(config.raster)
    return segment(
        config.open(),
        Path(config.out),
        raster,
        options=config.options,
        run=config.run,
        config=config.recorded(),
        finishing=finishing,
        listen=listen,
        stop=stop,
    )
