"""A system without what only Unix has: no fcntl, no resource, no fork, no timer signals, no user ids."""

import ast
import subprocess
import sys
from pathlib import Path

import geoseg

WITHOUT_UNIX = """
import os, signal, sys
import psutil  # its modules for Linux need resource, those for Windows do not
for name in ("fcntl", "resource"):
    sys.modules[name] = None
for module, names in {
    os: ("fork", "getuid", "sched_getaffinity"),
    signal: ("setitimer", "SIGALRM", "ITIMER_REAL"),
}.items():
    for name in names:
        vars(module).pop(name, None)
"""


def run(code, *args):
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", WITHOUT_UNIX + code, *map(str, args)],
        capture_output=True,
        text=True,
        check=False,
    )


def test_no_module_needs_them_to_be_imported():
    unix = {"fcntl", "grp", "posix", "pty", "pwd", "resource", "termios"}
    package = Path(geoseg.__file__).parent
    found = {
        f"{path.relative_to(package)} imports {name}"
        for path in package.rglob("*.py")
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in [getattr(node, "module", None), *(alias.name for alias in node.names)]
        if name in unix
    }
    assert found == set()


def test_a_scene_is_predicted_there(tiny_scene, tiny_bundle, tmp_path):
    code = "from geoseg.cli import main; sys.exit(main(sys.argv[1:]))"
    flags = ["-m", tiny_bundle, "-q", "--device", "cpu"]
    done = run(code, "predict", tiny_scene, *flags, "-o", tmp_path / "out")
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "out" / "classes.tif").exists()
    assert list(tmp_path.rglob("lock*")) == []
