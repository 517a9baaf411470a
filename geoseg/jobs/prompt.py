"""prompt: objects that are clicked on, boxed or outlined, as polygons; what else is asked, and when, changes no bit.

A prompt is answered in the window of the global grid that holds all of it with most room around. Embeddings of windows
are kept between runs, see ``jobs/embeddings``.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import batched
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely
from numpy.typing import NDArray
from rasterio.features import rasterize
from rasterio.transform import Affine

from geoseg import __version__
from geoseg.disk.files import write_json
from geoseg.disk.places import embeddings_folder
from geoseg.errors import InputError, ModelError
from geoseg.executors.base import Engine, Site
from geoseg.jobs.arithmetic import seen_images, stack
from geoseg.jobs.build import facts_of
from geoseg.jobs.embeddings import Arrays, Embeddings
from geoseg.jobs.job import Job
from geoseg.jobs.mask_classes import MaskClasses
from geoseg.jobs.networks import opened_once
from geoseg.jobs.plan import in_range, sized
from geoseg.jobs.prompt_memory import PromptPlan, plan_of
from geoseg.jobs.prompt_places import earlier_masks, placed, seen_grid, window_of
from geoseg.jobs.prompt_targets import OBJECTS_FILE
from geoseg.jobs.run import Listener
from geoseg.jobs.targets import RUN_FILE
from geoseg.jobs.window_answers import Question, Share
from geoseg.models.backends import library
from geoseg.models.bundle import ModelBundle, load_model
from geoseg.models.fitness import refuse_unfit
from geoseg.options.prompt import PromptOptions
from geoseg.options.run import EngineOptions
from geoseg.outputs.geopackage.prompted import PromptedObject, packed, prompted_batch, unpacked, write_prompted
from geoseg.scenes.open import open_scene
from geoseg.scenes.prompts import Prompt, Prompts, prompts_of, read_prompts
from geoseg.scenes.reading import read
from geoseg.scenes.reads import files_read
from geoseg.scenes.sample import sample
from geoseg.scenes.scene import Scene
from geoseg.tiling.resample import Resampling
from geoseg.tiling.taps import source_box
from geoseg.tiling.windows import WindowGrid
from geoseg.values.box import Box
from geoseg.values.grid import Grid
from geoseg.vector.pixels.labels import label_polygons

if TYPE_CHECKING:
    import geopandas as gpd

    from geoseg.models.promptable import Answered, Asked, Promptable

CELL = 4  # pixels of a window for one of an earlier mask, along an axis
BATCH_ROWS = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """What a window's prompts are answered by; picklable."""

    job: Job
    """The scene, the model and the windows."""
    embeddings: Embeddings
    """Where embeddings are kept."""
    alternatives: bool
    """Whether all masks of the model are wanted."""


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """What came of prompts."""

    job: Job
    """The scene, the model and the windows."""
    objects: tuple[PromptedObject, ...]
    """In the order of their names and ranks."""
    skipped: dict[str, str]
    """Why others were not answered, by the object's name."""
    windows: int
    """How many windows were asked."""


def prompt(
    scene: Scene | str | Path,
    model: ModelBundle | str | Path,
    prompts: "gpd.GeoDataFrame | str | Path | None" = None,
    *,
    points: Sequence[tuple[float, float]] = (),
    boxes: Sequence[tuple[float, float, float, float]] = (),
    options: PromptOptions | None = None,
    run: EngineOptions | None = None,
) -> "gpd.GeoDataFrame":
    """Return the objects that prompts ask for, a row each, in the scene's CRS.

    prompts: a file or a table of points and polygons in any CRS, see ``geoseg.scenes.prompts.prompts_of``; or points
    (x, y) and boxes (x0, y0, x1, y1) in the scene's CRS, each an object of its own. Embeddings are kept in the user's
    cache folder, so that a second click answers quickly. Raises InputError, ModelError and MemoryBudgetError.
    """
    import geopandas as gpd

    opened = scene if isinstance(scene, Scene) else open_scene(scene)
    if prompts is None:
        shapes = [*map(shapely.Point, points), *(shapely.box(*box) for box in boxes)]
        prompts = gpd.GeoDataFrame(geometry=shapes, crs=opened.grid.crs.to_wkt())
    asked = prompts

    def read_asked(grid: Grid) -> Prompts:
        return (
            read_prompts(str(asked), grid)
            if isinstance(asked, str | Path)
            else prompts_of(asked, grid, source="prompts")
        )

    found = answer(opened, model, read_asked, options=options or PromptOptions(), run=run or EngineOptions())
    rows = [one._asdict() for one in found.objects]
    names = [name for name in PromptedObject._fields if name != "polygon"]
    geometry = [one.polygon for one in found.objects]
    return gpd.GeoDataFrame(
        {name: [row[name] for row in rows] for name in names}, geometry=geometry, crs=opened.grid.crs.to_wkt()
    ).rename(columns={"name": "object", "class_name": "class"})


