"""Drive the dock in a running QGIS and photograph it: `qgis --code drive_dock.py`.

GEOSEG_DRIVE: a folder with scene.tif, buildings.gpkg and review.gpkg, as geoseg review makes it; photographs and
seen.json go there.
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
        project.removeMapLayer(layer)
        drive_windows(project, dock)
    except Exception:
        seen["error"] = traceback.format_exc()
    (folder / "seen.json").write_text(json.dumps(seen))
    os._exit(0)  # taking QGIS down without a display is known to crash


def drive_windows(project, dock):
    """Of the first window one polygon is another class, and the rest is right; the second is right as it is."""
    layer = QgsVectorLayer(f"{folder / 'review.gpkg'}|layername=review", "review", "ogr")
    project.addMapLayer(layer)
    dock.layers.setLayer(layer)
    QApplication.processEvents()
    photograph("windows_begin")
    first = dock.review.features()
    layer.selectByIds([max(first, key=lambda feature: feature["area_m2"]).id()])
    seen["classes"] = [dock.class_name.itemText(i) for i in range(dock.class_name.count())]
    dock.class_name.setCurrentText(seen["classes"][0])
    photograph("windows_selected")
    press(dock, "name")
    seen["still_at"] = dock.review.position
    press(dock, "done")
    press(dock, "accept")
    photograph("windows_end")
    seen["words"] = [sorted({f["review"] for f in layer.getFeatures() if f["rank"] == rank}) for rank in (1, 2, 3)]
    seen["windows"] = [dock.review.seen, dock.review.count, dock.said.text()]


QTimer.singleShot(3000, drive)
