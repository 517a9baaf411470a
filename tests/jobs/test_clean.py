"""geoseg clean: the same file for any tiles, with names, colours and areas."""

import numpy as np
import rasterio

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
