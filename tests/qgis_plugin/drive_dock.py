"""Drive the dock in a running QGIS and photograph it: `qgis --code drive_dock.py`.

GEOSEG_DRIVE: a folder with scene.tif, classes.tif and buildings.gpkg, into which photographs and seen.json go.
"""

import json
import os
import traceback
from pathlib import Path

from qgis.core import QgsProject, QgsRasterLayer, QgsVectorLayer
from qgis.PyQt.QtCore import QTimer
from qgis.PyQt.QtWidgets import QApplication, QPushButton
from qgis.utils import iface, plugins

folder = Path(os.environ["GEOSEG_DRIVE"])
seen = {}


def photograph(name):
    iface.mapCanvas().waitWhileRendering()
    QApplication.processEvents()
    iface.mainWindow().grab().save(str(folder / f"{name}.png"))


def press(dock, name):
    dock.findChild(QPushButton, name).click()
    QApplication.processEvents()


def drive():
    try:
        iface.mainWindow().resize(1400, 900)
        project = QgsProject.instance()
        scene = QgsRasterLayer(str(folder / "scene.tif"), "scene")
        layer = QgsVectorLayer(f"{folder / 'buildings.gpkg'}|layername=buildings", "buildings", "ogr")
        project.addMapLayers([layer, scene])  # the first is on top
        dock = plugins["geoseg_qgis"].dock
        dock.show()
        dock.layers.setLayer(layer)
        QApplication.processEvents()
        dock.show_current()
        photograph("dock_begin")
        for name in ("accept", "reject", "accept", "back", "skip"):
            press(dock, name)
        first = layer.featureCount()
        press(dock, "merge")
        press(dock, "done")
        seen["merged"] = first - layer.featureCount()
        seen["said"] = dock.said.text()
        press(dock, "edit")
        seen["editing"] = layer.isEditable()
        photograph("dock_edit")
        press(dock, "accept")
        photograph("dock_end")
        seen["editable_after"] = layer.isEditable()
    except Exception:
        seen["error"] = traceback.format_exc()
    (folder / "seen.json").write_text(json.dumps(seen))
    os._exit(0)  # taking QGIS down without a display is known to crash


QTimer.singleShot(3000, drive)
