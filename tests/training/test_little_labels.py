"""What little labels teach on a toy: boxes alone, boxes and scribbles that became masks, another model's answers."""

import geopandas as gpd
import numpy as np
import pytest
import shapely
from conftest import write_tif
from rasterio.features import rasterize

from geoseg.cli import main
from geoseg.models.bundle import save_model
from geoseg.training.loop import fit
from geoseg.training.samples import load_samples
from geoseg.training.spec import TrainSpec

LEFT, TOP, GSD_M, SIDE = 3e5, 3.06e6, 0.5, 384


def write_ground(folder, name, seed):
    """Write ellipses and triangles on ground of another, uneven colour; and them and their boxes as polygons."""
    rng = np.random.default_rng(seed)
    shapes = []
    for row in range(32, SIDE, 64):
        for col in range(32, SIDE, 64):
            r, c, h, w = *(np.array([row, col]) + rng.integers(-10, 10, 2)), *rng.uniform(10, 20, 2)
            if rng.random() < 0.5:
                shapes.append(shapely.affinity.scale(shapely.Point(c, r).buffer(1), w, h))
            else:
                shapes.append(shapely.Polygon([(c - w, r + h), (c + w, r + h), (c + rng.uniform(-w, w), r - h)]))
    place = (GSD_M, 0, 0, -GSD_M, LEFT, TOP)
    shapes = [shapely.affinity.affine_transform(shape, place) for shape in shapes]
    inside = rasterize(shapes, (SIDE, SIDE), transform=[GSD_M, 0, LEFT, 0, -GSD_M, TOP])
    uneven = np.kron(rng.normal(0, 12, (3, SIDE // 32, SIDE // 32)), np.ones((32, 32)))
    pixels = np.where(inside, np.array([150, 110, 90])[:, None, None], np.array([90, 105, 100])[:, None, None] + uneven)
    noisy = np.clip(pixels + rng.normal(0, 8, pixels.shape), 0, 255).astype(np.uint8)
    write_tif(folder / f"{name}.tif", noisy, photometric="RGB")
    for kind, drawn in (("masks", shapes), ("boxes", [shapely.envelope(shape) for shape in shapes])):
        gpd.GeoDataFrame({"kind": "thing"}, index=range(len(drawn)), geometry=drawn, crs=32645).to_file(
            folder / f"{name}_{kind}.gpkg"
        )
    write_scribbles(folder / f"{name}_scribbles.gpkg", shapes)


def write_scribbles(path, shapes):
    """Write a stroke through the middle of each shape, and strokes on the ground between their rows."""
    middles = [shapely.centroid(shape) for shape in shapes]
    strokes = [shapely.LineString([(p.x - 6 * GSD_M, p.y), (p.x + 6 * GSD_M, p.y)]) for p in middles]
    right, rows = LEFT + (SIDE - 1) * GSD_M, [TOP - row * GSD_M for row in range(1, SIDE, 64)]
    between = [shapely.LineString([(LEFT + GSD_M, y), (right, y)]) for y in rows]
    kinds = ["object"] * len(strokes) + ["background"] * len(between)
    gpd.GeoDataFrame({"kind": kinds}, geometry=strokes + between, crs=32645).to_file(path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three scenes: a to learn of, b to be scored on, c without labels for whoever learns of another model."""
    out = tmp_path_factory.mktemp("toy")
    for seed, name in enumerate("abc"):
        write_ground(out, name, seed)
    return out


def trained(folder, scene="a", labels="a_masks.gpkg", widths=(8, 16, 24), **keys):
    """Train on one scene's labels and judge by the masks of another."""
    classes = [{"id": i, "name": n, "color": "#808080"} for i, n in ((1, "background"), (2, "object"))]
    target = {"kind": "classes", "column": "kind", "values": {"thing": 2}, "elsewhere": 1, "classes": classes}
    spec = TrainSpec.model_validate(
        {
            "name": "toy", "bands": "red,green,blue", "gsd_m": GSD_M, "target": target,
            "data": [
                {"scene": f"{scene}.tif", "labels": labels, "use": "train"},
                {"scene": "b.tif", "labels": "b_masks.gpkg", "use": "validation"},
            ],
            "arch": {"name": "compact-unet", "options": {"widths": widths}},
            "augmentation": {"rotate": False, "scale": [1, 1]},
            "schedule": {"epochs": 1, "steps_per_epoch": 100, "batch": 4, "crop_px": 128, "learning_rate": 5e-3,
                         "ema": 0.95, "precision": "fp32", "keep": "last"},
            "window_px": 128, "margin_px": 16, "ramp_px": 32, **keys,
        }
    ).resolve(folder)  # fmt: skip
    fitted = fit(spec, load_samples(spec))
    return fitted, fitted.epochs[-1].iou[1]


@pytest.fixture(scope="module")
def by_masks(folder):
    """The network that masks have taught, and its IoU."""
    return trained(folder)


def labelled(file):
    return [{"file": file, "values": {1: 1, 2: 2}}]


@pytest.mark.nightly
def test_boxes_alone_reach_nine_tenths_of_masks(folder, by_masks):
    _, filled = trained(folder, labels="a_boxes.gpkg")
    _, boxes = trained(folder, labels="a_boxes.gpkg", loss={"boxinst": {"classes": ["object"]}})
    print(f"IoU of masks {by_masks[1]:.3f}, of filled boxes {filled:.3f}, of boxinst {boxes:.3f}")
    assert boxes > 0.9 * by_masks[1]
    assert boxes > filled


@pytest.mark.nightly
def test_boxes_that_became_masks_reach_nine_tenths_of_masks(folder, by_masks):
    weak = ["labels", "weak", str(folder / "a.tif"), "--marks", str(folder / "a_boxes.gpkg")]
    assert main([*weak, "-o", str(folder / "weak.tif")]) == 0
    _, found = trained(folder, labels=labelled("weak.tif"))
    print(f"IoU of masks {by_masks[1]:.3f}, of GrabCut in boxes {found:.3f}")
    assert found > 0.9 * by_masks[1]


@pytest.mark.nightly
def test_scribbles_that_became_masks_reach_nine_tenths_of_masks(folder, by_masks):
    weak = ["labels", "weak", str(folder / "a.tif"), "--marks", str(folder / "a_scribbles.gpkg"), "--column", "kind"]
    assert main([*weak, "-o", str(folder / "walked.tif")]) == 0
    _, found = trained(folder, labels=labelled("walked.tif"))
    print(f"IoU of masks {by_masks[1]:.3f}, of scribbles {found:.3f}")
    assert found > 0.9 * by_masks[1]


@pytest.mark.nightly
def test_a_tenth_of_the_parameters_learns_of_a_teacher_to_within_003(folder, by_masks):
    teacher, iou = by_masks
    save_model(folder / "teacher", teacher.network, spec=teacher.spec)
    student, learnt = trained(folder, scene="c", labels=(), widths=(3, 4, 6), teacher=str(folder / "teacher"))
    sizes = [one.spec.training["parameters"] for one in (teacher, student)]
    print(f"IoU of the teacher {iou:.3f}, of the student {learnt:.3f}; parameters {sizes}")
    assert 10 * sizes[1] <= sizes[0]
    assert learnt > iou - 0.03
