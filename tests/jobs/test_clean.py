"""geoseg clean: the same file for any tiles, with names, colours and areas."""

import shutil

import numpy as np
import rasterio
from conftest import write_tif

from geoseg.cli import main
from geoseg.jobs import clean as job


def test_tiles_change_no_byte_and_the_map_stays_one(finished_run, tmp_path, monkeypatch, capsys):
    flags = ["--open-m", "1", "--close-m", "0.5", "--sieve-m2", "6", "--of", "building"]
    made, small = tmp_path / "made.tif", tmp_path / "small.tif"
    assert main(["clean", str(finished_run), "-o", str(made), *flags]) == 0
    monkeypatch.setattr(job, "SIDE_PX", 64)
    assert main(["clean", str(finished_run / "classes.tif"), "-o", str(small), *flags]) == 0
    assert made.read_bytes() == small.read_bytes()
    with rasterio.open(made) as dst, rasterio.open(finished_run / "classes.tif") as src:
        assert (dst.transform, dst.crs, dst.tags(1)["CLASS_2"]) == (src.transform, src.crs, "building")
        counts = np.bincount(dst.read(1).ravel(), minlength=3)
    assert str(counts[2]) in capsys.readouterr().out
    assert f"<F>{counts[2]}</F>" in (tmp_path / "made.tif.aux.xml").read_text()


def test_what_cannot_be_done_is_said(finished_run, tmp_path, capsys):
    out = ["clean", str(finished_run), "-o", str(tmp_path / "made.tif")]
    for flags, message in (
        ([], "nothing to do"),
        (["--close-m", "1"], "say which class with --of"),
        (["--open-m", "1", "--of", "roof"], "has the classes background, building"),
        (["--sieve-m2", "9000"], "reach 72016 px"),
        (["--open-m", "-1"], "at least 0 is needed"),
    ):
        assert main([*out, *flags]) == 2
        assert message in capsys.readouterr().err
    assert not (tmp_path / "made.tif").exists()


def test_neighbours_agree_the_same_in_any_tiles(finished_run, tiny_scene, tmp_path, monkeypatch, capsys):
    run = shutil.copytree(finished_run, tmp_path / "run")
    with rasterio.open(run / "classes.tif", "r+", IGNORE_COG_LAYOUT_BREAK="YES") as dst:
        ids = np.random.default_rng(0).choice(np.array([0, 1, 2], np.uint8), dst.shape, p=[0.02, 0.3, 0.68])
        dst.write(ids, 1)
    flags = ["--crf", "2", "--crf-radius-px", "3", "--sieve-m2", "2"]
    made, small, bare = (str(tmp_path / f"{name}.tif") for name in ("made", "small", "bare"))
    assert main(["clean", str(run), "-o", made, *flags]) == 0
    monkeypatch.setattr(job, "SIDE_PX", 64)
    assert main(["clean", str(run), "-o", small, *flags, "--scene", str(tiny_scene)]) == 0
    assert (tmp_path / "made.tif").read_bytes() == (tmp_path / "small.tif").read_bytes()
    with rasterio.open(made) as src:
        assert (src.read(1) == 1).sum() < (ids == 1).sum() / 2
        assert np.array_equal(src.read(1) == 0, ids == 0)
    classes = str(run / "classes.tif")
    assert main(["clean", classes, "-o", bare, *flags, "--scene", str(tiny_scene)]) == 0
    assert main(["clean", classes, "-o", bare, *flags, "--overwrite"]) == 2
    assert "--scene" in capsys.readouterr().err
    elsewhere = write_tif(tmp_path / "elsewhere.tif", np.ones((3, 40, 40), np.uint8))
    assert main(["clean", classes, "-o", bare, *flags, "--overwrite", "--scene", str(elsewhere)]) == 3
    assert "another grid" in capsys.readouterr().err
    assert main(["clean", classes, "-o", str(tiny_scene), *flags, "--overwrite", "--scene", str(tiny_scene)]) == 5
    assert "is read by this run" in capsys.readouterr().err
