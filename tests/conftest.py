"""What many tests need: a tiny untrained bundle, a scene of houses, its truth and a finished run, and a full disk."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from hypothesis import settings

# Property tests: `make test` tries few examples of each, `make test-all` many (pytest --hypothesis-profile nightly).
# Compiling by numba falls into the first example: none has a deadline.
settings.register_profile("ci", max_examples=25, deadline=None)
settings.register_profile("nightly", max_examples=300, deadline=None)
settings.load_profile("ci")

GSD_M, SCENE_SHAPE = 0.5, (160, 192)


def write_tif(path, data, *, crs="EPSG:32645", transform=None, **profile):
    """Write (C, H, W) data as a GeoTIFF of half-metre pixels and return its path."""
    bands, height, width = data.shape
    with rasterio.open(
        path, "w", driver="GTiff", count=bands, height=height, width=width, dtype=data.dtype, crs=crs,
        transform=transform or Affine(GSD_M, 0, 3e5, 0, -GSD_M, 3.06e6), **profile,
    ) as dst:  # fmt: skip
        dst.write(data)
    return path


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """No file may grow beyond ``size`` bytes: what a full disk does, without needing one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture(scope="session")
def house_boxes():
    """Rows and columns [r0, r1) x [c0, c1) of bright houses that do not touch."""
    return [(r, r + 16 + i % 3 * 4, c, c + 20) for i, r in enumerate(range(8, 130, 36)) for c in range(10, 160, 40)]


@pytest.fixture(scope="session")
def tiny_scene(tmp_path_factory, house_boxes):
    """160 x 192 px RGB bytes: bright houses on dark, noisy ground."""
    pixels = np.random.default_rng(0).integers(40, 90, (3, *SCENE_SHAPE), np.uint8)
    for r0, r1, c0, c1 in house_boxes:
        pixels[:, r0:r1, c0:c1] += 120
    return write_tif(tmp_path_factory.mktemp("scene") / "scene.tif", pixels, photometric="RGB")


@pytest.fixture(scope="session")
def tiny_truth(tmp_path_factory, house_boxes):
    """The houses of ``tiny_scene`` as polygons."""
    left, top = 3e5, 3.06e6
    houses = [
        shapely.box(left + c0 * GSD_M, top - r1 * GSD_M, left + c1 * GSD_M, top - r0 * GSD_M)
        for r0, r1, c0, c1 in house_boxes
    ]
    path = tmp_path_factory.mktemp("truth") / "truth.gpkg"
    gpd.GeoDataFrame(geometry=houses, crs="EPSG:32645").to_file(path)
    return path


def write_bundle(folder, *, widths, **changes):
    """Save an untrained building model for red, green and blue at half a metre and return its folder.

    widths: of its network; changes: other values of its spec.
    """
    import torch

    from geoseg.models.architectures import build_network
    from geoseg.models.bundle import save_model
    from geoseg.models.spec import Architecture, Channel, ModelSpec, Normalisation
    from geoseg.values.bands import BandSet
    from geoseg.values.classes import BUILDING_CLASSES

    usual = {
        "name": folder.name,
        "arch": Architecture(name="compact-unet", options={"widths": widths}),
        "bands": BandSet.parse("red,green,blue").bands,
        "gsd_m": GSD_M,
        "normalisation": Normalisation(mean=(80.0, 80.0, 80.0), std=(40.0, 40.0, 40.0)),
        "window_px": 128,
        "margin_px": 16,
        "ramp_px": 32,
        "channels": tuple(Channel(name=n, class_id=i) for n, i in (("background", 1), ("interior", 2), ("border", 2))),
        "classes": BUILDING_CLASSES,
        "polygon_class": "building",
    }
    if "outputs" in changes:
        del usual["channels"]
    spec = ModelSpec(**usual | changes)
    torch.manual_seed(3)
    network = build_network(spec.arch, in_channels=len(spec.bands), out_channels=spec.out_channels)
    save_model(folder, network, spec=spec)
    return folder


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory):
    """An untrained building model for red, green and blue at half a metre; returns its folder."""
    return write_bundle(tmp_path_factory.mktemp("bundle") / "tiny", widths=[8, 16])


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory, tiny_scene, tiny_bundle):
    """The folder of ``geoseg buildings --probabilities --split none`` on ``tiny_scene``; copy it before changing it."""
    from geoseg.cli import main

    out = tmp_path_factory.mktemp("finished") / "out"
    flags = ["-q", "--probabilities", "--split", "none"]
    assert main(["buildings", str(tiny_scene), "-m", str(tiny_bundle), "-o", str(out), *flags]) == 0
    return out


# programs: for QGIS's own Python, which alone has its modules, and one that the plugin starts
collect_ignore = ["qgis_probe.py", *(f"qgis_plugin/{name}.py" for name in ("drive_dock", "probe_plugin", "stand_in"))]
