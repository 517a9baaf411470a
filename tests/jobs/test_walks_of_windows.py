"""3,000 x 3,000 px of superpixels and of everything: engines, shards, kills, caches and tiles change no byte.

Each value of each choice comes up in one of the walks; their product would take hours. Windows of everything are its
only tiles: what varies are the blocks in which the scene is stored, and which process asks them.
"""

import shutil

import geopandas as gpd
import numpy as np
import pytest
import yaml
from conftest import write_tif
from killed import geoseg
from sam_folders import write_sam_folder

from geoseg.cli import main
from geoseg.jobs import everything
from geoseg.objects.found import Found
from geoseg.objects.merging import MEETS, SAME

pytestmark = [pytest.mark.nightly, pytest.mark.slow]
SIDE = 3000
WINDOW = 256
SEGMENT = "geoseg.jobs.segment"
LOCAL = ["--engine", "local", "--workers", "2"]
SYNC, THREADS = ["--engine", "sync"], ["--engine", "threads", "--lanes", "2"]


def roofs(side, *, step, sides):
    """Return noise (3, side, side) with bright roofs, and their boxes (row, col, height, width)."""
    rng = np.random.default_rng(5)
    pixels, boxes = rng.integers(40, 90, (3, side, side)).astype(np.uint8), []
    for row in range(8, side - sides[1] - 8, step):
        for col in range(8, side - sides[1] - 8, step):
            height, width = rng.integers(*sides, 2)
            pixels[:, row : row + height, col : col + width] += 120
            boxes.append((row, col, height, width))
    return pixels, boxes


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    """One scene of roofs with a hole, stored in strips and in blocks of two sizes."""
    folder = tmp_path_factory.mktemp("scenes")
    pixels, _ = roofs(SIDE, step=260, sides=(40, 120))
    pixels[:, 1000:1200, 1500:1700] = 0
    made = {"strips": {}, "blocks of 256": {"tiled": True, "blockxsize": 256, "blockysize": 256}}
    made["blocks of 1024"] = {"tiled": True, "blockxsize": 1024, "blockysize": 1024}
    for name, profile in made.items():
        (folder / name).mkdir()
        write_tif(folder / name / "scene.tif", pixels, nodata=0, photometric="RGB", **profile)
    return {name: str(folder / name / "scene.tif") for name in made}


