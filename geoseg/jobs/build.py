"""From parts to outputs: rasters, tables, polygons, run.json; built out of sight, shown all at once."""

import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geoseg import __version__
from geoseg.disk.files import move, sha256_of, sync, write_json
from geoseg.jobs.folder import JobFolder
from geoseg.jobs.job import Job
from geoseg.jobs.run import Listener, Outcome, Progress, Stop
from geoseg.jobs.stages import ParallelMap
from geoseg.jobs.targets import RUN_FILE, own_files, polygon_names, refuse_foreign
from geoseg.options.polygons import PolygonOptions
from geoseg.outputs.cog.cog import assemble
from geoseg.outputs.cog.vrt import shown, write_parts_vrt
from geoseg.outputs.geopackage.side_files import refuse_if_in_use
from geoseg.outputs.pam import write_pam
from geoseg.outputs.probabilities import ProbabilityBands
from geoseg.outputs.provenance import model_tags
from geoseg.scenes.raster_grid import place_tags
from geoseg.tasks.buildings import drawn_layers
from geoseg.values.box import Box


def remove_if_spent(work: JobFolder) -> None:
    """Remove the job folder of a finished run that was killed before it could do so; raises OutputError if in use."""
    if work.is_spent and (work.path.parent / RUN_FILE).exists():
        with work.locked():
            work.remove()


def provenance(job: Job) -> dict[str, Any]:
    """Return where the outputs come from: nothing in it differs between two runs of one job."""
    models = _models(job)
    return {
        "software": "geoseg",
        "version": __version__,
        "model": models[0] if len(models) == 1 else models,
        "input": [Path(f).name for f in job.scene.files],
        "bands": list(job.scene.bands.names),
        "threshold": job.threshold,
    }


def _models(job: Job) -> list[dict[str, str]]:
    return [
        {"name": b.spec.name, "sha256": b.digest, "licence": b.spec.licence, "attribution": b.spec.attribution}
        for b in job.bundles
    ]


def build_outputs(
    job: Job,
    folder: JobFolder,
    outcome: Outcome,
    *,
    polygons: PolygonOptions | None,
    listen: Listener,
    stop: Stop,
    each: ParallelMap = map,
) -> tuple[Path, dict[str, Any]]:
    """Build all outputs in the job folder; returns their folder and what run.json holds of them.

    each: how polygons are drawn at several places. Chunks that failed are
    nodata, and the rasters' tags name them. Raises TryAgainError where ``stop`` says so in a stage of objects.
    """
    built = folder.path / "outputs"
    shutil.rmtree(built, ignore_errors=True)
    built.mkdir()
    records = {**outcome.records, **{f.id: folder.fill(job, f.id, f.box) for f in outcome.failures}}
    parts = {r.box: folder.part(job, r.id) for r in outcome.records.values()}
    parts |= {f.box: folder.filled(f.id) for f in outcome.failures}
    classes = job.spec.class_map
    layers = {layer: (i, parts) for i, layer in enumerate(job.layers)}
    rows = [(r.box, r.class_rows) for r in records.values()]
    missing = tuple(sorted(f.id for f in outcome.failures))
    if job.spec.things:
        from geoseg.jobs.object_parts import ObjectParts  # numba: a map needs none
        from geoseg.jobs.objects import counted_rows, find_objects

        of = ObjectParts(job=job, chunks=parts, folder=folder.parts(job), missing=missing)
        found, numbered = find_objects(of, each=each, listen=listen, stop=stop)
        if job.spec.objects is not None:  # the class map is made of them
            layers = {**layers, job.task.later(job.spec)[0]: (0, numbered)}
            rows = [(box, counted_rows(of, path)) for box, path in numbered.items()]
    files = list(dict.fromkeys(layer.file for layer in layers if layer.file is not None))
    steps = len(files) + (polygons is not None)
    tags = model_tags(_models(job), digest=job.model_digest) | place_tags(job.scene.grid)
    if missing:
        tags["GEOSEG_MISSING_CHUNKS"] = " ".join(missing)
    counts, areas_m2 = class_totals(job, rows)
    for done, name in enumerate(files):
        listen(Progress("finish", done, steps, name))
        bands = {i: layer for layer, (i, _) in layers.items() if layer.file == name}
        of_layers = next(source for layer, (_, source) in layers.items() if layer.file == name)
        assemble(of_layers, job.scene.grid, bands, built / name, tags=tags)
        if any(layer.classes is not None for layer in bands.values()):
            write_pam(built / name, classes, counts=counts, area_ha={k: v / 1e4 for k, v in areas_m2.items()})
    facts: dict[str, Any] = {
        "classes": [
            {**row, "pixels": counts[c.id], "area_ha": round(areas_m2[c.id] / 1e4, 6)}
            for row, c in zip(classes.as_json(), classes, strict=True)
        ],
        "windows": {
            "run": sum(r.windows for r in records.values()),
            "skipped": sum(r.skipped for r in records.values()),
        },
        "valid_px": sum(int(r.class_rows.sum()) for r in records.values()),
        "missing_chunks": list(missing),
    }
    if job.spec.things:
        from geoseg.jobs.instances import write_objects  # shapely, see above

        facts["instances"] = write_objects(
            of, found, numbered, built, counts=counts, tags=tags, provenance=provenance(job), listen=listen, stop=stop,
            each=each,
        )  # fmt: skip
    if polygons is not None:
        name = polygon_names(polygons.vector_format)[0]
        listen(Progress("finish", steps - 1, steps, name))
        facts["polygons"] = _polygons(job, folder, parts, built / name, polygons, each=each)
    listen(Progress("finish", steps, steps))
    return built, facts


