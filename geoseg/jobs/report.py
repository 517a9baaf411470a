"""report: what makes a run's folder one that a person can read: report.html, run.qgz, item.json and SHA256SUMS."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.enums import Resampling
from rasterio.errors import RasterioError

from geoseg.disk.files import atomic, sha256_of, write_errors, write_json
from geoseg.errors import InputError
from geoseg.outputs.page import Html, figure, legend, page, side_by_side, table, tag, write_page
from geoseg.outputs.project import write_project
from geoseg.outputs.run_json import ITEM, REPORT, RUN_FILE, SUMS, RunJson, finished_run
from geoseg.outputs.stac_item import stac_item
from geoseg.scenes.pictures import Rgb, boundaries, data_address, drawn, of_bands, of_classes

LOOK_PX = 560  # longer side of a picture
BINS = 10


def report(folder: str | Path) -> list[Path]:
    """Write the files beside the outputs of a finished run, and return them; those of an earlier call are replaced.

    The outputs stay as they are. Raises InputError where the folder holds no finished run, and OutputError.
    """
    out = Path(folder)
    run = finished_run(out)
    try:
        made = [out / REPORT, write_project(out, run), out / ITEM, out / SUMS]
        write_json(out / ITEM, stac_item(run, name=out.resolve().name))
        write_page(out / REPORT, _page(out, run))
        files = sorted([*run.facts["outputs"], RUN_FILE, *(path.name for path in made[:3])])
        with atomic(out / SUMS) as temporary:
            temporary.write_text("".join(f"{sha256_of(out / file)}  {file}\n" for file in files), encoding="utf-8")
    except write_errors() as error:
        raise InputError(f"{out}: an output cannot be read ({error}); geoseg check tells which") from error
    return made


def _page(out: Path, run: RunJson) -> str:
    facts = run.facts
    classes = _decimated(out / run.class_file, run, Resampling.mode)[0]
    picture = of_classes(classes, run.classes)
    scene = _scene(run, classes.shape)
    looks = [figure(data_address(picture), "classes")]
    if scene is not None:
        outlined = drawn(scene, boundaries(classes), (255, 221, 0))
        looks = [figure(data_address(scene), "scene"), *looks, figure(data_address(outlined), "borders of the classes")]
    total = sum(row["area_ha"] for row in facts["classes"]) or 1.0
    areas = [
        [c["name"], f"{c['area_ha']:.4f}", f"{100 * c['area_ha'] / total:.2f} %", f"{c['pixels']:,}"]
        for c in facts["classes"]
    ]
    return page(
        f"{', '.join(facts['input'])}: {out.resolve().name}",
        tag("p", _sentence(facts), class_="quiet"),
        side_by_side(*looks),
        legend(run.classes),
        table(["class", "hectares", "share", "pixels"], areas, caption="True ground areas"),
        *_confidence(out, run),
        table(["what", "value"], _cost(facts), caption="How it was made"),
        table(["warnings and notes"], [[note] for note in facts["plan"].get("notes", [])] or [["none"]]),
        table(["input or model", "sha256"], list(_inputs(facts)), caption="Where it comes from"),
        table(["file", "bytes", "sha256"], [[k, f"{v['bytes']:,}", v["sha256"]] for k, v in facts["outputs"].items()]),
    )


def _sentence(facts: Mapping[str, Any]) -> str:
    polygons = f", {facts['polygons']['count']:,} polygons" if "polygons" in facts else ""
    return f"{facts['grid']['shape'][1]:,} x {facts['grid']['shape'][0]:,} px, {facts['grid']['crs'][:40]}{polygons}"


def _cost(facts: Mapping[str, Any]) -> list[list[str]]:
    plan, ran, windows = facts["plan"], facts["run"], facts["windows"]
    return [
        ["finished", ran["finished"]],
        ["seconds", f"{ran['seconds']:,}"],
        ["memory planned", f"{plan['peak_memory_bytes'] / 1e6:,.0f} MB"],
        ["memory measured", f"{ran['peak_memory_bytes'] / 1e6:,.0f} MB"],
        ["windows run", f"{windows['run']:,}"],
        ["windows skipped, without a valid pixel", f"{windows['skipped']:,}"],
        ["chunks missing", ", ".join(facts["missing_chunks"]) or "none"],
        ["geoseg, Python", f"{ran['geoseg']}, {ran['python']}"],
    ]


def _inputs(facts: Mapping[str, Any]) -> Iterator[list[str]]:
    """Yield the inputs, as far as they are still there, and the models, with their digests."""
    for file in facts["scene"]["files"]:
        yield [Path(file).name, sha256_of(Path(file)) if Path(file).is_file() else "is no longer there"]
    models = facts["model"] if isinstance(facts["model"], list) else [facts["model"]]
    yield from ([f"model {m['name']} ({m['licence'] or 'no licence stated'})", m["sha256"]] for m in models)


def _confidence(out: Path, run: RunJson) -> Iterator[Html]:
    """Yield a histogram of the confidence, where there is one."""
    if "confidence.tif" not in run.files:
        return
    (values,) = _decimated(out / "confidence.tif", run, Resampling.nearest)
    layer = run.files["confidence.tif"][0]
    known = values[~layer.is_nodata(values)] * layer.scale + layer.offset
    counts, edges = np.histogram(known, BINS, (0, 1))
    highest = max(counts.max(), 1)
    bars = "".join(
        f'<rect x="{i * 40 + 2}" y="{100 - 96 * n / highest:.1f}" width="36" height="{96 * n / highest:.1f}" '
        f'fill="#2563eb"/><text x="{i * 40 + 20}" y="116" font-size="11" text-anchor="middle">{edges[i + 1]:.1f}</text>'
        for i, n in enumerate(counts)
    )
    svg = Html(f'<svg viewBox="0 0 {BINS * 40} 120" width="480" role="img">{bars}</svg>')
    yield Html(f"<figure>{svg}<figcaption>Confidence of the pixels, 0 to 1, in tenths (a sample)</figcaption></figure>")


def _decimated(path: Path, run: RunJson, resampling: Resampling) -> NDArray[Any]:
    """Return the bands of a raster of the run, shrunk so that the longer side has LOOK_PX at most."""
    shrink = max(1.0, max(run.grid.shape) / LOOK_PX)
    shape = tuple(max(1, round(side / shrink)) for side in run.grid.shape)
    with rasterio.open(path) as src:
        return np.asarray(src.read(out_shape=(src.count, *shape), resampling=resampling))


def _scene(run: RunJson, shape: tuple[int, ...]) -> Rgb | None:
    """Return the scene as a screen shows it; None where it is no longer there, or was brought to another grid."""
    files = run.facts["scene"]["files"]
    try:
        with rasterio.open(files[0]) as src:
            if src.shape != run.grid.shape:
                return None
            bands = [1, 2, 3] if src.count >= 3 else [1]
            given = {"out_shape": (len(bands), *shape), "resampling": Resampling.average}
            pixels = src.read(bands, **given).astype(np.float32)
            valid = src.dataset_mask(out_shape=shape) > 0
    except (RasterioError, OSError):
        return None
    return of_bands(pixels, valid & np.isfinite(pixels).all(0))