@pytest.mark.parametrize("method", ["slic", "waterpixels"])
def test_superpixels_are_the_same_however_they_are_cut(method, scenes, tmp_path):
    def cut(name, *flags, cut_px=1024, drawn_px=1024, **kill):
        (tmp_path / name).mkdir(exist_ok=True)
        out = ["-o", str(tmp_path / name / "s.gpkg"), "--raster", str(tmp_path / name / "s.tif")]
        sides = {f"{SEGMENT}:SIDE_PX": cut_px, f"{SEGMENT}:DRAWN_PX": drawn_px}
        geoseg(["segment", scenes["blocks of 256"], "--method", method, *out, *flags], sides=sides, **kill)

    def bytes_of(name):
        assert sorted(p.name for p in (tmp_path / name).iterdir()) == ["s.gpkg", "s.tif"]
        return [(tmp_path / name / file).read_bytes() for file in ("s.gpkg", "s.tif")]

    cut("whole", *SYNC)
    whole = bytes_of("whole")
    assert len(gpd.read_file(tmp_path / "whole" / "s.gpkg", layer="segments")) > 30_000

    small = {"cut_px": 512, "drawn_px": 700}
    cut("small", *THREADS, **small, half_of="segment")
    (folder,) = (tmp_path / "small").glob(".segment-*")
    assert 18 <= len(list(folder.glob("*.tif"))) < 36
    cut("small", *LOCAL, **small)
    assert bytes_of("small") == whole

    large = {"cut_px": 2048, "drawn_px": 3000}
    cut("shards", *LOCAL, "--shard", "2/2", **large)
    cut("shards", *SYNC, "--shard", "1/2", **large, half_of="segment")
    cut("shards", *THREADS, "--shard", "1/2", **large)
    sides = {f"{SEGMENT}:SIDE_PX": 2048, f"{SEGMENT}:DRAWN_PX": 3000}
    geoseg(["finish", str(tmp_path / "shards" / "s.gpkg"), *LOCAL], sides=sides)
    assert bytes_of("shards") == whole

    cut("drawn", *THREADS, drawn_px=700, dies={f"{SEGMENT}:in_order": 2})
    assert not (tmp_path / "drawn" / "s.gpkg").exists()
    cut("drawn", *SYNC, drawn_px=700)
    assert bytes_of("drawn") == whole


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A tiny SAM 2 that has learnt what is bright, so that what it finds are roofs, whole and cut, and specks."""
    pytest.importorskip("transformers")
    import shapely

    folder = tmp_path_factory.mktemp("sam")
    pixels, boxes = roofs(1840, step=280, sides=(64, 136))
    write_tif(folder / "scene.tif", pixels)
    shapes = [shapely.box(c, -r - h, c + w, -r) for r, c, h, w in boxes]
    shapes = shapely.transform(shapes, lambda xy: xy * 0.5 + (3e5, 3.06e6))
    gpd.GeoDataFrame({"review": ["edited"] * len(shapes)}, geometry=shapes, crs="EPSG:32645").to_file(
        folder / "roofs.gpkg"
    )
    learning = ("transformer", "upscale", "output_h", "iou", "mask_tokens", "obj_score", "pred_obj")
    write_sam_folder(folder / "saved", begins=tuple(f"mask_decoder.{part}" for part in learning), window=WINDOW)
    assert main(["import", str(folder / "saved"), "--family", "sam2", "-o", str(folder / "sam2")]) == 0
    said = {
        "job": "train_prompt", "name": "roofs", "start_from": "sam2", "embeddings": "cache",
        "data": [{"scene": "scene.tif", "labels": "roofs.gpkg"}],
        "split": {"validation": {"side": "east", "share": 0.3}, "buffer_px": 8},
        "schedule": {"epochs": 1, "steps_per_epoch": 120, "learning_rate": 2e-3, "prompts": 8},
        "validation_objects": 3,
    }  # fmt: skip
    (folder / "train.yaml").write_text(yaml.safe_dump(said))
    assert main(["train", str(folder / "train.yaml"), "-o", str(folder / "bright"), "-q"]) == 0
    return str(folder / "bright")


def test_everything_is_the_same_however_it_is_asked(model, scenes, tmp_path):
    sure = ["--spacing-px", "64", "--least-iou", "0.5", "--least-stability", "0.5"]

    def ask(name, *flags, blocks="strips", cache="cache", **kill):
        out = ["-m", model, "-o", str(tmp_path / name), "--embeddings", str(tmp_path / cache)]
        geoseg(["prompt", scenes[blocks], "--everything", *sure, *out, *flags], **kill)

    def bytes_of(name):
        assert sorted(p.name for p in (tmp_path / name).iterdir()) == ["objects.gpkg", "run.json"]
        return (tmp_path / name / "objects.gpkg").read_bytes()

    def embeddings(cache):
        return {path.name: path.read_bytes() for path in (tmp_path / cache).rglob("*.embedding")}

    ask("whole", *SYNC)
    whole, made = bytes_of("whole"), embeddings("cache")
    assert len(made) == 23**2

    ask("merged", *THREADS, dies={"geoseg.jobs.everything:merged_objects": 20})
    parts = sorted((tmp_path / "merged" / ".job" / "parts").rglob("*.answer"))
    assert len(parts) == len(made)
    assert_many_that_overlap(parts)
    ask("merged", *LOCAL)
    assert bytes_of("merged") == whole

    ask("cut", *LOCAL, blocks="blocks of 256", cache="own", half_of="prompt")
    kept = embeddings("own")
    assert len(made) // 2 <= len(kept) < len(made)
    assert len(list((tmp_path / "cut").rglob("*.answer"))) < len(made)
    ask("cut", *THREADS, blocks="blocks of 256", cache="own", half_of=None)
    assert bytes_of("cut") == whole
    assert embeddings("own").keys() == made.keys()

    for number, flags in ((3, SYNC), (1, LOCAL), (2, THREADS)):
        ask("shards", *flags, "--shard", f"{number}/3")
    geoseg(["finish", str(tmp_path / "shards"), *THREADS])
    assert bytes_of("shards") == whole

    shutil.rmtree(tmp_path / "cache")
    ask("bounded", *THREADS, "--cache", "1", blocks="blocks of 1024")
    assert bytes_of("bounded") == whole
    assert len(embeddings("cache")) <= 2


def assert_many_that_overlap(parts):
    found = Found.joined([Found.from_bytes(path.read_bytes()[32:]) for path in parts])
    links = everything.all_links(found.take(np.lexsort(found.table[:, 4:6].T[::-1])), everything.RULES)
    kinds = np.bincount(links[:, 2], minlength=3)
    assert len(found.table) > 1_000
    assert min(kinds[SAME], kinds[MEETS]) > 1_000, kinds