def answer(
    scene: Scene,
    model: ModelBundle | str | Path,
    read_asked: Callable[[Grid], Prompts],
    *,
    options: PromptOptions,
    run: EngineOptions,
    share: Share | None = None,
    listen: Listener = lambda _: None,
) -> Answers:
    """Answer the prompts that ``read_asked`` gives for a grid of pixels.

    share: which windows, and where answers are kept meanwhile; of a part of them, the objects are no result. Raises
    InputError with the object's name for a prompt that cannot be answered, unless told to skip it, ModelError for a
    model that takes none, MemoryBudgetError, OutputError for a full disk, and what ``Share.answers`` does.
    """
    share = share or Share()
    kinds = None if options.classes is None else MaskClasses.of(options.classes, scene.grid.crs)
    with opened(scene, model, options, run, share) as (engine, asking):
        job = asking.job
        asked = placed(job, read_asked(seen_grid(job)))
        refuse_faults(asked, options)
        earlier = {} if options.refine is None else earlier_masks(options.refine, seen_grid(job))
        windows: dict[Box, list[tuple[Prompt, shapely.Geometry | None]]] = {}
        for one in asked.good:
            windows.setdefault(window_of(one, job.windows), []).append((one, earlier.get(one.name)))
        questions = [_question(window, rows, options.alternatives) for window, rows in sorted(windows.items())]
        found = list(share.answers(engine, job, partial(_answered, asking), questions, listen))
        objects = sorted((one for part in found for one in unpacked(part)), key=lambda one: (one.name, one.rank))
    return Answers(job, tuple(objects if kinds is None else map(kinds.named, objects)), asked.faults, len(found))


def _question(window: Box, rows: list[tuple[Prompt, shapely.Geometry | None]], alternatives: bool) -> Question:
    masks = [None if mask is None else shapely.to_wkb(mask, hex=True) for _, mask in rows]
    return Question(window, repr(([one for one, _ in rows], masks, alternatives)), rows)


def refuse_faults(asked: Prompts, options: PromptOptions) -> None:
    """Raise InputError that names an object whose prompt cannot be answered, unless such are to be skipped."""
    if asked.faults and not options.skip_bad:
        name, fault = next(iter(asked.faults.items()))
        more = f" ({len(asked.faults) - 1} more cannot be answered)" if len(asked.faults) > 1 else ""
        raise InputError(f"{asked.source}: object {name!r} {fault}{more}; --skip-bad answers the others")


@contextmanager
def opened(
    scene: Scene,
    model: ModelBundle | str | Path,
    options: PromptOptions,
    run: EngineOptions,
    share: Share | None = None,
) -> Iterator[tuple[Engine, Asking]]:
    """Yield the engine that asks, and what it asks by; see ``answer`` for what is raised."""
    share = share or Share()
    bundle = promptable_bundle(model)
    with share.on(run) as engine, library().one_thread_per_network():
        site = engine.site(options.device)
        job = share.planned(job_of(scene, bundle, site, options))
        plan_of(job, site, run)
        folder = embeddings_folder() if options.embeddings is None else Path(options.embeddings)
        cache = Embeddings(folder.absolute(), job.fingerprint, options.cache_bytes)
        yield engine, Asking(job=job, embeddings=cache, alternatives=options.alternatives)


