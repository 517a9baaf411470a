"""geoseg prompt --follow: one object through several dates; and folders of SAM 2.1, which are saved as video models."""

import json

import geopandas as gpd
import numpy as np
import pytest
import shapely
import stopped
from conftest import GSD_M, write_tif
from sam_folders import WINDOW, write_sam_folder

import geoseg
from geoseg.cli import main
from geoseg.jobs import follow
from geoseg.models.bundle import load_model
from geoseg.models.following import Followed, Following
from geoseg.models.promptable import Asked
from geoseg.options.prompt import PromptOptions
from geoseg.options.run import EngineOptions

pytest.importorskip("transformers")


def on_map(x, y):
    return 3e5 + x * GSD_M, 3.06e6 - y * GSD_M


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A folder that is saved as those of SAM 2.1 are, and what it is imported as for clicks."""
    folder = tmp_path_factory.mktemp("video")
    write_sam_folder(folder / "saved", "sam2-video")
    assert main(["import", str(folder / "saved"), "--family", "sam2", "-o", str(folder / "sam2")]) == 0
    return folder


@pytest.fixture(scope="module")
def bundles(published):
    """The same, with what follows objects."""
    made = published / "sam2-video"
    assert main(["import", str(published / "saved"), "--family", "sam2-video", "-o", str(made)]) == 0
    return published


@pytest.fixture(scope="module")
def dates(tmp_path_factory):
    """Three dates of one place: a house at column 30, at column 34, and gone; then one of another grid."""
    folder = tmp_path_factory.mktemp("dates")
    for month, col in (("may", 30), ("june", 34), ("july", None)):
        pixels = np.random.default_rng(0).integers(40, 90, (3, 96, 112)).astype(np.uint8)
        if col is not None:
            pixels[:, 20:38, col : col + 16] += 120
        if month == "july":
            pixels[:, :, :20] = 0
        write_tif(folder / f"{month}.tif", pixels, nodata=0)
    write_tif(folder / "other.tif", np.full((3, 96, 100), 50, np.uint8))
    rows = [("house", shapely.Point(on_map(36.5, 30.5))), ("field", shapely.box(*on_map(60, 60), *on_map(80, 40)))]
    gpd.GeoDataFrame(rows, columns=["object", "geometry"], crs="EPSG:32645").to_file(folder / "clicks.gpkg")
    return folder


def test_a_folder_of_sam_2_1_gives_the_masks_of_transformers_own_processor(published, dates, tmp_path):
    import rasterio
    import torch
    from transformers import Sam2ImageProcessor, Sam2Model, Sam2Processor

    network = Sam2Model.from_pretrained(published / "saved").eval()
    images = Sam2ImageProcessor(
        size={"height": WINDOW, "width": WINDOW}, image_mean=[0.3] * 3, image_std=[0.2] * 3, do_convert_rgb=False
    )
    processor = Sam2Processor(images, target_size=WINDOW)
    with rasterio.open(dates / "may.tif") as src:
        pixels = src.read(window=((0, WINDOW), (0, WINDOW)))
    given = processor(
        images=pixels.transpose(1, 2, 0), input_points=[[[[36.0, 30.0]]]], input_labels=[[[1]]], return_tensors="pt"
    )
    with torch.inference_mode():
        answer = network(**given)
    (masks,) = processor.post_process_masks(answer.pred_masks, given["original_sizes"])
    scores = answer.iou_scores[0, 0].clamp(0, 1).numpy()
    options = PromptOptions(embeddings=str(tmp_path), alternatives=True)
    found = geoseg.prompt(
        str(dates / "may.tif"), published / "sam2", points=[on_map(36.5, 30.5)], options=options,
        run=EngineOptions(engine="sync"),
    )  # fmt: skip
    order = np.argsort(-scores, kind="stable")
    counts = masks[0].sum((1, 2)).numpy()[order]
    assert (counts > 20).any()
    assert found["pixels"].to_numpy() == pytest.approx(counts, abs=4)
    assert found["predicted_iou"].to_numpy() == pytest.approx(scores[order], abs=0.01)


@pytest.mark.nightly
def test_an_object_is_followed_as_transformers_does_it(bundles):
    import torch
    from transformers import Sam2VideoModel
    from transformers.models.sam2_video.modeling_sam2_video import Sam2VideoInferenceSession

    network = Sam2VideoModel.from_pretrained(bundles / "saved").eval()
    frames = np.random.default_rng(0).normal(size=(3, 3, WINDOW, WINDOW)).astype(np.float32)
    session = Sam2VideoInferenceSession(
        video=torch.from_numpy(frames), video_height=WINDOW, video_width=WINDOW, dtype=torch.float32
    )
    number = session.obj_id_to_idx(1)
    session.add_point_inputs(
        number, 0, {"point_coords": torch.tensor([[[[36.0, 30.0]]]]), "point_labels": torch.ones(1, 1, 1).int()}
    )
    session.obj_with_new_inputs = [1]
    with torch.inference_mode():
        wanted = [network(inference_session=session, frame_idx=i) for i in range(3)]
    click = Asked(np.float32([[36.5, 30.5]]), np.int32([1]))
    other = Asked(np.empty((0, 2), np.float32), np.empty(0, np.int32), np.float32([10, 10, 30, 30]))
    following = Following(load_model(bundles / "sam2-video"), "cpu")
    alone = dict(following.follow([frame[None] for frame in frames], [click]))[0]
    both = dict(following.follow([frame[None] for frame in frames], [other, click]))[1]
    for one, again, answer in zip(alone, both, wanted, strict=True):
        logits = answer.pred_masks.reshape(1, 1, 16, 16)
        full = torch.nn.functional.interpolate(logits, (WINDOW, WINDOW), mode="bilinear")
        assert int(one.mask.sum()) == pytest.approx(int((full > 0).sum()), abs=4)
        assert np.array_equal(one.mask, again.mask)
        assert one.there == again.there


@pytest.mark.nightly
def test_every_object_has_a_row_a_date_and_gone_ones_say_so(bundles, dates, tmp_path, monkeypatch):
    class Oracle:
        """Knows the house by its brightness; of other objects it sees the first date alone."""

        def follow(self, seen, asked):
            for place, one in enumerate(asked):
                bright = [pixels[0, 0] > 1.2 for pixels in seen]
                field = [np.full((WINDOW, WINDOW), number == 0) for number in range(len(seen))]
                yield place, tuple(Followed(mask, 0.9) for mask in (field if one.box is not None else bright))

    scenes = [str(dates / f"{month}.tif") for month in ("may", "june", "july")]
    command = ["prompt", *scenes, str(dates / "clicks.gpkg"), "--follow", "-m", str(bundles / "sam2-video"), "-q"]
    command += ["--engine", "sync"]
    assert main([*command, "-o", str(tmp_path / "net")]) == 0
    rows = gpd.read_file(tmp_path / "net" / "objects.gpkg", layer="objects")
    assert rows["object"].tolist() == ["field"] * 3 + ["house"] * 3
    assert rows["date"].tolist() == ["may", "june", "july"] * 2
    assert set(rows["state"]) <= {"there", "gone"}
    monkeypatch.setattr(follow, "_network", lambda _: Oracle())
    assert main([*command, "-o", str(tmp_path / "out")]) == 0
    rows = gpd.read_file(tmp_path / "out" / "objects.gpkg", layer="objects").set_index(["object", "date"])
    assert rows.loc["house", "state"].tolist() == ["there", "there", "gone"]
    assert rows.loc["house", "pixels"].tolist() == [18 * 16, 18 * 16, 0]
    moved = rows.loc[("house", "june")].geometry.centroid.x - rows.loc[("house", "may")].geometry.centroid.x
    assert moved == pytest.approx(4 * GSD_M, abs=1e-6)
    assert rows.loc[("house", "july")].geometry is None
    assert rows.loc["field", "state"].tolist() == ["there", "gone", "gone"]
    again = tmp_path / "again"
    assert main(["run", str(tmp_path / "out" / "run.json"), "-o", str(again), "-q"]) == 0
    assert (again / "objects.gpkg").read_bytes() == (tmp_path / "out" / "objects.gpkg").read_bytes()
    assert json.loads((again / "run.json").read_text())["config"]["options"]["follow"] is True


@pytest.mark.nightly
def test_a_run_that_was_killed_goes_on_and_shards_give_its_bytes(bundles, dates, tmp_path, monkeypatch, capsys):
    rows = [(f"at {x} {y}", shapely.Point(on_map(x, y))) for x in (12.5, 90.5) for y in (12.5, 80.5)]
    clicks = str(tmp_path / "clicks.gpkg")
    gpd.GeoDataFrame(rows, columns=["object", "geometry"], crs="EPSG:32645").to_file(clicks)
    scenes = [str(dates / f"{month}.tif") for month in ("may", "june", "july")]
    ask = ["prompt", *scenes, clicks, "--follow", "-m", str(bundles / "sam2-video"), "-q", "--engine", "sync"]
    assert main([*ask, "-o", str(tmp_path / "whole")]) == 0
    whole, out = (tmp_path / "whole" / "objects.gpkg").read_bytes(), tmp_path / "out"
    assert not (tmp_path / "whole" / ".job").exists()
    followed, done, again = follow._followed, [], []
    with monkeypatch.context() as patch:
        patch.setattr(follow, "_followed", stopped.after(2, followed, done))
        assert main([*ask, "-o", str(out)]) == 130
    first, _ = sorted((out / ".job" / "parts").rglob("*.answer"))
    first.write_bytes(first.read_bytes()[:-3])  # as a disk that lost power leaves it
    monkeypatch.setattr(follow, "_followed", lambda *given: again.append(given[1].window) or followed(*given))
    assert main([*ask, "-o", str(out)]) == 0
    assert (len(again), len({*again} & {*done})) == (3, 1)
    assert sorted(p.name for p in out.iterdir()) == ["objects.gpkg", "run.json"]
    assert (out / "objects.gpkg").read_bytes() == whole
    other, shards = [*ask[:2], scenes[2], scenes[1], *ask[4:]], tmp_path / "shards"
    capsys.readouterr()
    assert main([*ask, "-o", str(shards), "--shard", "2/2"]) == 0
    assert "2 windows" in capsys.readouterr().out
    assert main(["finish", str(shards), "-q"]) == 7
    again.clear()
    assert main([*other, "-o", str(shards), "--shard", "2/2"]) == 0
    assert len(again) == 2, "answers of other dates are none of these"
    assert main([*ask, "-o", str(shards), "--shard", "1/2"]) == 0
    assert main(["finish", str(shards), "-q", "--engine", "sync"]) == 0
    assert (shards / "objects.gpkg").read_bytes() == whole


@pytest.mark.nightly
def test_what_cannot_be_followed_is_said(bundles, dates, tmp_path, capsys):
    may, june, other, clicks = (str(dates / name) for name in ("may.tif", "june.tif", "other.tif", "clicks.gpkg"))
    out = ["-o", str(tmp_path / "out"), "-q", "--engine", "sync"]
    for files, flags, model, code, message in (
        ([may, clicks], ["--follow"], "sam2-video", 3, "name those of two dates or more"),
        ([may, other, clicks], ["--follow"], "sam2-video", 3, "lies on another grid than may.tif"),
        ([may, may, clicks], ["--follow"], "sam2-video", 3, "two dates are called may"),
        ([may, other, clicks], ["--follow"], "sam2", 3, "lies on another grid"),
        ([may, june, clicks], ["--follow"], "sam2", 4, "import the folder with --family sam2-video"),
        ([may, clicks], [], "sam2-video", 4, "pass --follow and several scenes"),
        ([may, june, clicks], ["--follow", "--max-runtime", "0.001s"], "sam2-video", 75, "same command goes on"),
        ([may, may], ["--follow", "--everything"], "sam2-video", 2, "follow: goes with prompts"),
    ):
        assert main(["prompt", *files, *flags, "-m", str(bundles / model), *out]) == code, flags
        assert message in capsys.readouterr().err
    assert not (tmp_path / "out" / "objects.gpkg").exists()
    both = [f"2024-05-03={may}", f"2024-06-03={june}"]
    command = ["prompt", *both, clicks, "--follow", "-m", str(bundles / "sam2-video"), *out[:3], "--dry-run"]
    assert main(command) == 0
    assert json.loads(capsys.readouterr().out)["memory_bytes"] > 2**30
