"""Labels that a network contradicts: planted faults come first, and a bundle's doubts are polygons to be reviewed."""

import geopandas as gpd
import numpy as np
import pytest
import rasterio.features
import shapely
import yaml
from affine import Affine
from scipy.ndimage import gaussian_filter, label

from geoseg.cli import main
from geoseg.config.load import load_config
from geoseg.models.architectures import build_network
from geoseg.models.bundle import save_model
from geoseg.models.spec import Normalisation
from geoseg.training.audit.doubts import find_doubts
from geoseg.training.samples import load_samples
from geoseg.training.split_file import write_split

PITCH, SIDE = 36, 504


def town(seed):
    """Buildings of two classes: numbers and classes as they are, the same with 20 faults, and where these lie."""
    rng = np.random.default_rng(seed)
    ids, drawn = np.zeros((SIDE, SIDE), np.int32), np.zeros((SIDE, SIDE), np.int32)
    kind = np.zeros(SIDE * SIDE, np.int64)
    kind_drawn, planted = kind.copy(), {}
    places = [(r, c) for r in range(0, SIDE, PITCH) for c in range(0, SIDE, PITCH)]
    wrong = rng.permutation(len(places))[:20]
    for i, (r, c) in enumerate(places, 1):
        h, w = rng.integers(10, 20, 2)
        fault = ("missing", "invented", "swapped", "shifted")[list(wrong).index(i - 1) % 4] if i - 1 in wrong else None
        box = np.s_[r + 8 : r + 8 + h, c + 8 : c + 8 + w]
        kind[i] = kind_drawn[i] = rng.integers(1, 3)
        if fault != "invented":
            ids[box] = i
        if fault == "shifted":
            drawn[r + 8 - 6 : r + 2 + h, c + 8 + 7 : c + 15 + w] = i
        elif fault != "missing":
            drawn[box] = i
        if fault == "swapped":
            kind_drawn[i] = 3 - kind[i]
        if fault is not None:
            planted[shapely.box(c + 4, r + 4, c + 8 + w + 4, r + 8 + h + 4)] = fault
    return kind[ids], drawn, kind_drawn[drawn], planted


def answer(classes, seed):
    """What a network that is right but noisy, and at 15 places wrong, says: (3, H, W)."""
    rng = np.random.default_rng(seed)
    logits = np.stack([gaussian_filter((classes == k).astype(float), 1.5) for k in range(3)]) * 6
    logits += np.stack([gaussian_filter(rng.normal(0, 6, classes.shape), 3) for _ in range(3)])
    for r, c in rng.integers(0, SIDE - 8, (15, 2)):
        logits[rng.integers(3), r : r + 8, c : c + 8] += 3
    e = np.exp(logits - logits.max(0))
    return (e / e.sum(0)).astype(np.float32)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_of_20_planted_faults_16_are_among_the_first_40_doubts(seed):
    truth, drawn, classes, planted = town(seed)
    doubts = find_doubts(classes, drawn, answer(truth, seed), background=0)[:40]
    seen = [spot for spot in planted if any(d.shape.intersects(spot) for d in doubts[:40])]
    assert len(planted) == 20
    assert len(seen) >= 16
    told = {(planted[spot], d.kind) for spot in planted for d in doubts if spot.contains(d.shape.centroid)}
    assert {"missing", "invented", "swapped", "shifted"} <= {kind for kind, said in told if kind == said}


def test_sound_labels_are_hardly_doubted():
    truth, _, _, _ = town(0)
    assert [d for d in find_doubts(truth, label(truth)[0], answer(truth, 0), background=0) if d.score > 0.5] == []


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with a scene, its buildings, and a config; a bundle of its second fold that has learnt nothing."""
    folder = tmp_path_factory.mktemp("doubts")
    truth, _, _, _ = town(0)
    image = np.random.default_rng(0).normal(100, 20, (3, SIDE, SIDE)) + 60 * (truth > 0)
    with rasterio.open(
        folder / "scene.tif", "w", driver="GTiff", count=3, height=SIDE, width=SIDE, dtype="uint8", crs="EPSG:32645",
        transform=Affine(0.5, 0, 3e5, 0, -0.5, 3.06e6), photometric="RGB",
    ) as dst:  # fmt: skip
        dst.write(np.clip(image, 0, 255).astype(np.uint8))
        parts = rasterio.features.shapes((truth > 0).astype(np.uint8), transform=dst.transform)
        roofs = [shapely.geometry.shape(s) for s, v in parts if v]
    gpd.GeoDataFrame(geometry=roofs, crs=32645).to_file(folder / "roofs.gpkg")
    config = {
        "job": "train", "name": "t", "data": [{"scene": "scene.tif", "labels": "roofs.gpkg"}],
        "target": {"kind": "buildings"}, "bands": "red,green,blue",
        "arch": {"name": "compact-unet", "options": {"widths": [4, 8]}},
        "split": {"by": "blocks", "side_m": 60, "buffer_m": 10, "folds": 3},
        "schedule": {"epochs": 1, "steps_per_epoch": 2, "batch": 2, "crop_px": 32},
    }  # fmt: skip
    (folder / "train.yaml").write_text(yaml.safe_dump(config))
    spec = load_config(folder / "train.yaml").with_fold(1).spec
    model = spec.of_model(Normalisation(mean=(100,) * 3, std=(20,) * 3))
    model = model.model_copy(update={"training": {"config": spec.model_dump(mode="json", exclude={"data"})}})
    network = build_network(model.arch, in_channels=3, out_channels=model.out_channels)
    save_model(folder / "fold1", network, spec=model)
    write_split(folder / "split.gpkg", spec, load_samples(spec))
    return folder


def test_a_bundle_doubts_labels_of_the_ground_it_has_not_seen(trained, tmp_path, capfd):
    args = ["check-labels", str(trained / "train.yaml"), "-m", str(trained / "fold1"), "-o"]
    assert main([*args, str(tmp_path / "out")]) == 0
    assert "labels to review: " in capfd.readouterr().out
    doubts = gpd.read_file(tmp_path / "out" / "doubts.gpkg", layer="doubts")
    assert 0 < len(doubts) <= 20
    assert set(doubts.review) == {"unseen"}
    split = gpd.read_file(trained / "split.gpkg", layer="split")
    away = split[split.role != "train"].union_all()
    assert away.buffer(1e-5).contains(shapely.union_all(shapely.centroid(doubts.geometry.values)))
    config = trained / "other.yaml"
    config.write_text((trained / "train.yaml").read_text().replace("side_m: 60", "side_m: 50"))
    assert main(["check-labels", str(config), *args[2:], str(tmp_path / "other")]) == 2
    assert "trained with another split" in capfd.readouterr().err