def promptable_bundle(model: ModelBundle | str | Path, *, follows: bool = False) -> ModelBundle:
    """Return the bundle of a model that takes prompts, and follows objects or not; raises ModelError for another."""
    bundle = model if isinstance(model, ModelBundle) else load_model(model)
    if bundle.spec.task == "words":
        raise ModelError(f"model {bundle.spec.name!r} finds words and takes no other prompts; give it some with --text")
    if bundle.spec.task != "promptable":
        raise ModelError(f"model {bundle.spec.name!r} maps {bundle.spec.task} and takes no prompts; use geoseg predict")
    if (bundle.spec.arch.name == "sam2-video") != follows:
        way = "import the folder with --family sam2-video" if follows else "pass --follow and several scenes"
        raise ModelError(f"model {bundle.spec.name!r} is {bundle.spec.arch.name}; {way}")
    return bundle


def job_of(scene: Scene, bundle: ModelBundle, site: Site, options: PromptOptions) -> Job:
    """Return what decides the bits of embeddings and answers."""
    spec = bundle.spec
    scene = sized(scene, spec)
    shape = scene.grid.shape
    if options.gsd_m is not None:
        height_m, width_m = scene.grid.ground_resolution_m()
        shape = tuple(  # type: ignore[assignment]
            max(1, round(n * size / options.gsd_m)) for n, size in zip(shape, (height_m, width_m), strict=True)
        )
        resampling = Resampling(scene.grid.shape, shape)
    else:
        resampling = Resampling.to_resolution(scene.grid, spec.reading_gsd_m(scene.grid))
    selected = scene.select(spec.source_bands, optional=spec.optional)
    ranged = in_range(selected, spec, options.stretch)
    refuse_unfit(ranged, spec, sample(ranged))
    side = spec.window_px
    return Job(
        scene=ranged,
        bundles=(bundle,),
        windows=WindowGrid.fit(
            resampling.working_shape,
            window=side,
            margin=spec.margin_px,
            ramp=spec.ramp_px,
            multiple=spec.multiple_px,
            least=side,
        ),
        resampling=resampling,
        chunk_px=side,
        batch=1,
        tta="none",
        platform=replace(site.platform, precision="fp32"),
        threshold=0.5,
        layers=(),
        reads=files_read(ranged.inputs, lone=ranged.lone),
    )


def plan(
    scene: Scene,
    model: ModelBundle | str | Path,
    *,
    options: PromptOptions,
    run: EngineOptions,
    engine: Engine | None = None,
) -> PromptPlan:
    """Return what asking prompts takes, whichever windows they lie in.

    engine: one that is open. Raises what ``answer`` raises before it reads
    prompts.
    """
    with opened(scene, model, options, run, Share(engine=engine)) as (own, asking):
        return plan_of(asking.job, own.site(options.device), run)


def _answered(asking: Asking, question: Question) -> bytes:
    """Answer the prompts of a window."""
    window, asked = question.window, question.asked
    network, embedding, valid = embedded(asking, window)
    part = _Part((window.row0, window.col0), valid, seen_grid(asking.job).transform)
    rows = []
    for place, answers in network.ask(embedding, [of_window(asking.job, window, *one) for one in asked]):
        name = asked[place][0].name
        for rank, one in enumerate(answers if asking.alternatives else answers[:1]):
            rows.append(part.object(name, rank, one))
    return packed(rows)


def embedded(asking: Asking, window: Box) -> "tuple[Promptable, Arrays, NDArray[np.bool_]]":
    """Return the network, a window's embedding, and which of its pixels inside the scene are valid, (h, w)."""
    network = _network(asking.job)
    embedding = asking.embeddings.of(window, partial(_embedding, asking.job, network, window))
    inside = window.clip(seen_grid(asking.job).box)
    assert inside is not None  # windows begin inside the scene
    height, width = inside.shape
    valid = np.unpackbits(embedding["valid"], count=height * width).reshape(height, width)
    return network, embedding, valid.astype(np.bool_)