def class_totals(job: Job, counted: Iterable[tuple[Box, NDArray[np.int32]]]) -> tuple[dict[int, int], dict[int, float]]:
    """Return pixels and true ground area in m² of every class id; counted: pixels of each class in the rows of boxes.

    Pixels are counted per row of the scene in integers before areas are summed, so chunks change no bit of them.
    """
    rows = np.zeros((max(1, len(job.spec.classes)), job.scene.grid.height), np.int64)
    for box, of_box in counted:
        rows[:, box.row0 : box.row1] += of_box
    areas_m2 = rows @ job.scene.grid.row_areas_m2()
    ids = [c.id for c in job.spec.classes]
    return dict(zip(ids, rows.sum(1).tolist(), strict=False)), dict(zip(ids, areas_m2.tolist(), strict=False))


def _polygons(
    job: Job, folder: JobFolder, parts: Mapping[Box, Path], path: Path, options: PolygonOptions, *, each: ParallelMap
) -> dict[str, Any]:
    """Write the polygons of the model's polygon class; returns what run.json holds of them."""
    from geoseg.jobs.drawing import drawing_of  # OGR, pandas, shapely: a map needs none of them
    from geoseg.vector.tiles.draw import draw_polygons

    spec = job.spec
    assert spec.polygon_class is not None  # make_plan has refused other models
    target = spec.class_map.by_name(spec.polygon_class)
    preview = folder.path / "parts.vrt"
    layers = shown(job.layers)
    write_parts_vrt(preview, parts, job.scene.grid, layers)
    surface, interior = drawn_layers(job)
    bands = {layer.name: band for band, layer in enumerate(layers, start=1)}
    pixels = ProbabilityBands(
        str(preview.resolve()),
        band=bands[surface],
        interior=None if interior is None else bands[interior],
    )
    confidence = spec.polygon_confidence if len(job.bundles) == 1 else None  # fitted to one network's answers
    drawing = drawing_of(
        pixels, job.scene.grid, target, options=options, threshold=job.threshold, confidence=confidence
    )
    return draw_polygons(path, drawing, classes=spec.class_map, provenance=provenance(job), each=each)


def publish(work: JobFolder, built: Path, run: dict[str, Any], *, spent: bool = False) -> dict[str, Path]:
    """Move finished outputs into place, sidecars before rasters, run.json last; returns all paths by file name.

    Several files cannot be replaced in one step: from the first to the last there is no run.json, so that the folder
    holds no finished run, and whoever dies in between leaves a job whose parts are all there, with a note of what is
    its own. What an earlier run has written and this one has not is removed, nothing else is. spent: the job folder is
    marked as such just before run.json comes. Raises OutputError where a file that is no run's own is in the way.
    """
    out = work.path.parent
    refuse_if_in_use(out / polygon_names(None)[0])
    files = sorted(built.iterdir(), key=lambda p: (not p.name.endswith(".aux.xml"), p.name))
    refuse_foreign(out, [p.name for p in files])
    own = own_files(out)
    run["outputs"] = facts_of(files)
    write_json(built / RUN_FILE, run)
    work.showing(own | run["outputs"].keys())
    if (out / RUN_FILE).exists():
        (out / RUN_FILE).unlink()
        sync(out)
    for stale in sorted(own - run["outputs"].keys()):
        (out / stale).unlink(missing_ok=True)
    for path in files:
        move(path, out / path.name)
    sync(out)
    if spent:
        work.spent.touch()
    move(built / RUN_FILE, out / RUN_FILE)
    sync(out)
    work.showing(())
    return {name: out / name for name in (*run["outputs"], RUN_FILE)}


def facts_of(files: Iterable[Path]) -> dict[str, dict[str, Any]]:
    """Return what run.json says of outputs, by their names."""
    return {p.name: {"sha256": sha256_of(p), "bytes": p.stat().st_size} for p in files}
