"""geoseg prompt --text: words become boxes or masks, window by window; what cannot be asked is said."""

import json
import re
import shutil

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import stopped
from conftest import GSD_M
from sam_folders import write_roofs, write_sam_folder
from scipy import ndimage
from words_folders import WINDOW, write_words_folder

from geoseg.cli import main
from geoseg.jobs import prompt, words
from geoseg.models.bundle import load_model
from geoseg.models.words import WordFinder
from geoseg.objects.found import SCORES, Detection
from geoseg.options.prompt import PromptOptions
from geoseg.options.run import EngineOptions
from geoseg.scenes.open import open_scene
from geoseg.values.box import Box

pytest.importorskip("transformers")
pytestmark = pytest.mark.nightly
SYNC = EngineOptions(engine="sync")
FAMILIES = ("grounding-dino", "sam3")


@pytest.fixture(scope="module")
def bundles(tmp_path_factory):
    folder = tmp_path_factory.mktemp("words")
    for family in FAMILIES:
        saved = write_words_folder(folder / f"{family}_saved", family)
        command = ["import", str(saved), "--family", family, "-o", str(folder / family), "--accept-licence"]
        assert main([*command, *(["--window-px", "96"] if family == "grounding-dino" else [])]) == 0
    saved = write_sam_folder(folder / "sam2_saved")
    assert main(["import", str(saved), "--family", "sam2", "-o", str(folder / "sam2")]) == 0
    return folder


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    return write_roofs(tmp_path_factory.mktemp("scene") / "scene.tif")


def test_boxes_of_a_window_are_those_of_transformers(bundles):
    """As GroundingDinoProcessor.post_process_grounded_object_detection has them; it tells the tokens, we the words."""
    import torch
    from transformers import GroundingDinoForObjectDetection

    network = GroundingDinoForObjectDetection.from_pretrained(bundles / "grounding-dino_saved").eval()
    finder = WordFinder(load_model(bundles / "grounding-dino"), "cpu")
    window = np.random.default_rng(1).normal(size=(1, 3, 96, 96)).astype(np.float32)
    ids = [101, 200, 201, 1012, 202, 1012, 102]  # [CLS] solar panel . building . [SEP]
    given, spans = finder.sentence(("Solar panel", "building"))
    assert given["input_ids"].tolist() == [ids]
    assert spans == [[1, 2], [4]]
    with torch.inference_mode():
        answer = network(
            pixel_values=torch.from_numpy(window),
            input_ids=torch.tensor([ids]),
            token_type_ids=torch.zeros(1, 7).long(),
            attention_mask=torch.ones(1, 7).long(),
        )
    chance = torch.sigmoid(answer.logits[0, :, :7])
    of_words = torch.stack([chance[:, [1, 2]].max(1).values, chance[:, 4]], 1)
    least = float(of_words.max(1).values.median())
    found = finder.find(window, ("solar panel", "building"), least)
    kept = torch.nonzero(of_words.max(1).values >= least).flatten().tolist()
    assert 5 < len(found) <= len(kept)
    scores = sorted(int(SCORES * float(of_words[i].max())) for i in kept)
    assert sorted(one.score for one in found)[-1] == pytest.approx(scores[-1], abs=2)
    best, top = max(found, key=lambda one: one.score), max(kept, key=lambda i: float(of_words[i].max()))
    assert best.class_id == int(of_words[top].argmax()) + 1
    x, y, w, h = (answer.pred_boxes[0, top] * 96).tolist()
    box = Box(int(np.floor(y - h / 2)), int(np.floor(x - w / 2)), int(np.ceil(y + h / 2)), int(np.ceil(x + w / 2)))
    assert best.box == box.clip(Box(0, 0, 96, 96))


def test_masks_of_a_window_are_those_of_transformers(bundles):
    import torch
    from transformers import Sam3Model

    network = Sam3Model.from_pretrained(bundles / "sam3_saved").eval()
    finder = WordFinder(load_model(bundles / "sam3"), "cpu")
    window = np.random.default_rng(1).normal(size=(1, 3, WINDOW, WINDOW)).astype(np.float32)
    ids = [98, 13, 99] + [99] * 29
    mask = [1] * 3 + [0] * 29
    with torch.inference_mode():
        answer = network(
            pixel_values=torch.from_numpy(window), input_ids=torch.tensor([ids]), attention_mask=torch.tensor([mask])
        )
        full = torch.nn.functional.interpolate(answer.pred_masks, (WINDOW, WINDOW), mode="bilinear")[0] > 0
    scores = torch.sigmoid(answer.pred_logits[0]) * torch.sigmoid(answer.presence_logits.flatten()[0])
    found = finder.find(window, ("roof",), 0.0)
    wanted = [(int(SCORES * float(s)), int(m.sum())) for s, m in zip(scores, full, strict=True) if m.any()]
    assert len(found) == len(wanted) > 3
    for one, (score, pixels) in zip(found, wanted, strict=True):
        assert one.score == pytest.approx(score, abs=2)
        assert int(one.mask.sum()) == pytest.approx(pixels, abs=4)


