"""Options of runs: what is wrong with them is told all at once."""

from contextlib import suppress
from importlib import import_module
from math import inf, nan
from pkgutil import iter_modules

import pytest

from geoseg import options
from geoseg.cli import main
from geoseg.errors import ConfigError
from geoseg.options.exchange import METRES, NUMBERS
from geoseg.options.option import Checked, declared
from geoseg.options.parse import TURNS as NAMED
from geoseg.options.parse import VIEWS
from geoseg.options.polygons import PolygonOptions, RegularizeOptions
from geoseg.options.run import ClusterOptions, EngineOptions, RunOptions
from geoseg.options.scene import SceneOptions
from geoseg.tasks.semantic import HELD
from geoseg.tiling.views import TURNS
from geoseg.values.layers import RASTERS


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: RunOptions(lanes=0, batch=0, threshold=2.0), "3 faults: lanes 0: .*; batch 0: .*; threshold 2.0: "),
        (lambda: RunOptions(batch=0), "^batch 0: at least 1 is needed$"),
        (lambda: PolygonOptions(min_area_m2=-1.0, tolerance_m=float("nan")), "2 faults: min-area-m2 -1.0: .*; tolera"),
        (
            lambda: RegularizeOptions(pixel_m=0.0, min_hole_m2=float("inf")),
            "2 faults: pixel-m 0.0: .*; min-hole-m2",
        ),
    ],
)
def test_all_faults_of_options_are_told_at_once(make, told):
    with pytest.raises(ConfigError, match=told):
        make()


def test_faults_of_a_run_and_of_its_engine_are_told_by_one_command(tmp_path, capsys):
    argv = ["predict", "x.tif", "-m", "buildings", "-o", str(tmp_path / "o"), "--batch", "0", "--lanes", "0"]
    assert main(argv) == 2
    assert capsys.readouterr().err == "error: 2 faults: lanes 0: at least 1 is needed; batch 0: at least 1 is needed\n"


def groups(kind=Checked):
    """Return the groups of geoseg.options; not the classes that a config makes of them."""
    for one in kind.__subclasses__():
        yield from (*([one] if one.__module__.startswith("geoseg.options.") else []), *groups(one))


def test_no_number_of_any_group_is_infinite():
    for module in iter_modules(options.__path__):
        import_module(f"geoseg.options.{module.name}")
    numbers = [(group, one.name) for group in groups() for one in declared(group) if one.kind in (float, float | None)]
    assert len(numbers) > 40
    taken = []
    for group, name in numbers:
        for value in (inf, -inf, nan):
            with suppress(ConfigError):
                group(**{name: value})
                taken.append((group.__name__, name, value))
    assert taken == []
    for text in ("inf", "nan"):
        for read in (METRES.read, NUMBERS.read):
            with pytest.raises(ConfigError, match=f"^{text}: write a"):
                read(text)


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
@pytest.mark.parametrize("flag", ["--threshold", "--full-scale"])
def test_vectorize_refuses_numbers_that_are_none(tiny_scene, tmp_path, capsys, flag, value):
    argv = ["vectorize", str(tiny_scene), "--band", "1", flag, value, "-o", str(tmp_path / "o.gpkg")]
    assert main(argv) == 2
    assert value in capsys.readouterr().err


@pytest.mark.parametrize("value", ["nan", "inf"])
def test_evaluate_refuses_a_tolerance_that_is_none(tmp_path, capsys, value):
    assert main(["evaluate", "p.tif", "--truth", "t.tif", "--tolerance-m", value]) == 2
    assert f"tolerance-m {value}" in capsys.readouterr().err


def test_the_names_of_views_and_rasters_are_those_that_are_made():
    assert tuple(TURNS) == NAMED
    assert tuple(HELD) == tuple(RASTERS)


def test_an_engine_that_is_not_named_is_that_of_the_cluster():
    assert EngineOptions().engine == "threads"
    assert EngineOptions(cluster=ClusterOptions(address="tcp://h:1")).engine == "dask"
    with pytest.raises(ConfigError, match="address is for the engine dask, not for sync"):
        EngineOptions(engine="sync", cluster=ClusterOptions(address="tcp://h:1"))
    with pytest.raises(ConfigError, match=r"^factory 'x': write module:function$"):
        ClusterOptions(factory="x")


@pytest.mark.parametrize(
    ("group", "values", "told"),
    [
        (RunOptions, {"tta": "d5"}, f"tta 'd5': write {VIEWS.form}"),
        (RunOptions, {"max_runtime_s": 0.0}, "max-runtime 0.0: give more than 0"),
        (RunOptions, {"threshold": 1.0}, "threshold 1.0: it lies between 0 and 1"),
        (PolygonOptions, {"max_component_px": 5}, "max-component-px 5: at least 262144 is needed"),
        (RegularizeOptions, {"pixel_m": 200.0}, "pixel-m 200.0: choose 0.01 to 100"),
        (SceneOptions, {"nodata": float("nan")}, "nodata nan: give a finite number"),
        (SceneOptions, {"mask": ""}, "mask: is empty; name a file or folder, or leave it out"),
    ],
)
def test_a_value_beyond_its_limit_is_refused_with_what_is_right(group, values, told):
    with pytest.raises(ConfigError) as error:
        group(**values)
    assert str(error.value) == told
