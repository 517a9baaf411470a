"""Batch: every scene of a list goes through land cover or buildings by one engine; what is complete is skipped."""

from functools import partial
from pathlib import Path
from typing import NoReturn

from geoseg.config.batches import BatchConfig, MonitorKeys
from geoseg.config.load import scene_of_run
from geoseg.config.runs import Buildings
from geoseg.errors import ConfigError, InputError
from geoseg.jobs.batch import OWN_FILES, Batch, BatchScene, run_batch
from geoseg.jobs.batch_log import Report
from geoseg.jobs.monitor import Alert, Watch
from geoseg.jobs.request import load_models
from geoseg.jobs.run import Listener, Stop
from geoseg.models.bundle import ModelBundle
from geoseg.scenes.lists import ListedScene, list_scenes


def run(config: BatchConfig, *, listen: Listener, stop: Stop) -> Report:
    """List the scenes, load the model, and run what is not complete, each scene into a folder of its name."""
    return run_batch(prepare(config), listen=listen, stop=stop)


def prepare(config: BatchConfig) -> Batch:
    """Return the batch that a config means; every fault that is not one scene's own is found here."""
    if config.each.options.mask_clouds is not None:
        raise ConfigError("each.options.mask_clouds: masks are made scene by scene; run them alone, with --mask-clouds")
    bundles = load_models(config.each.model)
    return Batch(
        folder=Path(config.out),
        scenes=tuple(_scene(config, scene) for scene in list_scenes(config.scenes, config.lists, reserved=OWN_FILES)),
        bundles=bundles,
        options=config.each.options,
        polygons=config.each.polygons if isinstance(config.each, Buildings) else None,
        max_failures=config.max_failures,
        watch=None if config.monitor is None else _watch(config.monitor, bundles[0]),
    )


def _watch(keys: MonitorKeys, bundle: ModelBundle) -> Watch:
    """Return what scenes are held against; raises ConfigError for what no run of the model could say."""
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
