"""Try the plugin's parts in QGIS without a window and print what came: {what: value} as JSON. Run by QGIS's Python.

usage: probe_plugin.py FOLDER STAND_IN LAYER WINDOWS; FOLDER holds the plugin as geoseg_qgis, LAYER is a GeoPackage of
buildings, WINDOWS one of geoseg review.
"""

import json
import os
import sys
import tempfile
import threading
from pathlib import Path

os.environ["QT_QPA_PLATFORM"] = "offscreen"
os.environ.setdefault("XDG_RUNTIME_DIR", tempfile.mkdtemp())

from qgis.core import (
    QgsApplication,
    QgsGeometry,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingFeedback,
    QgsProcessingUtils,
    QgsProject,
    QgsRectangle,
    QgsVectorLayer,
)

folder, stand_in, source, windows = sys.argv[1:]
sys.path.insert(0, folder)
application = QgsApplication([], False)
application.initQgis()
from geoseg_qgis.algorithms import IntoGroup
from geoseg_qgis.command import run
from geoseg_qgis.review import Review, ReviewError

found = {}


class Feedback(QgsProcessingFeedback):
    """Keeps what it is told."""

    def __init__(self):
        super().__init__()
        self.said, self.progress = [], []
        self.progressChanged.connect(self.progress.append)

    def pushInfo(self, text):
        self.said.append(text)


os.environ["PYTHONHOME"] = "/nowhere"
feedback = Feedback()
found["printed"] = run([stand_in, "predict", "scene.tif"], feedback)
found["said"], found["progress"] = feedback.said, feedback.progress
try:
    run([stand_in, "regularize"], Feedback())
except QgsProcessingException as error:
    found["error"] = str(error)
feedback = Feedback()
threading.Timer(0.5, feedback.cancel).start()
found["cancelled"] = run([stand_in, "vectorize"], feedback) == ""
del os.environ["PYTHONHOME"]

context, project = QgsProcessingContext(), QgsProject.instance()
for path in (Path(source).with_name("classes.tif"), Path(source), Path(source).with_name("confidence.tif")):
    loaded = QgsProcessingUtils.mapLayerFromString(str(path), context)
    loaded.setName(path.name)
    project.addMapLayer(context.takeResultLayer(loaded.id()))
    IntoGroup("out").postProcessLayer(loaded, context, feedback)
shown = project.layerTreeRoot().findGroup("out").findLayers()
found["group"] = [[node.name(), node.layer().renderer().type()] for node in shown]

layer = QgsVectorLayer(f"{source}|layername=buildings", "buildings", "ogr")
review = Review(layer)
ids = list(review.order)
review.accept()
review.reject()
review.begin_edit()
layer.changeGeometry(review.current, QgsGeometry.fromRect(QgsRectangle(500100, 5399900, 500110, 5399910)))
review.accept()
try:
    review.merge()
except ReviewError as error:
    found["alone"] = str(error)
layer.selectByIds([ids[4]])
review.merge()
review.done(QgsGeometry.fromRect(QgsRectangle(500000, 5399800, 500200, 5400000)), layer.crs())
found["order"] = [layer.getFeature(i)["confidence"] for i in ids[:4]]
found["review"] = [str(layer.getFeature(i)["review"]) for i in ids[:4]]
found["edited_m2"] = layer.getFeature(ids[2])["area_m2"]
found["count"] = layer.featureCount()

layer = QgsVectorLayer(f"{windows}|layername=review", "review", "ogr")
review = Review(layer)
found["windows"], found["ranks"] = review.by_window, list(review.order)
try:
    review.name("building")
except ReviewError as error:
    found["none_selected"] = str(error)
first = review.features()
wrong = next(f.id() for f in first if f["class"] == "background")
layer.selectByIds([wrong])
review.name("building")
found["stays"] = review.current
review.done(None, None)
rest = review.features()
review.begin_edit()
layer.changeGeometry(rest[0].id(), rest[0].geometry().buffer(-0.2, 4))
layer.selectByIds([rest[1].id()])
review.reject()
review.accept()
found["of_windows"] = [
    [str(layer.getFeature(f.id())["review"]) for f in features] for features in (first, rest, review.features())
]
found["wrong"] = [[f.id() for f in first].index(wrong), str(layer.getFeature(wrong)["class"])]
found["seen"] = review.seen
print(json.dumps(found))
sys.stdout.flush()
os._exit(0)
