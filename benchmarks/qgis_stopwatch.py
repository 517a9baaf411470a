"""From the plugin's zip to the first polygons on screen, in a QGIS that has never heard of geoseg, without a network.

    .venv/bin/python benchmarks/qgis_stopwatch.py WHEELS [--python 3.13] [--picture first.png]

WHEELS holds the wheels of geoseg and of all that it needs. QGIS gets a new profile, a new home and an empty cache of
uv; it installs the zip as its plugin manager does, makes the environment, maps the buildings of a 512 px corner of the
demo scene and draws them. uv has to be on PATH. Without a display: xvfb-run -s "-screen 0 1400x900x24" before it all.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import rasterio
from machine import describe
from rasterio.windows import Window

import geoseg
from geoseg.qgis.install import NAME, write_zip

LIMIT_S = 180
SCENE = Path(geoseg.__file__).parent / "demo" / "scene.tif"
DRIVE = """
import json, os, time, traceback
import processing, pyplugin_installer
from pathlib import Path
from qgis.core import QgsApplication, QgsProject, QgsVectorLayer
from qgis.PyQt.QtCore import QTimer
from qgis.PyQt.QtWidgets import QDockWidget, QLineEdit
from qgis.utils import iface, plugins

told = json.loads(os.environ["GEOSEG_STOPWATCH"])
laps = {}

def lap(what, value=None):
    laps[what] = time.time() if value is None else value
    Path(told["laps"]).write_text(json.dumps(laps))

def drive():
    try:
        lap("QGIS is open")
        iface.mainWindow().resize(1400, 900)
        pyplugin_installer.instance().installFromZipFile(told["zip"])
        assert told["name"] in plugins, plugins
        lap("plugin installed")
        made = {"PACKAGE": "geoseg", "PYTHON": told["python"], "WHEELS": told["wheels"], "FOLDER": told["folder"]}
        processing.run("geoseg:makeenvironment", made)
        lap("environment made")
        asked = {"INPUT": told["scene"], "MODEL": "buildings", "OUTPUT": told["out"]}
        processing.runAndLoadResults("geoseg:buildings", asked)
        lap("buildings mapped")
        found = [layer for layer in QgsProject.instance().mapLayers().values() if isinstance(layer, QgsVectorLayer)]
        iface.mapCanvas().setExtent(found[0].extent())
        iface.mapCanvas().refresh()
        iface.mapCanvas().waitWhileRendering()
        QgsApplication.processEvents()
        lap("polygons on screen")
        lap("polygons", found[0].featureCount())
        toolbox = iface.mainWindow().findChild(QDockWidget, "ProcessingToolbox")
        toolbox.findChild(QLineEdit).setText("geoseg")
        toolbox.show()
        QgsApplication.processEvents()
        iface.mainWindow().grab().save(told["picture"])
    except BaseException:
        lap("error", traceback.format_exc())
    os._exit(0)  # taking QGIS down without a display is known to crash

QTimer.singleShot(0, drive)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wheels", type=Path)
    parser.add_argument("--python", default="3.13", help="a version, or a path")
    parser.add_argument("--picture", type=Path, default=Path("first.png"))
    arguments = parser.parse_args()
    print(describe())
    with tempfile.TemporaryDirectory() as scratch:
        laps = measure(Path(scratch), arguments)
    polygons, error, before = laps.pop("polygons", 0), laps.pop("error", ""), laps["begin"]
    for what, when in laps.items():
        print(f"{when - laps['begin']:6.1f} s  {what} (+{when - before:.1f} s)")
        before = when
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    if error:
        sys.exit(error)
    print(f"{polygons} polygons; {used.ru_utime + used.ru_stime:.0f} s of CPU in all; {arguments.picture}")
    if before - laps["begin"] > LIMIT_S:
        sys.exit(f"longer than {LIMIT_S} s")


def measure(scratch: Path, arguments: argparse.Namespace) -> dict:
    """Return the clock's time at each step, by its name, and the number of polygons."""
    home, scene, driver = scratch / "home", scratch / "scene.tif", scratch / "drive.py"
    home.mkdir(mode=0o700)
    with rasterio.open(SCENE) as src:
        window = Window(0, 0, 512, 512)
        profile = {**src.profile, "width": 512, "height": 512, "transform": src.window_transform(window)}
        with rasterio.open(scene, "w", **profile) as dst:
            dst.write(src.read(window=window))
    told = {
        "zip": str(write_zip(scratch / f"{NAME}.zip")),
        "name": NAME,
        "python": arguments.python,
        "wheels": str(arguments.wheels.resolve()),
        "folder": str(home / "geoseg-environment"),
        "scene": str(scene),
        "out": str(scratch / "out"),
        "picture": str(arguments.picture.resolve()),
        "laps": str(scratch / "laps.json"),
    }
    driver.write_text(DRIVE)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("GEOSEG_", "UV_"))} | {
        "HOME": str(home),
        "XDG_RUNTIME_DIR": str(home),
        "QGIS_CUSTOM_CONFIG_PATH": str(scratch / "qgis"),
        "UV_CACHE_DIR": str(scratch / "uv"),
        "GEOSEG_STOPWATCH": json.dumps(told),
    }
    laps = {"begin": time.time()}
    command = ["qgis", "--noversioncheck", "--nologo", "--code", str(driver)]
    done = subprocess.run(command, env=environment, check=False, capture_output=True, text=True)
    laps |= json.loads(Path(told["laps"]).read_text()) if Path(told["laps"]).exists() else {}
    return laps if laps.keys() & {"polygons", "error"} else laps | {"error": f"{done.stdout}{done.stderr}"}


if __name__ == "__main__":
    main()
