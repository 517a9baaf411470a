"""docs/cli.md: what the declarations and the verbs say today."""

import importlib.util
from pathlib import Path

from geoseg.cli import main
from geoseg.cli.verbs import VERBS, command
from geoseg.options.option import declared
from geoseg.options.run import RunOptions

ROOT = Path(__file__).resolve().parents[2]


def test_the_page_is_what_its_script_writes() -> None:
    spec = importlib.util.spec_from_file_location("cli_page", ROOT / "scripts/cli_page.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    written = (ROOT / "docs/cli.md").read_text(encoding="utf-8")
    assert written == script.page(), "run python scripts/cli_page.py"
    for verb in VERBS:
        assert f"\n### geoseg {verb}" in written
        for flag in (name for p in command(verb).params for name in p.opts if p.param_type_name == "option"):
            assert f"`{flag}`" in written or flag in ("-h", "--help")


def test_a_name_gives_flag_and_unit() -> None:
    named = {option.name: (option.flag, option.unit) for option in declared(RunOptions)}
    assert named["memory_bytes"] == ("memory", "bytes")
    assert named["max_runtime_s"] == ("max-runtime", "s")
    assert named["chunk_px"] == ("chunk-px", "px")
    assert named["on_failure"] == ("on-failure", "")


def test_a_flag_that_a_verb_declares_itself_stands_before_that_of_the_group() -> None:
    splits = {verb: {p.name: p for p in command(verb).params}["split"] for verb in ("buildings", "vectorize")}
    assert (splits["buildings"].default, splits["vectorize"].default) == ("borders", "none")
    assert main(["vectorize", "x.tif", "-o", "o.gpkg", "--split", "borders"]) == 2
