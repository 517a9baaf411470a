"""geoseg prompt: answers do not depend on what else is asked, when, or in which CRS; what cannot be asked is said."""

import json
import shutil
import sys
from functools import partial

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
import stopped
from conftest import GSD_M, largest_file, write_tif
from rasterio.features import rasterize
from rasterio.transform import from_bounds
from rasterio.warp import transform_bounds
from sam_folders import WINDOW, write_roofs, write_sam_folder
from scipy import ndimage

import geoseg
from geoseg.cli import main
from geoseg.errors import InputError, MemoryBudgetError, OutputError, PlanChangedError
from geoseg.jobs import everything
from geoseg.jobs import job as jobs
from geoseg.jobs import prompt as job
from geoseg.jobs.folder import JobFolder
from geoseg.jobs.networks import opened_once
from geoseg.jobs.prompt_memory import Clicks, plan_of, refuse_held
from geoseg.models.bundle import load_model
from geoseg.models.promptable import Answered, Promptable
from geoseg.objects.merging import all_links, links
from geoseg.options.prompt import PromptOptions
from geoseg.options.run import EngineOptions
from geoseg.scenes.open import open_scene
from geoseg.scenes.prompts import read_prompts
from geoseg.values.box import Box

pytest.importorskip("transformers")
SYNC = EngineOptions(engine="sync")
LEFT, TOP = 3e5, 3.06e6


def on_map(x, y):
    return LEFT + x * GSD_M, TOP - y * GSD_M


def box_of(x0, y0, x1, y1):
    return shapely.box(*on_map(x0, y1), *on_map(x1, y0))


