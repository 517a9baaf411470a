"""Every polygon is as near to its contour as it promises, touching or not, and its columns tell the truth."""

import numpy as np
import pytest
import shapely
from affine import Affine
from scipy import ndimage

from geoseg.vector.fit.fit import AREA_CHANGE, LEAST_IOU, SIZE_SHARE, UNCHANGED
from geoseg.vector.footprints.extract import FootprintRules, draw_outlines
from geoseg.vector.ground import GroundFrame
from geoseg.vector.pixels.instances import label_instances

PIXEL_M = 0.5


def ground(seed, blob_px, *, size_px=180):
    """Probability and border bytes of blobs that touch in many places."""
    rng = np.random.default_rng(seed)
    smooth = ndimage.gaussian_filter(rng.standard_normal((2, size_px, size_px)), (0, blob_px, blob_px))
    smooth /= smooth.std(axis=(1, 2), keepdims=True)
    return (np.clip(130 + 90 * s, 1, 255).astype(np.uint8) for s in smooth)


def resolved(seed, blob_px, *, touching, **rules):
    probability, border = ground(seed, blob_px)
    labels = label_instances(probability, border) if touching else None
    frame = GroundFrame.of_metric(Affine(PIXEL_M, 0, 0, 0, -PIXEL_M, 0))
    return draw_outlines(probability, frame, FootprintRules(**rules), labels=labels).resolved()


@pytest.mark.parametrize("touching", [True, False])
@pytest.mark.parametrize("blob_px", [1.5, 3.0, 7.0])
@pytest.mark.parametrize("seed", range(3))
def test_every_polygon_is_within_its_bounds(seed, blob_px, touching):
    found = resolved(seed, blob_px, touching=touching)
    assert len(found) > 3
    assert found.merged == 0
    polygons, contours = found.polygons, found.contours
    shared = shapely.area(shapely.intersection(polygons, contours))
    iou = shared / shapely.area(shapely.union(polygons, contours))
    assert iou.min() >= LEAST_IOU - 1e-9
    assert np.abs(shapely.area(polygons) / shapely.area(contours) - 1).max() <= AREA_CHANGE + 1e-9
    xy, of = shapely.get_coordinates(contours, return_index=True)
    far_m = shapely.distance(shapely.points(xy), shapely.boundary(polygons)[of]) * PIXEL_M
    assert (far_m <= found.bound_m[of] + 1e-9).all()
    small = (iou < 0.85) | (shapely.area(contours) < 64)
    np.testing.assert_allclose(found.fit.iou_contour[small], iou[small])
    np.testing.assert_allclose(found.fit.iou_contour, iou, atol=0.1)
    assert (np.isnan(found.fit.direction_deg) | (found.fit.status != UNCHANGED)).all()


def test_the_tolerance_bounds_the_distance_of_touching_buildings_too():
    loose, strict = (resolved(1, 7.0, touching=True, tolerance_m=m) for m in (3.0, 0.5))
    assert strict.fit.deviation_m.max() <= 0.5 + SIZE_SHARE * np.sqrt(shapely.area(loose.contours).sum()) * PIXEL_M
    assert strict.fit.deviation_m.max() < loose.fit.deviation_m.max()
    assert strict.fit.rms_m.mean() < loose.fit.rms_m.mean()
    assert (strict.fit.deviation_m <= strict.bound_m).all()
