"""Entropy: against the formula in floats, and as a layer of a run that the others do not feel."""

from dataclasses import replace

import numpy as np
import rasterio

from geoseg import RunOptions, predict
from geoseg.outputs.check import check_outputs
from geoseg.tasks.entropy import entropy


def test_entropy_is_that_of_the_formula() -> None:
    p = np.random.default_rng(0).dirichlet((0.5, 0.5, 0.5, 0.5), (7, 11)).transpose(2, 0, 1)
    probabilities = (1 + np.rint(254 * p)).astype(np.uint8)
    valid = np.arange(77).reshape(7, 11) % 5 > 0
    got = entropy(probabilities, valid)
    q = np.maximum((probabilities - 1.0) / 254, 1e-300)
    expected = 1 + 254 * np.minimum(-(q * np.log(q)).sum(0) / np.log(4), 1)
    assert np.abs(got - expected)[valid].max() <= 0.51
    assert (got[~valid] == 0).all()
    np.testing.assert_array_equal(got, entropy(probabilities[::-1], valid))
    assert (entropy(np.full((3, 1, 1), 86, np.uint8), np.array([[True]])) == 255).all()


def test_a_run_writes_it_where_it_is_asked_for(tiny_scene, tiny_bundle, tmp_path) -> None:
    options = RunOptions(engine="sync", device="cpu", chunk_px=512, layers=("entropy", "confidence", "classes"))
    predict(tiny_scene, tiny_bundle, tmp_path / "a", options=options)
    predict(tiny_scene, tiny_bundle, tmp_path / "b", options=replace(options, layers=("classes", "confidence")))
    assert [f for f in check_outputs(tmp_path / "a") if not f.ok] == []
    for name in ("classes.tif", "confidence.tif"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert {p.name for p in (tmp_path / "a").glob("*.tif")} == {"classes.tif", "confidence.tif", "entropy.tif"}
    with rasterio.open(tmp_path / "a/entropy.tif") as src:
        assert (src.nodata, src.descriptions) == (0, ("entropy",))
        found = src.read(1)
    with rasterio.open(tmp_path / "a/confidence.tif") as src:
        confidence = src.read(1)
    assert len(np.unique(found)) > 1
    known = confidence > 0
    sure = (confidence[known] - 1.0) / 254
    both = np.stack([sure, 1 - sure]).clip(1e-300)
    expected = 1 + 254 * np.minimum(-(both * np.log(both)).sum(0) / np.log(2), 1)
    assert np.abs(found[known] - expected).max() <= 3
