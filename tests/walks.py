"""A scene of 3,000 x 3,000 px run in every way that must not matter, killed half-way through each of its stages too."""

import multiprocessing
import os
import signal
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import panoptic
from conftest import write_tif

from geoseg import RunOptions, finish, predict
from geoseg.jobs import object_parts
from geoseg.options.run import ClusterOptions

SIDE = 3000
MEAN, STD = 128.0, 40.0  # of the scene's bands
PRELOADED = ["walks", "torch", "torchvision", "segmentation_models_pytorch", "geoseg.jobs.predict", "geoseg.jobs.run"]
MANY = 2  # steps of a stage that can be cut short


@dataclass(frozen=True)
class Way:
    """How a run is made, which must change no byte: engine is shards for three shards and finish, killed for kills."""

    engine: str
    chunk_px: int
    tile_px: int


# Every chunk size, tile and engine at least once, and chunks and tiles in nine pairs of nine.
WAYS = (
    (Way("sync", 512, 700), Way("threads", 1024, 1024), Way("shards", 2048, 3000), Way("local", 1024, 700),
     Way("killed", 512, 1024)),
    (Way("sync", 2048, 1024), Way("threads", 512, 3000), Way("shards", 1024, 3000), Way("local", 512, 1024),
     Way("killed", 2048, 700)),
)  # fmt: skip


def look(classes, seed=0):
    """Return what a network sees, (3, H, W) around 0: a band for each class but the ground, and noise."""
    shade = np.stack([np.where(classes == c, 1.5, -0.5) for c in (2, 3, 4)])
    return shade + np.random.default_rng(seed).normal(0, 0.1, shade.shape)


def write_scene(path, side=SIDE):
    """Write a scene of boxes and discs, and return it with its classes and the numbers of its objects."""
    classes, ids = panoptic.truth_of((side, side), seed=3)
    pixels = np.rint(MEAN + STD * look(classes)).clip(1, 255).astype(np.uint8)
    return write_tif(path, pixels, tiled=True, compress="deflate"), classes, ids


def walk(way, scene, model, out, monkeypatch, stages_of=()):
    """Return the bytes of the outputs of a run made in a way, and how many steps each of its stages has."""
    monkeypatch.setattr(object_parts, "GROUP_PX", way.tile_px)
    options, total = {"chunk_px": way.chunk_px, "engine": "sync", "lanes": 1}, {}

    def listen(progress):
        total[progress.stage] = progress.total

    if way.engine == "shards":
        for i in (3, 1, 2):
            predict(scene, model, out, options=RunOptions(**options, shard=(i, 3)))
        return panoptic.contents(finish(scene, model, out, options=RunOptions(**options), listen=listen)), total
    if way.engine == "killed":
        # Before Python 3.14 the server of processes has not our sys.path, and skips in silence what it cannot import.
        monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
        before = {}
        for stage in stages_of:
            killed(scene, model, out, options, stage, way.tile_px)
            kept = parts(out)
            assert before.items() <= kept.items(), stage  # what was done is not done again
            assert [path for path in kept if stage in ("predict", path.parent.name)], stage
            before = kept
    elif way.engine == "threads":
        options |= {"engine": "threads", "lanes": 2}
    elif way.engine == "local":
        options |= {"engine": "local", "cluster": ClusterOptions(workers=2)}
    return panoptic.contents(predict(scene, model, out, options=RunOptions(**options), listen=listen)), total


def killed(scene, model, out, options, stage, tile_px):
    """Run in a process that is killed when half of a stage is done."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    process = context.Process(target=_run_until, args=(scene, model, out, options, stage, tile_px))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL, (stage, process.exitcode)
    assert not (Path(out) / "run.json").exists()


def parts(out):
    """Return the parts of a job's chunks and stages by their paths, and of which file each is, written when."""
    found = [path for path in Path(out).glob(".job/parts/**/*") if path.is_file() and not path.name.startswith(".")]
    return {path: ((stat := path.stat()).st_ino, stat.st_mtime_ns) for path in found}


def _run_until(scene, model, out, options, stage, tile_px):
    """Run, and kill this process when half of a stage is done."""
    object_parts.GROUP_PX = tile_px

    def listen(progress):
        if progress.stage == stage and progress.total >= MANY and progress.done >= -(-progress.total // 2):
            os.kill(os.getpid(), signal.SIGKILL)

    predict(scene, model, out, options=RunOptions(**options), listen=listen)
