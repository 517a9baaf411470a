"""A config from data: what belongs together, what it holds, what follows, and that a training takes it."""

from dataclasses import replace
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import shapely
from conftest import write_tif

from geoseg.cli import main
from geoseg.config.load import load_config
from geoseg.errors import ConfigError, InputError
from geoseg.training.autoconfig.fingerprint import fingerprint
from geoseg.training.autoconfig.pairs import pair
from geoseg.training.autoconfig.rules import Means, choices
from geoseg.training.samples import load_samples
from geoseg.training.start import class_counts

SIDE = 96


def scene(path, seed=0, bands=3, dtype=np.uint8):
    made = np.random.default_rng(seed)
    return write_tif(path, made.integers(1, 200, (bands, SIDE, SIDE)).astype(dtype))


def classes(path, rare=0.2, values=(1, 2, 3)):
    ids = np.full((SIDE, SIDE), values[0], np.uint8)
    ids[:, SIDE // 2 :] = values[1]
    ids[10 : 10 + round(rare * SIDE), 40:60] = values[2]
    return write_tif(path, ids[None])


def polygons(path, columns, count=12):
    boxes = [shapely.box(3e5 + 4 * i, 3.06e6 - 30, 3e5 + 4 * i + 2, 3.06e6 - 20 - i % 3) for i in range(count)]
    gpd.GeoDataFrame(columns, geometry=boxes, crs="EPSG:32645").to_file(path)
    return path


def seen(folder, **how):
    pairs = pair(folder, scenes=how.pop("scenes", None), labels=how.pop("labels", None))
    return fingerprint(folder, pairs, **{"column": None, "kind": None, **how})


def chosen(found, *, gpu=False, minutes=10, seconds=0.5):
    return {c.key: c.value for c in choices(found, Means(minutes, gpu, lambda *_: seconds))}


def test_files_pair_by_names_by_patterns_and_by_folders(tmp_path):
    for name in "ab":
        scene(tmp_path / f"{name}_img.tif")
        classes(tmp_path / f"{name}_lc.tif")
    by_names = pair(tmp_path, scenes=None, labels=None)
    assert [(p.scene, p.labels) for p in by_names.each] == [("a_img.tif", "a_lc.tif"), ("b_img.tif", "b_lc.tif")]
    assert pair(tmp_path, scenes="*_img.tif", labels="*_lc.tif").each == by_names.each
    one = pair(tmp_path, scenes="*_img.tif", labels="a_lc.tif")
    assert {p.labels for p in one.each} == {"a_lc.tif"}
    classes(tmp_path / "a_mask.tif")
    with pytest.raises(ConfigError, match=r"a_img\.tif: which labels are its own\? a_lc\.tif, a_mask\.tif"):
        pair(tmp_path, scenes=None, labels=None)
    for part in ("images", "masks"):
        (tmp_path / part).mkdir()
    scene(tmp_path / "images" / "x.tif")
    classes(tmp_path / "masks" / "x.tif")
    assert pair(tmp_path, scenes="images", labels="masks").each[0].labels == str(Path("masks") / "x.tif")
    with pytest.raises(InputError, match="no scene of"):
        pair(tmp_path, scenes="*_img.tif", labels="masks")
    with pytest.raises(InputError, match="no such folder"):
        pair(tmp_path / "gone", scenes=None, labels=None)


def test_a_rare_class_gets_focal_loss_and_weights_and_few_pixels_a_small_network(tmp_path):
    scene(tmp_path / "s.tif")
    classes(tmp_path / "s_lc.tif", rare=0.03)
    found = seen(tmp_path)
    assert found.shares["class 3"] == pytest.approx(3 * 20 / SIDE**2, rel=0.01)
    got = chosen(found)
    assert got["loss"]["focal"] == 0.5
    assert got["schedule.class_weights"] == "auto"
    assert got["arch"]["name"] == "pixel-mlp"
    assert chosen(replace(found, labelled_px=50_000))["arch"]["name"] == "compact-unet"
    classes(tmp_path / "s_lc.tif", rare=0.8)
    even = chosen(seen(tmp_path))
    assert "focal" not in even["loss"]


def test_few_labels_get_a_split_that_leaves_classes_to_train_and_to_watch(tmp_path):
    rng = np.random.default_rng(0)
    write_tif(tmp_path / "s.tif", rng.integers(1, 200, (3, 200, 200)).astype(np.uint8))
    spots = rng.uniform(0, 97, (24, 2))
    boxes = [shapely.box(3e5 + x, 3.06e6 - y - 3, 3e5 + x + 3, 3.06e6 - y) for x, y in spots]
    frame = gpd.GeoDataFrame({"kind": ["field", "wood"] * 12}, geometry=boxes, crs="EPSG:32645")
    frame.to_file(tmp_path / "t.gpkg")
    config = tmp_path / "c.yaml"
    asked = ["autoconfig", str(tmp_path), "-o", str(config), "--minutes", "0.01", "--overwrite", "-q"]
    assert main(asked) == 0
    spec = load_config(config).spec
    assert spec.split.side_m < 64
    counts = class_counts(spec, load_samples(spec))
    assert all(min(of_role.values()) > 0 for of_role in counts.values())
    frame.iloc[:2].to_file(tmp_path / "t.gpkg")
    assert main(asked) == 3
    assert load_config(config).spec == spec  # as it was


def test_time_decides_epochs_and_a_gpu_larger_networks(tmp_path):
    scene(tmp_path / "s.tif")
    classes(tmp_path / "s_lc.tif")
    found = seen(tmp_path)
    slow, fast = chosen(found, seconds=5.0), chosen(found, seconds=0.05)
    assert slow["schedule.epochs"] < fast["schedule.epochs"]
    assert slow["schedule.epochs"] * slow["schedule.steps_per_epoch"] * 5 * 1.3 <= 600
    large = replace(found, labelled_px=10**8)
    assert chosen(large)["arch"] == {"name": "compact-unet", "options": {"widths": [24, 48, 96, 160]}}
    assert chosen(large, gpu=True)["arch"]["options"] == {"encoder_name": "resnet50"}


def test_targets_are_found_or_asked_for(tmp_path):
    scene(tmp_path / "s.tif")
    file = polygons(tmp_path / "t.gpkg", {"kind": ["field", "wood"] * 6, "code": [1, 2] * 6, "number": range(12)})
    found = seen(tmp_path)
    assert found.target.column == "kind"
    assert [c.name for c in found.target.classes] == ["field", "wood"]
    assert seen(tmp_path, kind="buildings").target.kind == "buildings"
    polygons(file, {"kind": ["field", "wood"] * 6, "use": ["a", "b", "c"] * 4})
    with pytest.raises(ConfigError, match=r"which column holds the class\? Name it with --column \(kind, use\)"):
        seen(tmp_path)
    assert len(seen(tmp_path, column="use").target.classes) == 3
    polygons(file, {"number": range(12)})
    assert seen(tmp_path).target.kind == "buildings"
    polygons(file, {"kind": ["wood"] * 12})
    with pytest.raises(InputError, match="1 different values; 2 to 40 are classes"):
        seen(tmp_path, column="kind")


def test_values_below_zero_are_void_and_two_values_a_mask(tmp_path):
    scene(tmp_path / "s.tif")
    ids = np.repeat([[-1, 0, 1, 1]], SIDE, 0).repeat(SIDE // 4, 1).astype(np.int16)
    write_tif(tmp_path / "s_lc.tif", ids[None])
    found = seen(tmp_path)
    assert found.target.values == {"0": 1, "1": 2, "-1": None}
    assert found.shares == pytest.approx({"background": 1 / 3, "foreground": 2 / 3})
    write_tif(tmp_path / "s_buildings.tif", (ids[None] > 0).astype(np.uint8))
    (tmp_path / "s_lc.tif").unlink()
    assert seen(tmp_path).target.kind == "buildings"


def test_what_cannot_be_learnt_from_is_refused(tmp_path):
    scene(tmp_path / "s.tif")
    classes(tmp_path / "s_lc.tif", values=(1, 1, 1))
    with pytest.raises(InputError, match="all labels say 'class 1'"):
        seen(tmp_path)
    scene(tmp_path / "t.tif", bands=5)
    classes(tmp_path / "t_lc.tif")
    with pytest.raises(ConfigError, match=r"s\.tif and t\.tif have other bands"):
        seen(tmp_path)
    assert main(["autoconfig", str(tmp_path), "-o", str(tmp_path / "c.txt")]) == 2
    assert main(["autoconfig", str(tmp_path / "gone"), "-o", str(tmp_path / "c.yaml")]) == 3


def test_a_config_says_why_and_trains(capsys, tmp_path):
    for i in range(5):
        scene(tmp_path / f"{i}_img.tif", seed=i)
        classes(tmp_path / f"{i}_lc.tif", values=(0, 4, 7))
    config = tmp_path / "c.yaml"
    argv = ["autoconfig", str(tmp_path), "--scenes", "*_img.tif", "--labels", "*_lc.tif", "-o", str(config)]
    assert main([*argv, "--minutes", "0.01"]) == 0
    assert "5 pairs of *_img.tif and *_lc.tif" in capsys.readouterr().out
    loaded = load_config(config)
    assert loaded.split.by == "scene"
    assert loaded.target.values == {"0": 1, "4": 2, "7": 3}
    values = [
        line for line in config.read_text().splitlines() if line.startswith(("gsd_m", "arch", "loss", "  epochs"))
    ]
    assert all("  # " in line for line in values)
    assert main(argv) == 5
    quick = config.read_text().replace("steps_per_epoch: 20", "steps_per_epoch: 2").replace("batch: 8", "batch: 2")
    config.write_text(quick + "window_px: 128\n")
    assert main(["train", str(config), "-o", str(tmp_path / "model"), "-q"]) == 0
    assert (tmp_path / "model" / "model.json").exists()
