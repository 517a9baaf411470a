"""Names that no output can bear: refused before any work, whichever verb, config or call names them."""

import pytest

from geoseg.cli import main
from geoseg.cli.verbs import VERBS, command
from geoseg.config.load import load_config
from geoseg.disk.places import fault_of_target
from geoseg.errors import ConfigError
from geoseg.jobs.predict import predict

WRITING = [verb for verb in VERBS if any("-o" in p.opts for p in command(verb).params)]


def test_every_verb_with_an_output_refuses_a_line_break_in_its_name(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert len(WRITING) > 25
    for verb in WRITING:
        assert main([*verb.split(), "-o", "two\nlines.gpkg"]) == 2, verb
        assert r"'two\nlines.gpkg' holds the control character U+000A; choose another name" in capsys.readouterr().err
    for other in (["segment", "s.tif", "-o", "a.gpkg", "--raster", "two\nlines.tif"],):
        assert main(other) == 2
        assert "U+000A" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("job", ["buildings", "land_cover", "batch", "train", "segment", "prompt"])
def test_a_config_s_out_is_held_to_it(tmp_path, job):
    config = tmp_path / "c.yaml"
    config.write_text(f'job: {job}\nout: "two\\nlines"\n')
    with pytest.raises(ConfigError, match=r"out: .*U\+000A; choose another name"):
        load_config(config)


@pytest.mark.parametrize("name", ["bell\x07", "a\0b", "\udcff", "line\r", "next\x85line"])
def test_what_sqlite_xml_and_lines_of_errors_do_not_hold_is_no_name(name):
    assert "choose another name" in str(fault_of_target(f"maps/{name}/out"))
    assert fault_of_target("maps/größe; 100 % 'roofs'/ü.gpkg") is None


def test_a_folder_on_the_way_counts_and_calls_from_python_too(tmp_path):
    folder = tmp_path / "two\nlines"
    folder.mkdir()
    with pytest.raises(ConfigError, match=r"nothing can be written there: .*U\+000A"):
        predict("scene.tif", "buildings", folder / "out")
    assert list(folder.iterdir()) == []