class Oracle:
    """Finds the bright houses that a window shows: they are panels."""

    def __init__(self, *, masks):
        self.masks = masks

    def find(self, pixels, asked, _least):
        bright, _ = ndimage.label(pixels[0, 0] > 1.2)
        for at in ndimage.find_objects(bright):
            own = bright[at] > 0
            if own.sum() > 30:
                box = Box(at[0].start, at[1].start, at[0].stop, at[1].stop)
                mask = own if self.masks else np.ones_like(own)
                yield Detection(box, mask, asked.index("panel") + 1, 60000 - box.row0)


@pytest.fixture
def oracle(monkeypatch):
    monkeypatch.setattr(words, "_finder", lambda job: Oracle(masks=job.spec.arch.name == "sam3"))


def test_every_house_is_found_once_with_its_word(scene, bundles, oracle, tmp_path):
    with rasterio.open(scene) as src:
        houses = ndimage.label(src.read(1) > 130)[0]
    options = PromptOptions(text="building, panel", embeddings=str(tmp_path))
    found = words.find(open_scene(scene), bundles / "sam3", options=options, run=SYNC)
    assert len(found.objects) == houses.max() == 4
    assert [one.pixels for one in found.objects] == [18 * 22] * 4
    assert {one.class_name for one in found.objects} == {"panel"}
    assert all(0.8 < one.score < 1 for one in found.objects)
    threads = EngineOptions(engine="threads", lanes=2)
    assert words.find(open_scene(scene), bundles / "sam3", options=options, run=threads).objects == found.objects


def test_boxes_of_words_are_asked_of_sam(scene, bundles, oracle, tmp_path):
    out, more = tmp_path / "out", ["--embeddings", str(tmp_path / "cache"), "--engine", "sync", "-q"]
    ask = ["prompt", scene, "--text", "panel", "-m", str(bundles / "sam2"), "-o", str(out), *more]
    assert main([*ask, "--detector", str(bundles / "grounding-dino")]) == 0
    frame = gpd.read_file(out / "objects.gpkg", layer="objects")
    assert frame["object"].tolist() == ["1", "2", "3", "4"]
    assert set(frame["class"]) == {"panel"}
    assert frame["score"].between(0.8, 1).all()
    record = json.loads((out / "run.json").read_text())
    assert record["config"]["options"]["text"] == "panel"
    box = [(30, 20), (52, 38)]
    asked = gpd.GeoDataFrame({"object": ["1"]}, geometry=gpd.GeoSeries.from_wkt([_box_wkt(*box)]), crs="EPSG:32645")
    asked.to_file(tmp_path / "box.gpkg")
    assert main(["prompt", scene, str(tmp_path / "box.gpkg"), *ask[4:6], "-o", str(tmp_path / "one"), *more]) == 0
    one = gpd.read_file(tmp_path / "one" / "objects.gpkg", layer="objects")
    assert one["pixels"][0] == frame["pixels"][0], "the same mask as by a box that is drawn"


def _box_wkt(first, last):
    (x0, y0), (x1, y1) = ((3e5 + x * GSD_M, 3.06e6 - y * GSD_M) for x, y in (first, last))
    return f"POLYGON (({x0} {y0}, {x1} {y0}, {x1} {y1}, {x0} {y1}, {x0} {y0}))"