@pytest.fixture(scope="module")
def bundles(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sam")
    for family in ("sam", "sam2"):
        saved = write_sam_folder(folder / f"{family}_saved", family)
        assert main(["import", str(saved), "--family", family, "-o", str(folder / family)]) == 0
    return folder


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    return write_roofs(tmp_path_factory.mktemp("prompts") / "scene.tif")


@pytest.fixture(scope="module")
def rows():
    outline = [on_map(x, y) for x, y in ((140, 100), (180, 100), (180, 112), (158, 112), (158, 130), (140, 130))]
    return [
        ("roof", 1, shapely.Point(on_map(41.5, 29.5))),
        ("roof", 0, shapely.Point(on_map(60.25, 29.5))),
        ("field", None, box_of(98, 68, 124, 90)),
        ("barn", None, shapely.Polygon(outline)),
        *((f"click {i}", 1, shapely.Point(on_map(12.5 + 31 * i, 125.5))) for i in range(6)),
    ]


def written(rows, path, crs="EPSG:32645"):
    frame = gpd.GeoDataFrame(rows, columns=["object", "label", "geometry"], crs="EPSG:32645")
    frame.to_crs(crs).to_file(path)
    return str(path)


def asked(scene, bundle, prompts, folder, **options):
    """Return the bytes of objects.gpkg."""
    options = PromptOptions(**{"embeddings": str(folder / "cache"), "alternatives": True, **options})
    found = job.answer(open_scene(scene), bundle, partial(read_prompts, prompts), options=options, run=SYNC)
    path = job.write_answers(found, folder / "out", prompts, config=None)
    content = path.read_bytes()
    shutil.rmtree(folder / "out")
    return content


@pytest.mark.parametrize("family", [pytest.param("sam", marks=pytest.mark.nightly), "sam2"])
def test_answers_depend_on_nothing_but_their_prompts(scene, bundles, rows, tmp_path, family):
    bundle = load_model(bundles / family)
    ask = partial(asked, scene, bundle, folder=tmp_path)
    plain = written(rows, tmp_path / "prompts.gpkg")
    fresh = ask(plain)
    stored = sorted((tmp_path / "cache").rglob("*.embedding"))
    assert len(stored) > 3
    times = [path.stat().st_ino for path in stored]
    assert ask(plain) == fresh
    assert [path.stat().st_ino for path in stored] == times, "embeddings are read, not made"
    order = np.random.default_rng(1).permutation(len(rows))
    assert ask(written([rows[i] for i in order], tmp_path / "shuffled.geojson", "EPSG:4326")) == fresh
    frame = read_objects(tmp_path, fresh)
    alone = []
    for name in ("barn", "click 3", "field", "roof"):
        own = written([row for row in rows if row[0] == name], tmp_path / f"{name}.gpkg")
        alone.append(read_objects(tmp_path, ask(own)))
    together = frame[frame["object"].isin(("barn", "click 3", "field", "roof"))].reset_index(drop=True)
    assert gpd.pd.concat(alone, ignore_index=True).equals(together)
    assert set(frame["object"]) == {row[0] for row in rows}
    assert frame.groupby("object")["rank"].agg(list).map(lambda r: r == [0, 1, 2]).all()
    some = (frame["pixels"] > 20) & (frame["pixels"] < 0.9 * WINDOW**2)
    assert some.sum() > 5, "masks that are neither empty nor all of their windows"
    assert frame["pixels"].to_numpy() * GSD_M**2 == pytest.approx(frame.geometry.area.to_numpy())
    assert set(frame["review"]) == {"unseen"}


def read_objects(folder, content):
    path = folder / "read.gpkg"
    path.write_bytes(content)
    return gpd.read_file(path, layer="objects")


def test_an_embedding_that_is_damaged_foreign_or_gone_is_made_anew(scene, bundles, rows, tmp_path):
    bundle = load_model(bundles / "sam2")
    ask = partial(asked, scene, bundle, written(rows, tmp_path / "prompts.gpkg"), tmp_path)
    fresh = ask()
    stored = sorted((tmp_path / "cache").rglob("*.embedding"))
    contents = [path.read_bytes() for path in stored]
    stored[0].write_bytes(contents[0][:-1] + bytes([contents[0][-1] ^ 1]))
    stored[1].write_bytes(contents[2])
    stored[2].unlink()
    assert ask() == fresh
    assert [path.read_bytes() for path in stored] == contents
    one = len(contents[0]) + 1
    assert ask(cache_bytes=one) == fresh
    shutil.rmtree(tmp_path / "cache")
    assert ask(cache_bytes=one) == fresh
    assert len(list((tmp_path / "cache").rglob("*.embedding"))) == 1
    shutil.rmtree(tmp_path / "cache")
    with largest_file(one // 2), pytest.raises(OutputError, match="could not be written"):
        ask()
    assert not list((tmp_path / "cache").rglob("*.embedding"))


@pytest.mark.parametrize("family", ["sam", "sam2"])
def test_masks_are_those_of_transformers(scene, bundles, tmp_path, family):
    import torch
    import transformers

    kind = {"sam": transformers.SamModel, "sam2": transformers.Sam2Model}[family]
    network = kind.from_pretrained(bundles / f"{family}_saved").eval()
    frame = gpd.GeoDataFrame({"object": ["a"]}, geometry=[shapely.Point(on_map(20.5, 30.5))], crs="EPSG:32645")
    options = PromptOptions(embeddings=str(tmp_path), alternatives=True)
    found = geoseg.prompt(scene, bundles / family, frame, options=options, run=SYNC)
    with rasterio.open(scene) as src:
        pixels = src.read(window=((0, WINDOW), (0, WINDOW))).astype(np.float32)
    with torch.inference_mode():
        answer = network(
            pixel_values=torch.from_numpy((pixels / 255 - 0.3) / 0.2)[None],
            input_points=torch.tensor([[[[20.0, 30.0]]]]),  # the middle of a pixel is its number there
            input_labels=torch.ones(1, 1, 1, dtype=torch.int32),
        )
        masks = torch.nn.functional.interpolate(answer.pred_masks[0], (WINDOW, WINDOW), mode="bilinear") > 0
    scores, counts = answer.iou_scores[0, 0].clamp(0, 1).numpy(), masks[0].sum((1, 2)).numpy()
    order = np.argsort(-scores, kind="stable")
    assert found["pixels"].to_numpy() == pytest.approx(counts[order], abs=4)
    assert found["predicted_iou"].to_numpy() == pytest.approx(scores[order], abs=0.01)


def test_an_earlier_mask_is_a_prompt(scene, bundles, rows, tmp_path):
    bundle, prompts = load_model(bundles / "sam2"), written(rows, tmp_path / "prompts.gpkg")
    fresh = asked(scene, bundle, prompts, tmp_path)
    read_objects(tmp_path, fresh)
    refine = str(tmp_path / "read.gpkg") + "|layername=objects"
    refined = asked(scene, bundle, prompts, tmp_path, refine=refine)
    assert refined != fresh
    assert asked(scene, bundle, prompts, tmp_path, refine=refine) == refined


FAULTS = {
    "beside the scene": ([(1, shapely.Point(on_map(-3, 5)))], "lies beside the scene"),
    "on nodata": ([(1, shapely.Point(on_map(180, 5)))], "lies where the scene has no data"),
    "wider": (
        [(None, box_of(20, 20, 90, 40))],
        "spans 70 x 20 px, and windows of 64 px hold 32 px.* --gsd-m",
    ),
    "many": ([(1, shapely.Point(on_map(20 + i, 20))) for i in range(9)], "has 9 points; 8 are taken"),
    "background": ([(0, shapely.Point(on_map(20, 20)))], "has background points alone"),
    "line": ([(1, shapely.LineString([on_map(20, 20), on_map(30, 20)]))], "is a LineString; prompts are points and"),
    "two": ([(None, box_of(20, 20, 30, 30)), (None, box_of(20, 20, 40, 40))], "has 2 boxes"),
    "without a geometry": ([(1, shapely.Point(on_map(20, 20))), (1, None)], "has a row without a geometry; draw it"),
    "empty": ([(1, shapely.Point())], "has a row without a geometry; draw it"),
    "label": ([(7, shapely.Point(on_map(20, 20)))], "has a point whose label is neither 1 .inside. nor 0"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_what_cannot_be_answered_is_named(scene, bundles, tmp_path, name):
    shapes, message = FAULTS[name]
    prompts = written([(name, *row) for row in shapes], tmp_path / "prompts.gpkg")
    with pytest.raises(InputError, match=f"object {name!r} {message}.*--skip-bad"):
        asked(scene, load_model(bundles / "sam2"), prompts, tmp_path)


def test_a_wide_prompt_is_answered_at_the_resolution_that_is_named(scene, bundles, tmp_path):
    prompts = written([("wide", None, box_of(20, 20, 90, 40))], tmp_path / "prompts.gpkg")
    bundle = load_model(bundles / "sam2")
    with pytest.raises(InputError) as refused:
        asked(scene, bundle, prompts, tmp_path)
    gsd_m = float(str(refused.value).partition("--gsd-m ")[2].partition(";")[0])
    assert read_objects(tmp_path, asked(scene, bundle, prompts, tmp_path, gsd_m=gsd_m))["rank"].tolist() == [0, 1, 2]


def test_a_layer_of_nothing_or_without_a_crs_is_refused(scene, bundles, tmp_path):
    empty = gpd.GeoDataFrame({"object": []}, geometry=[], crs="EPSG:32645")
    bare = gpd.GeoDataFrame({"object": ["a"]}, geometry=[shapely.Point(0, 0)])
    for frame, message in ((empty, "holds no prompts"), (bare, "no CRS")):
        with pytest.raises(InputError, match=message):
            geoseg.prompt(scene, bundles / "sam2", frame, run=SYNC)
    with pytest.raises(MemoryBudgetError, match="--memory"):
        geoseg.prompt(scene, bundles / "sam2", points=[on_map(20, 20)], run=EngineOptions(memory_bytes=10**6))


def test_the_command_writes_objects_and_says_what_it_skipped(scene, bundles, rows, tmp_path, capsys):
    bad = [*rows, ("line", 1, FAULTS["line"][0][0][1]), (None, 1, None)]
    prompts = written(bad, tmp_path / "prompts.gpkg")
    command = ["prompt", scene, prompts, "-m", str(bundles / "sam2"), "-o", str(tmp_path / "out"), "-q"]
    command += ["--embeddings", str(tmp_path / "cache"), "--engine", "sync"]
    assert main(command) == 3
    assert main([*command, "--dry-run"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan["windows"] > 0 < plan["memory_bytes"] <= plan["allowed_bytes"]
    assert plan["memory_bytes"] == max(plan["stage_bytes"].values())
    assert [*plan["stage_bytes"]] == ["embed", "ask"]
    assert not (tmp_path / "out").exists()
    assert main([*command, "--skip-bad"]) == 0
    record = json.loads((tmp_path / "out" / "run.json").read_text())
    assert record["skipped"].keys() == {"line", str(len(bad))}, "a row without a name is called by its number"
    assert record["objects"] == len(gpd.read_file(tmp_path / "out" / "objects.gpkg", layer="objects")) == 9
    assert "line" not in capsys.readouterr().out
    first = (tmp_path / "out" / "objects.gpkg").read_bytes()
    assert main([*command, "--skip-bad"]) == 5
    assert main(["run", str(tmp_path / "out" / "run.json"), "-q", "-o", str(tmp_path / "again")]) == 0
    assert (tmp_path / "again" / "objects.gpkg").read_bytes() == first
    capsys.readouterr()
    assert main(["check", str(tmp_path / "out")]) == 3
    assert "holds objects of geoseg prompt" in capsys.readouterr().err


def test_models_of_another_task_are_refused(scene, bundles, tiny_bundle, tmp_path, capsys):
    out = ["-o", str(tmp_path / "out"), "-q"]
    assert main(["predict", scene, "-m", str(bundles / "sam2"), *out]) == 4
    assert "use geoseg prompt" in capsys.readouterr().err
    assert main(["prompt", scene, scene, "-m", str(tiny_bundle), *out]) == 4
    assert "use geoseg predict" in capsys.readouterr().err
    assert main(["info", str(bundles / "sam2")]) == 0
    assert "promptable" in capsys.readouterr().out


def test_a_library_that_is_missing_leaves_nothing(scene, bundles, rows, tmp_path, capsys, monkeypatch):
    """It is missed when the network is opened, and the plan lies in the job folder by then."""
    prompts, model = written(rows, tmp_path / "prompts.gpkg"), shutil.copytree(bundles / "sam2", tmp_path / "own")
    before = sorted(tmp_path.iterdir())
    command = ["prompt", scene, prompts, "-m", str(model), "-o", str(tmp_path / "out"), "-q", "--engine", "sync"]
    monkeypatch.setitem(sys.modules, "transformers", None)
    adopted, adopt = [], JobFolder.adopt
    monkeypatch.setattr(JobFolder, "adopt", lambda *args, **named: adopted.append(adopt(*args, **named)))
    assert main([*command, "--embeddings", str(tmp_path / "cache")]) == 4
    assert "pip install 'geoseg[transformers]'" in capsys.readouterr().err
    assert adopted == [None]
    assert sorted(tmp_path.iterdir()) == before


def test_another_version_of_transformers_is_another_job(scene, bundles, monkeypatch):
    opened = (open_scene(scene), load_model(bundles / "sam2"), PromptOptions(), SYNC)
    with job.opened(*opened) as (_, before):
        assert list(before.job.identity["extras"]) == ["transformers"]
    monkeypatch.setattr(jobs, "version", lambda _: "0.1")
    with job.opened(*opened) as (_, after):
        assert jobs.differences(after.job.identity, before.job.identity) == ["extras"]
        assert after.embeddings.fingerprint != before.embeddings.fingerprint
    with pytest.raises(PlanChangedError, match="here, planned was"):  # as on a worker
        opened_once(before.job, Promptable)


def _of_another_width(folder):
    config = json.loads((folder / "config.json").read_text())
    config["mask_decoder_config"]["mlp_dim"] = 32
    (folder / "config.json").write_text(json.dumps(config))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: (f / "preprocessor_config.json").unlink(), "image_mean is missing"),
        (lambda f: (f / "model.safetensors").rename(f / "pytorch_model.bin"), "pickles, which run code"),
        (lambda f: (f / "config.json").write_text('{"model_type": "vit"}'), "says 'vit', and sam2 is asked for"),
        (lambda f: (f / "config.json").unlink(), "config.json: cannot be read"),
        (_of_another_width, "tensors are missing, unknown or of another shape"),
    ],
)
def test_folders_that_are_no_such_network_are_refused(bundles, tmp_path, capsys, change, message):
    folder = shutil.copytree(bundles / "sam2_saved", tmp_path / "saved")
    change(folder)
    assert main(["import", str(folder), "--family", "sam2", "-o", str(tmp_path / "made")]) == 4
    assert message in capsys.readouterr().err
    assert not (tmp_path / "made").exists()


class Oracle:
    """Answers a click with the bright house that it is on, with that and a ring around it, and with all it sees."""

    def __init__(self, houses, window):
        self.houses, self.window = np.pad(houses, WINDOW)[WINDOW:, WINDOW:][window.within(Box(0, 0, 999, 999))], window

    def ask(self, _embedding, asked):
        for place, one in enumerate(asked):
            (x, y) = one.points[0].astype(int)
            house = (self.houses == self.houses[y, x]) & (self.houses[y, x] > 0)
            masks = [house, ndimage.binary_dilation(house), np.ones_like(house)]
            scores = (9500, 9000, 9900)
            yield place, tuple(Answered(m, np.stack([m, m]), s) for m, s in zip(masks, scores, strict=True))


@pytest.fixture
def houses(scene, monkeypatch):
    """The numbered houses of the scene, (h, w), which a network that is never wrong finds."""
    with rasterio.open(scene) as src:
        valid, houses = src.read_masks(1) > 0, ndimage.label(src.read(1) > 100)[0]

    def embedded(asking, window):
        inside = window.clip(asking.job.scene.grid.box)
        return Oracle(houses, window), {}, valid[inside.within(asking.job.scene.grid.box)]

    monkeypatch.setattr(everything, "embedded", embedded)
    return houses


def all_found(scene, bundles, run=SYNC, **options):
    asked = PromptOptions(everything=True, **{"spacing_px": 8, "least_iou": 0.5, **options})
    return everything.everything(open_scene(scene), load_model(bundles / "sam2"), options=asked, run=run)


def test_everything_finds_every_house_once_however_it_is_walked(scene, bundles, houses, monkeypatch):
    first = all_found(scene, bundles).objects
    assert len(first) == houses.max() == 4
    transform = open_scene(scene).grid.transform
    for one in first:
        burnt = rasterize([one.polygon], houses.shape, transform=transform).astype(bool)
        own = houses == houses[burnt].max()
        assert np.array_equal(burnt, own)
        assert one.pixels == own.sum()
    assert all_found(scene, bundles, EngineOptions(engine="threads", lanes=3)).objects == first
    candidates, found = everything._candidates, []

    def shuffled(lattice, window):
        found.append(candidates(lattice, window))
        return found[-1].take(np.random.default_rng(0).permutation(len(found[-1].table)))

    monkeypatch.setattr(everything, "_candidates", shuffled)
    assert all_found(scene, bundles).objects == first, "candidates are a set"
    joined = everything.Found.joined(found)
    found = links(joined, len(joined.table), everything.RULES)
    assert len(found) > 20, "they are many and overlap"
    assert np.array_equal(all_links(joined, everything.RULES), found), "row by row as all at once"


def test_everything_of_a_large_scene_is_the_same_after_a_kill_and_by_shards(tmp_path, monkeypatch):
    """1,100 x 1,100 px; windows are all tiles that it has."""
    write_sam_folder(tmp_path / "saved", seed=14, window=256)
    assert main(["import", str(tmp_path / "saved"), "--family", "sam2", "-o", str(tmp_path / "sam2")]) == 0
    pixels = np.random.default_rng(0).integers(40, 90, (3, 1100, 1100)).astype(np.uint8)
    for at in range(20, 1000, 130):
        pixels[:, at : at + 60, at // 2 : at // 2 + 80] += 120
    large = str(write_tif(tmp_path / "large.tif", pixels))
    ask = ["prompt", large, "--everything", "--spacing-px", "96", "--least-iou", "0", "--least-stability", "0"]
    ask += ["-m", str(tmp_path / "sam2"), "-q", "--engine", "sync", "--embeddings", str(tmp_path / "cache")]
    done, kept = [], []
    with monkeypatch.context() as patch:
        patch.setattr(everything, "_answered", stopped.after(32, everything._answered, done))
        assert main([*ask, "-o", str(tmp_path / "killed")]) == 130
    merged = everything.merged_objects
    monkeypatch.setattr(everything, "merged_objects", lambda found, grid: kept.append(found) or merged(found, grid))
    assert main([*ask, "-o", str(tmp_path / "killed")]) == 0
    whole = (tmp_path / "killed" / "objects.gpkg").read_bytes()
    overlap = links(kept[0], len(kept[0].table), everything.RULES)
    assert len(kept[0].table) > 150 < len(overlap), "they are many and overlap"
    for number in ("2/2", "1/2"):
        assert main([*ask, "-o", str(tmp_path / "shards"), "--shard", number, "--engine", "threads"]) == 0
    assert main(["finish", str(tmp_path / "shards"), "-q", "--engine", "sync"]) == 0
    assert (tmp_path / "shards" / "objects.gpkg").read_bytes() == whole


@pytest.mark.nightly
def test_everything_of_a_network_is_the_same_for_any_cache(scene, bundles, tmp_path):
    kept = {"least_iou": 0.0, "least_stability": 0.0, "spacing_px": 32, "embeddings": str(tmp_path)}
    first = all_found(scene, bundles, **kept).objects
    assert all_found(scene, bundles, **kept, cache_bytes=1).objects == first


@pytest.mark.parametrize("family", ["sam", "sam2"])
def test_a_plan_tells_what_embeddings_take(scene, bundles, rows, tmp_path, family):
    bundle, prompts = load_model(bundles / family), written(rows[:1], tmp_path / "prompts.gpkg")
    plan = job.plan(open_scene(scene), bundle, options=PromptOptions(embeddings=str(tmp_path)), run=SYNC)
    asked(scene, bundle, prompts, tmp_path)
    (stored,) = (tmp_path / "cache").rglob("*.embedding")
    assert plan.embedding_bytes <= stored.stat().st_size <= plan.embedding_bytes + 1000, "a head and a seal"
    assert plan.per_megapixel == round(plan.embedding_bytes * plan.windows / (160 * 192 / 1e6))


def test_a_plan_of_everything_counts_what_is_held(scene, bundles, houses, tmp_path):
    def planned(spacing_px, bytes_=None, **options):
        asked = PromptOptions(everything=True, spacing_px=spacing_px, embeddings=str(tmp_path), **options)
        run = EngineOptions(engine="sync", memory_bytes=bytes_)
        return everything.plan(open_scene(scene), load_model(bundles / "sam2"), options=asked, run=run)

    dense, sparse = planned(4), planned(16)
    assert dense.stages["merge"] > sparse.stages["merge"]
    gpd.GeoDataFrame(geometry=[box_of(90, 60, 130, 100)], crs="EPSG:32645").to_file(tmp_path / "area.gpkg")
    assert planned(4, within=str(tmp_path / "area.gpkg")).windows < dense.windows == sparse.windows
    with everything.opened(open_scene(scene), bundles / "sam2", PromptOptions(embeddings=str(tmp_path)), SYNC) as (
        engine,
        asking,
    ):
        many, own = [Clicks(1, 10**9), Clicks(2, 10**9)], asking.job
        with pytest.raises(MemoryBudgetError, match=r"stage merge .*--memory, or ask with a larger"):
            plan_of(own, engine.site("cpu"), EngineOptions(memory_bytes=10**10), merging=many)
        with pytest.raises(MemoryBudgetError, match=r"3 masks are found, .*--least-iou"):
            refuse_held(own, many, 10**10)


def test_everything_within_an_area_and_of_sure_masks(houses, bundles, scene, tmp_path, capsys):
    gpd.GeoDataFrame(geometry=[box_of(90, 60, 130, 100)], crs="EPSG:32645").to_file(tmp_path / "area.gpkg")
    (only,) = all_found(scene, bundles, within=str(tmp_path / "area.gpkg")).objects
    assert only.pixels == (houses == houses[75, 105]).sum()
    command = ["prompt", scene, "--everything", "-m", str(bundles / "sam2"), "-o", str(tmp_path / "out"), "-q"]
    assert main([*command, "--least-iou", "1", "--embeddings", str(tmp_path / "cache")]) == 3
    assert "ask for less" in capsys.readouterr().err
    for flags, message in (["--spacing-px", "2"], "choose 4 to 1024"), (["--alternatives"], "goes without refine"):
        assert main([*command, *flags]) == 2
        assert message in capsys.readouterr().err


@pytest.fixture
def ground(tmp_path):
    """A map in degrees of two classes, west and east of column 96, which knows nothing below row 100."""
    corners = [*on_map(0, 160), *on_map(192, 0)]
    left, bottom, right, top = transform_bounds("EPSG:32645", "EPSG:4326", *corners)
    ids = np.repeat(np.uint8([[2, 3]]), 24, axis=1).repeat(40, 0)
    ids[25:] = 0
    transform = from_bounds(left, bottom, right, top, 48, 40)
    return str(write_tif(tmp_path / "map.tif", ids[None], crs="EPSG:4326", transform=transform, nodata=0))


def test_masks_are_named_by_what_most_of_them_is_in_a_map(scene, bundles, houses, rows, ground, tmp_path, capsys):
    found = all_found(scene, bundles, classes=ground).objects
    assert [one.class_name for one in found] == ["class 2", "class 3", "", ""]
    assert [one._replace(class_name="") for one in found] == list(all_found(scene, bundles).objects)
    prompts = written(rows[:3], tmp_path / "prompts.gpkg")
    frame = read_objects(tmp_path, asked(scene, load_model(bundles / "sam2"), prompts, tmp_path, classes=ground))
    said = {name for own in frame["class"] for name in [own or ""]}
    assert said <= {"class 2", "class 3", ""}
    assert "class 2" in said
    command = ["prompt", scene, prompts, "-m", str(bundles / "sam2"), "-o", str(tmp_path / "out"), "-q"]
    assert main([*command, "--classes", prompts]) == 3
    assert "polygons alone" in capsys.readouterr().err
    assert main([*command, "--classes", str(tmp_path / "no.tif")]) == 3
    assert not (tmp_path / "out").exists()


def test_a_run_that_was_cut_short_goes_on_to_the_same_bytes(scene, bundles, rows, tmp_path, monkeypatch):
    ask = partial(asked, scene, load_model(bundles / "sam2"), written(rows, tmp_path / "prompts.gpkg"))
    whole, embed, made = ask(tmp_path / "whole"), job._embedding, []

    def failing(asking, network, window):
        if len(made) == 2:
            raise KeyboardInterrupt
        made.append(window)
        return embed(asking, network, window)

    monkeypatch.setattr(job, "_embedding", failing)
    with pytest.raises(KeyboardInterrupt):
        ask(tmp_path)
    again = []
    monkeypatch.setattr(job, "_embedding", lambda *given: again.append(given[-1]) or embed(*given))
    assert ask(tmp_path) == whole
    assert again
    assert not {*again} & {*made}


@pytest.mark.parametrize("what", ["prompts", pytest.param("everything", marks=pytest.mark.nightly)])
def test_shards_and_finish_give_the_bytes_of_one_run(scene, bundles, rows, tmp_path, what, capsys):
    prompts = written(rows, tmp_path / "prompts.gpkg")
    asks = [prompts] if what == "prompts" else ["--everything", "--least-iou", "0", "--least-stability", "0"]
    command = ["prompt", scene, *asks, "-m", str(bundles / "sam2"), "-q", "--embeddings", str(tmp_path / "cache")]
    command += ["--engine", "sync"]
    assert main([*command, "-o", str(tmp_path / "whole")]) == 0
    out = tmp_path / "out"
    for number in ("2/2", "1/2"):
        assert main(["finish", str(out), "-q"]) == (3 if number == "2/2" else 7)
        assert main([*command, "-o", str(out), "--shard", number]) == 0
        assert "geoseg finish" in capsys.readouterr().out
        assert [p.name for p in out.iterdir()] == [".job"]
    assert main(["finish", str(out), "-q", "--engine", "sync"]) == 0
    assert sorted(p.name for p in out.iterdir()) == ["objects.gpkg", "run.json"]
    assert (out / "objects.gpkg").read_bytes() == (tmp_path / "whole" / "objects.gpkg").read_bytes()
    assert main(["finish", str(out), "-q"]) == 3


def test_a_run_that_was_stopped_keeps_its_answers(scene, bundles, rows, tmp_path, monkeypatch, capsys):
    ask = ["prompt", scene, written(rows, tmp_path / "p.gpkg"), "-m", str(bundles / "sam2"), "-q", "--engine", "sync"]
    ask += ["--embeddings", str(tmp_path / "cache")]
    assert main([*ask, "-o", str(tmp_path / "whole")]) == 0
    answered, done = job._answered, []
    assert main([*ask, "-o", str(tmp_path / "out"), "--max-runtime", "0.001s"]) == 75
    assert "0 of" in capsys.readouterr().err
    monkeypatch.setattr(job, "_answered", stopped.after(2, answered, done))
    assert main([*ask, "-o", str(tmp_path / "out")]) == 130
    parts = sorted((tmp_path / "out" / ".job" / "parts").rglob("*.answer"))
    parts[0].write_bytes(parts[0].read_bytes()[:-3])  # as a disk that lost power leaves it
    again = []
    monkeypatch.setattr(job, "_answered", lambda *given: again.append(given[1].window) or answered(*given))
    assert main([*ask, "-o", str(tmp_path / "out")]) == 0
    assert len({*again} & {*done}) == 1
    assert (tmp_path / "out" / "objects.gpkg").read_bytes() == (tmp_path / "whole" / "objects.gpkg").read_bytes()


def test_a_batch_asks_in_every_scene(scene, bundles, rows, tmp_path, capsys):
    (tmp_path / "in").mkdir()
    (tmp_path / "clicks").mkdir()
    for name in "abc":
        shutil.copy(scene, tmp_path / "in" / f"{name}.tif")
        written(rows[:3], tmp_path / "clicks" / f"{name}.gpkg")
    (tmp_path / "clicks" / "c.gpkg").unlink()
    each = {"job": "prompt", "prompts": "clicks", "model": str(bundles / "sam2"), "run": {"engine": "sync"}}
    each["options"] = {"embeddings": str(tmp_path / "cache")}
    config = tmp_path / "batch.yaml"
    config.write_text(json.dumps({"job": "batch", "scenes": "in/*.tif", "out": "out", "each": each}))

    def batch(code, *more):
        assert main(["batch", str(config), "-q", *more]) == code
        if more:
            return json.loads(capsys.readouterr().out)
        rows = json.loads((tmp_path / "out" / "summary.json").read_text())["scenes"]
        return [(row["scene"], row["state"], row["code"]) for row in rows]

    assert batch(0, "--dry-run")["sums"]["scenes"] == {"to run": 3}
    assert batch(7) == [("a", "done", 0), ("b", "done", 0), ("c", "failed", 3)]
    written(rows[:4], tmp_path / "clicks" / "c.gpkg")
    written(rows[:2], tmp_path / "clicks" / "b.gpkg")
    capsys.readouterr()
    assert batch(7) == [("a", "skipped", 0), ("b", "failed", 5), ("c", "done", 0)]
    assert "prompts changed" in capsys.readouterr().err
    alone = [
        "prompt",
        str(tmp_path / "in" / "c.tif"),
        str(tmp_path / "clicks" / "c.gpkg"),
        "-m",
        str(bundles / "sam2"),
        "-q",
    ]
    assert (
        main([*alone, "-o", str(tmp_path / "alone"), "--engine", "sync", "--embeddings", str(tmp_path / "cache")]) == 0
    )
    first, second = ((tmp_path / f / "objects.gpkg").read_bytes() for f in ("alone", "out/c"))
    assert first == second
    assert main(["run", str(tmp_path / "out" / "c" / "run.json"), "-q", "-o", str(tmp_path / "again")]) == 0
    assert (tmp_path / "again" / "objects.gpkg").read_bytes() == first