def known_part(found: "Answered", valid: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], int, int]:
    """Return an answer's mask where the window has data, (h, w), and its pixels drawn more and less strictly."""
    height, width = valid.shape
    mask, strict, loose = (one[:height, :width] & valid for one in (found.mask, *found.stable))
    return mask, int(strict.sum()), int(loose.sum())


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    """The part of a window that is inside the scene."""

    corner: tuple[int, int]
    valid: NDArray[np.bool_]  # (h, w)
    transform: Affine  # of the scene's pixels

    def object(self, name: str, rank: int, found: "Answered") -> PromptedObject:
        """Return an answer as it is written."""
        from geoseg.models.promptable import PARTS

        mask, strict, loose = known_part(found, self.valid)
        _, polygons = label_polygons(mask.astype(np.int32), self.corner, self.transform)
        stability = PARTS * strict // max(loose, 1) / PARTS
        polygon = polygons[0] if len(polygons) else None
        return PromptedObject(name, rank, found.iou / PARTS, stability, int(mask.sum()), polygon)


def of_window(job: Job, window: Box, one: Prompt, mask: shapely.Geometry | None) -> "Asked":
    """Return a prompt in pixels of its window."""
    from geoseg.models.promptable import Asked

    corner = np.array([window.col0, window.row0])
    points = np.array([p[:2] for p in one.points]).reshape(-1, 2) - corner
    labels = np.array([p[2] for p in one.points], np.int32)
    box = None if one.box is None else (np.array(one.box) - np.tile(corner, 2)).astype(np.float32)
    small = None
    if mask is not None:
        shape = window.shape[0] // CELL, window.shape[1] // CELL
        place = seen_grid(job).transform @ Affine.translation(window.col0, window.row0) @ Affine.scale(CELL)
        small = rasterize([mask], out_shape=shape, transform=place, dtype="uint8").astype(np.bool_)
    return Asked(points.astype(np.float32), labels, box, small)


def _embedding(job: Job, network: "Promptable", window: Box) -> Arrays:
    """Return the embedding of a window, and which of its pixels inside the scene are valid, as bits."""
    pixels, valid = window_seen(job, window)
    return {**network.embed(pixels), "valid": np.packbits(valid)}


def window_seen(job: Job, window: Box) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return a window as a network takes it, (1, C, side, side), and its valid pixels inside the scene, (h, w)."""
    spans = [
        axis.seen_span(range(start // axis.stride, start // axis.stride + 1))
        for axis, start in ((job.windows.rows, window.row0), (job.windows.cols, window.col0))
    ]
    seen = Box(spans[0][0], spans[1][0], spans[0][1], spans[1][1])
    pixels = source_box(job.resampling.to_working(seen))
    (image,), usable = seen_images(job, read(job.scene, pixels), pixels, seen)
    inside = window.clip(Box(0, 0, *job.resampling.working_shape))
    assert inside is not None  # windows begin inside the scene
    return stack(job, [window], image, seen), usable[inside.within(seen)]


def _network(job: Job) -> "Promptable":
    """Return what asks the job's network, loaded once per process."""
    from geoseg.models.promptable import Promptable

    return opened_once(job, Promptable)


def write_answers(
    found: Answers,
    folder: Path,
    source: str | None,
    *,
    config: dict[str, Any] | None,
    more: dict[str, Any] | None = None,
) -> Path:
    """Write objects.gpkg, then run.json, into ``folder`` and return the former; raises OutputError.

    more: what run.json says beside.
    """
    (bundle,) = found.job.bundles
    spec, scene = bundle.spec, found.job.scene
    facts: dict[str, Any] = {
        "software": "geoseg",
        "version": __version__,
        "model": {
            "name": spec.name,
            "sha256": bundle.digest,
            "licence": spec.licence,
            "attribution": spec.attribution,
        },
        "input": [Path(f).name for f in scene.files],
        "bands": list(scene.bands.names),
    }
    path = folder / OBJECTS_FILE
    folder.mkdir(parents=True, exist_ok=True)
    crs = scene.grid.crs
    batches = (prompted_batch(rows, crs=crs) for rows in batched(found.objects, BATCH_ROWS))
    write_prompted(path, batches, crs=crs, provenance=facts)
    counts = {"objects": len({one.name for one in found.objects}), "windows": found.windows}
    asked = {"prompts": source and Path(source).name, **counts, "skipped": found.skipped, "config": config}
    write_json(folder / RUN_FILE, {**facts, **asked, "outputs": facts_of([path]), **(more or {})})
    return path
