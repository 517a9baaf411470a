"""Training from boxes alone: a toy whose objects fill their boxes in part."""

import geopandas as gpd
import numpy as np
import pytest
import shapely
from conftest import write_tif
from rasterio.features import rasterize

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


def iou_of(folder, labels, loss):
    classes = [{"id": i, "name": n, "color": "#808080"} for i, n in ((1, "ground"), (2, "thing"))]
    spec = TrainSpec.model_validate(
        {
            "name": "toy", "bands": "red,green,blue", "gsd_m": GSD_M, "loss": loss,
            "target": {"kind": "classes", "column": "kind", "values": {"thing": 2}, "elsewhere": 1, "classes": classes},
            "data": [
                {"scene": "a.tif", "labels": f"a_{labels}.gpkg", "use": "train"},
                {"scene": "b.tif", "labels": "b_masks.gpkg", "use": "validation"},
            ],
            "arch": {"name": "compact-unet", "options": {"widths": [8, 16, 24]}},
            "augmentation": {"rotate": False, "scale": [1, 1]},
            "schedule": {"epochs": 1, "steps_per_epoch": 100, "batch": 4, "crop_px": 128, "learning_rate": 5e-3,
                         "ema": 0.95, "precision": "fp32", "keep": "last"},
        }
    ).resolve(folder)  # fmt: skip
    return fit(spec, load_samples(spec)).epochs[-1].iou[1]


@pytest.mark.nightly
def test_boxes_alone_reach_nine_tenths_of_masks(tmp_path):
    for seed, name in enumerate("ab"):
        write_ground(tmp_path, name, seed)
    masks = iou_of(tmp_path, "masks", {"cross-entropy": 0.5, "dice": 0.5})
    filled = iou_of(tmp_path, "boxes", {"cross-entropy": 0.5, "dice": 0.5})
    boxes = iou_of(tmp_path, "boxes", {"boxinst": {"classes": ["thing"]}})
    print(f"IoU of masks {masks:.3f}, of filled boxes {filled:.3f}, of boxinst {boxes:.3f}")
    assert boxes > 0.9 * masks
    assert boxes > filled
