"""Batch: the same is done to every scene of a list, by one engine; what is complete is skipped."""

from functools import partial
from pathlib import Path
from typing import NoReturn

from geoseg.config.batches import BatchConfig, MonitorKeys
from geoseg.config.load import scene_of_run
from geoseg.config.prompts import Prompts
from geoseg.config.runs import Buildings
from geoseg.config.segments import Segments
from geoseg.errors import ConfigError, InputError
from geoseg.jobs.batch import OWN_FILES, Batch, run_batch
from geoseg.jobs.batch_log import Report
from geoseg.jobs.batch_maps import MapWork
from geoseg.jobs.batch_work import BatchScene, Work
from geoseg.jobs.monitor import Alert, Watch
from geoseg.jobs.request import load_models
from geoseg.jobs.run import Listener, Stop
from geoseg.models.bundle import ModelBundle, load_model
from geoseg.scenes.lists import ListedScene, list_scenes


def run(config: BatchConfig, *, listen: Listener, stop: Stop) -> Report:
    """List the scenes, load the model, and run what is not complete, each scene into a folder of its name."""
    return run_batch(prepare(config), listen=listen, stop=stop)


def prepare(config: BatchConfig) -> Batch:
    """Return the batch that a config means; every fault that is not one scene's own is found here."""
    work = _work(config)
    return Batch(
        folder=Path(config.out),
        scenes=tuple(_scene(config, scene) for scene in list_scenes(config.scenes, config.lists, reserved=OWN_FILES)),
        work=work,
        max_failures=config.max_failures,
        watch=None if config.monitor is None else _watch(config.monitor, work),
    )


def _work(config: BatchConfig) -> Work:
    each = config.each
    if isinstance(each, Prompts | Segments):
        from geoseg.jobs.batch_verbs import (
            PromptWork,
            SegmentWork,
        )  # with all that draws polygons: maps need none of it

        if isinstance(each, Segments):
            return SegmentWork(each.options, each.run)
        return PromptWork(load_model(each.model), each.options, each.run)
    if each.options.mask_clouds is not None:
        raise ConfigError("each.options.mask_clouds: masks are made scene by scene; run them alone, with --mask-clouds")
    return MapWork(load_models(each.model), each.options, each.polygons if isinstance(each, Buildings) else None)


def _watch(keys: MonitorKeys, work: Work) -> Watch:
    """Return what scenes are held against; raises ConfigError for what no run of the model could say."""
    if not isinstance(work, MapWork):
        raise ConfigError("monitor: watches maps; leave it out where each scene gets prompts or superpixels")
    bundle: ModelBundle = work.bundles[0]
    if bundle.spec.values is None and not keys.against:
        raise ConfigError(f"monitor: {bundle.spec.name!r} does not say what it was trained on; name runs under against")
    alerts, shares = (
        [Alert.parse(text) for text in keys.alert],
        dict.fromkeys((c.name for c in bundle.spec.classes), 0.0),
    )
    for alert in alerts:
        alert.of(shares, bundle.spec.name)
    return Watch.of(scene_of_run, psi=keys.psi, alerts=alerts, against=[Path(name) for name in keys.against])


def _scene(config: BatchConfig, scene: ListedScene) -> BatchScene:
    out = Path(config.out) / scene.name
    if scene.fault:
        return BatchScene(scene.name, out, partial(_refuse, scene.fault))
    own = config.over(scene)
    return BatchScene(scene.name, out, own.open, own.recorded())


def _refuse(fault: str) -> NoReturn:
    raise InputError(fault)
