"""Drive the dock in a running QGIS and photograph it: `qgis --code drive_dock.py`.

GEOSEG_DRIVE: a folder with scene.tif, buildings.gpkg, review.gpkg, as geoseg review makes it, and sam, a promptable
bundle; photographs and seen.json go there.
"""

import json
import os
import time
import traceback
from pathlib import Path

from qgis.core import QgsProject, QgsRasterLayer, QgsVectorLayer
from qgis.PyQt.QtCore import QPoint, Qt, QTimer
from qgis.PyQt.QtTest import QTest
from qgis.PyQt.QtWidgets import QApplication, QPushButton
from qgis.utils import iface, plugins

folder = Path(os.environ["GEOSEG_DRIVE"])
seen = {}


def photograph(name):
    iface.mapCanvas().refresh()
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
        drive_prompts(project, dock, scene)
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
    seen["still_at"] = dock.review.at + 1
    QApplication.setActiveWindow(iface.mainWindow())
    for key in (Qt.Key.Key_D, Qt.Key.Key_A):
        QTest.keyClick(iface.mapCanvas(), key)
        QApplication.processEvents()
    QTest.keyClicks(dock.class_name.lineEdit(), "nad")  # letters that are keys, too
    photograph("windows_end")
    seen["words"] = [sorted({f["review"] for f in layer.getFeatures() if f["rank"] == rank}) for rank in (1, 2, 3)]
    seen["windows"] = [dock.review.seen, len(dock.review.order), dock.said.text()]


def drive_prompts(project, dock, scene):
    """Two objects are clicked on, one with a click outside of it; then the first click alone is asked for."""
    for node in project.layerTreeRoot().findLayers():
        node.setItemVisibilityChecked(node.layer() == scene)
    dock.pages.setCurrentIndex(1)
    panel, canvas = dock.pages.currentWidget(), iface.mapCanvas()
    canvas.zoomToFeatureExtent(scene.extent())
    canvas.zoomByFactor(0.15)
    QApplication.processEvents()
    press(dock, "segment")
    seen["no_model"] = panel.said.text()
    panel.model.setFilePath(str(folder / "sam"))
    panel.folder.setFilePath(str(folder / "answers"))
    press(dock, "click")
    seen["tool"] = canvas.mapTool() is panel.tool
    left, right = Qt.MouseButton.LeftButton, Qt.MouseButton.RightButton
    for button, x, y in ((left, 300, 300), (right, 330, 300), (left, 400, 350)):
        QTest.mouseClick(canvas.viewport(), button, Qt.KeyboardModifier.NoModifier, QPoint(x, y))
    clicks = panel.clicks()
    seen["clicks"] = [[f["object"], f["label"]] for f in clicks.getFeatures()]
    press(dock, "segment")
    photograph("prompt_asked")
    wait(panel)
    photograph("prompt_answered")
    seen["answered"] = panel.said.text()
    iface.setActiveLayer(clicks)
    clicks.selectByIds([min(clicks.allFeatureIds())])
    press(dock, "selected")
    wait(panel)
    seen["of_selected"] = panel.said.text()
    panel.model.setFilePath(str(folder))
    iface.setActiveLayer(clicks)
    press(dock, "selected")
    wait(panel)
    seen["wrong_model"] = panel.said.text()
    QTest.keyClick(canvas, Qt.Key.Key_A)  # no key of the review works here
    seen["windows_after"] = dock.review.seen
    photograph("prompt_end")


def wait(panel):
    while panel.buttons["stop"].isEnabled():
        QApplication.processEvents()
        time.sleep(0.05)
    QApplication.processEvents()


QTimer.singleShot(3000, drive)