def test_what_cannot_be_found_is_said(scene, bundles, tmp_path, capsys):
    out = ["-o", str(tmp_path / "out"), "-q", "--engine", "sync", "--embeddings", str(tmp_path / "cache")]
    sam2, sam3, dino = (str(bundles / name) for name in ("sam2", "sam3", "grounding-dino"))
    for flags, code, message in (
        (["--text", "roof", "-m", sam2], 2, "knows no words; name a bundle of Grounding DINO"),
        (["--text", "roof", "-m", sam2, "--detector", sam2], 4, "finds no words"),
        (["--text", "roof", "-m", sam3, "--detector", dino], 2, "finds words itself"),
        (["--text", "roof, Roof", "-m", sam3], 2, "each once, with commas"),
        (["--text", "roof", "-m", sam3, "--least-score", "1"], 3, "nothing is found of roof"),
        (["--text", "roof", "-m", dino], 2, "finds boxes; name it as --detector"),
        ([scene, "-m", sam3], 4, "finds words and takes no other prompts"),
        (["--text", "roof", "--everything", "-m", sam3], 2, "text: goes without everything"),
        (["--text", "roof", "-m", sam3, "--max-runtime", "0.001s"], 75, "the same command goes on"),
    ):
        assert main(["prompt", scene, *flags, *out]) == code, flags
        assert message in capsys.readouterr().err
        assert (tmp_path / "out").exists() == (code == 75), flags
    assert not (tmp_path / "out" / "objects.gpkg").exists()
    capsys.readouterr()
    assert main(["prompt", scene, "--text", "roof", "-m", sam3, *out[:3], "--dry-run"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan["window_px"] == WINDOW
    each = {"job": "prompt", "model": sam3, "options": {"text": "roof"}}
    batch = {"job": "batch", "scenes": scene, "out": str(tmp_path / "batch"), "each": each}
    (tmp_path / "batch.yaml").write_text(json.dumps(batch))
    assert main(["batch", str(tmp_path / "batch.yaml"), "-q", "--dry-run"]) == 0
    sums = json.loads(capsys.readouterr().out)["sums"]
    assert (sums["scenes"], sums["windows"]) == ({"to run": 1}, plan["windows"])
    assert main(["predict", scene, "-m", dino, "-o", str(tmp_path / "map"), "-q"]) == 4
    assert "use geoseg prompt" in capsys.readouterr().err


@pytest.mark.parametrize("family", FAMILIES)
def test_a_run_that_was_killed_goes_on_and_shards_give_its_bytes(scene, bundles, oracle, tmp_path, monkeypatch, family):
    own = ["--detector", str(bundles / family), "-m", str(bundles / "sam2")]
    ask = ["prompt", scene, "--text", "panel", *(own if family == "grounding-dino" else ["-m", str(bundles / family)])]
    ask += ["--embeddings", str(tmp_path / "cache"), "--engine", "sync", "-q"]
    assert main([*ask, "-o", str(tmp_path / "whole")]) == 0
    whole = (tmp_path / "whole" / "objects.gpkg").read_bytes()
    seen, answered, out = words._seen, prompt._answered, tmp_path / "out"
    count = len([*(tmp_path / "cache").rglob("*.embedding")])
    done = []
    for place, name, call, at in ((words, "_seen", seen, 4), (prompt, "_answered", answered, count // 2)):
        if name == "_answered" and family == "sam3":
            continue
        done.clear()
        with monkeypatch.context() as patch:
            patch.setattr(place, name, stopped.after(at, call, done))
            assert main([*ask, "-o", str(out)]) == 130
        assert len(done) == at > 0
        parts = sorted((out / ".job" / "parts").rglob("*.answer"), key=lambda part: part.stat().st_mtime_ns)
        parts[-1].write_bytes(parts[-1].read_bytes()[:-3])  # as a disk that lost power leaves it
    again = []
    monkeypatch.setattr(place, name, lambda *given: again.append(given[-1].window) or call(*given))
    assert main([*ask, "-o", str(out)]) == 0
    assert {*again} & {*done} <= {done[-1]}
    assert [p.name for p in sorted(out.iterdir())] == ["objects.gpkg", "run.json"]
    assert (out / "objects.gpkg").read_bytes() == whole
    shards = tmp_path / "shards"
    for number in ("2/2", "1/2"):
        assert main(["finish", str(shards), "-q"]) == (3 if number == "2/2" else 7)
        assert main([*ask, "-o", str(shards), "--shard", number]) == 0
        assert [p.name for p in shards.iterdir()] == [".job"]
    assert main(["finish", str(shards), "-q", "--engine", "sync"]) == 0
    assert (shards / "objects.gpkg").read_bytes() == whole


def _spoilt(folder):
    (folder / "tokenizer.json").write_text("{}")


@pytest.mark.parametrize(
    ("family", "change", "message"),
    [
        ("grounding-dino", lambda f: (f / "tokenizer.json").unlink(), "no tokenizer.json"),
        ("grounding-dino", _spoilt, "no tokenizer that can be read"),
        ("grounding-dino", lambda f: (f / "preprocessor_config.json").unlink(), "image_mean is missing"),
        ("grounding-dino", lambda f: (f / "model.safetensors").rename(f / "model.bin"), "pickles, which run code"),
        ("sam3", lambda f: None, "no military use, .*--accept-licence"),
    ],
)
def test_folders_that_find_no_words_are_refused(bundles, tmp_path, capsys, family, change, message):
    folder = shutil.copytree(bundles / f"{family}_saved", tmp_path / "saved")
    change(folder)
    assert main(["import", str(folder), "--family", family, "-o", str(tmp_path / "made")]) == 4
    assert re.search(message, capsys.readouterr().err)
    assert not (tmp_path / "made").exists()


def test_a_tokenizer_of_another_bundle_is_refused(scene, bundles, tmp_path, capsys):
    folder = shutil.copytree(bundles / "sam3", tmp_path / "sam3")
    content = (folder / "tokenizer.json").read_text()
    (folder / "tokenizer.json").write_text(
        content.replace('"roof": 13', '"roof": 14').replace('"roof":13', '"roof":14')
    )
    assert main(["prompt", scene, "--text", "roof", "-m", str(folder), "-o", str(tmp_path / "out"), "-q"]) == 4
    assert "sha256 differs" in capsys.readouterr().err
