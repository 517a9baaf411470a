"""The dock's second page: clicks, or the selected features of a layer, are asked of a promptable model."""

from itertools import count
from pathlib import Path

from qgis.core import (
    QgsApplication,
    QgsCategorizedSymbolRenderer,
    QgsFeature,
    QgsGeometry,
    QgsMapLayerProxyModel,
    QgsMarkerSymbol,
    QgsProcessingAlgRunnerTask,
    QgsProcessingContext,
    QgsProcessingFeatureSourceDefinition,
    QgsProcessingFeedback,
    QgsProcessingUtils,
    QgsProject,
    QgsRendererCategory,
    QgsSettings,
    QgsVectorLayer,
)
from qgis.gui import QgsFileWidget, QgsMapLayerComboBox, QgsMapToolEmitPoint
from qgis.PyQt.QtCore import Qt
from qgis.PyQt.QtWidgets import QApplication, QFormLayout, QLabel, QProgressBar, QPushButton, QVBoxLayout, QWidget

from .algorithms import VERBS, IntoGroup, made_layers

MODEL_SETTING = "geoseg/promptable"
HELP = (
    "Left click: inside of a new object. Ctrl and left click: inside of the same one. Right click: outside of it. "
    "Selected features: points, boxes and outlines of the active layer. Without a folder the answers are temporary."
)
SHOWN = ((1, "inside", "0,160,60"), (0, "outside", "210,30,30"))  # label, its name, its colour
PROMPT = next(spec for spec in VERBS if spec.verb == "prompt")


class PromptPanel(QWidget):
    """Scene, model and clicks; what is answered comes as a layer that the review takes."""

    def __init__(self, iface):
        super().__init__()
        self.iface, self.clicks_id, self.object, self.task = iface, "", 0, None
        self.scenes, self.model, self.folder = QgsMapLayerComboBox(), QgsFileWidget(), QgsFileWidget()
        self.scenes.setFilters(QgsMapLayerProxyModel.Filter.RasterLayer)
        for widget in (self.model, self.folder):
            widget.setStorageMode(QgsFileWidget.StorageMode.GetDirectory)
        self.model.setFilePath(QgsSettings().value(MODEL_SETTING, ""))
        form = QFormLayout()
        for label, widget in (("Scene", self.scenes), ("Model", self.model), ("Folder", self.folder)):
            form.addRow(label, widget)
        self.tool = QgsMapToolEmitPoint(iface.mapCanvas())
        self.tool.canvasClicked.connect(self.add)
        self.said, self.bar, note = QLabel("Choose a model, and click"), QProgressBar(), QLabel(HELP)
        column = QVBoxLayout(self)
        column.addLayout(form)
        self.buttons = {}
        for name, text, called in (
            ("click", "Click into the map", self.click),
            ("segment", "Segment clicks", lambda _: self.ask(self.clicks(), selected=False)),
            ("selected", "Segment selected features", lambda _: self.ask(self.iface.activeLayer(), selected=True)),
            ("stop", "Stop", lambda _: self.feedback.cancel()),
        ):
            self.buttons[name] = button = QPushButton(text)
            button.setObjectName(name)
            button.clicked.connect(called)
            column.addWidget(button)
        self.buttons["click"].setCheckable(True)
        self.tool.setButton(self.buttons["click"])  # which goes up where another tool is taken
        self._work(False)
        for widget in (self.said, self.bar, note):
            column.addWidget(widget)
        for widget in (self.said, note):
            widget.setWordWrap(True)
        column.addStretch()

    def click(self, on):
        """Take the tool, or put it down."""
        canvas = self.iface.mapCanvas()
        canvas.setMapTool(self.tool) if on else canvas.unsetMapTool(self.tool)

    def clicks(self):
        """Return the layer of the clicks; None where there is none, or no longer."""
        return QgsProject.instance().mapLayer(self.clicks_id)

    def add(self, point, button):
        """Add a click to the layer, which is made where it is not there."""
        inside = button != Qt.MouseButton.RightButton
        more = QApplication.keyboardModifiers() & Qt.KeyboardModifier.ControlModifier
        layer = self.clicks() or self._new_layer()
        if (inside and not more) or not self.object:
            self.object += 1
        feature = QgsFeature(layer.fields())
        feature.setGeometry(QgsGeometry.fromPointXY(point))
        feature.setAttributes([str(self.object), int(inside)])
        layer.dataProvider().addFeatures([feature])
        layer.updateExtents()
        layer.triggerRepaint()
        self.said.setText(f"{layer.featureCount()} clicks, {self.object} objects")

    def _new_layer(self):
        layer = QgsVectorLayer("Point?field=object:string&field=label:integer", "clicks", "memory")
        layer.setCrs(self.iface.mapCanvas().mapSettings().destinationCrs())
        marks = [
            QgsRendererCategory(label, QgsMarkerSymbol.createSimple({"color": color, "size": "3"}), name)
            for label, name, color in SHOWN
        ]
        layer.setRenderer(QgsCategorizedSymbolRenderer("label", marks))
        QgsProject.instance().addMapLayer(layer)
        self.clicks_id, self.object = layer.id(), 0
        return layer

    def ask(self, layer, *, selected):
        """Ask the model for the objects of a layer's features, of all or of those selected, beside all other work."""
        scene, model = self.scenes.currentLayer(), self.model.filePath()
        there = isinstance(layer, QgsVectorLayer) and (layer.selectedFeatureCount() if selected else True)
        missing = (
            (scene, "Choose a scene"),
            (model, "Choose the model: a folder that geoseg import FOLDER --family sam2 -o MODEL made"),
            (there, "Select features of the active layer" if selected else "Click into the map first"),
        )
        for given, sentence in missing:
            if not given:
                self.said.setText(sentence)
                return
        QgsSettings().setValue(MODEL_SETTING, model)
        folder = Path(self.folder.filePath() or QgsProcessingUtils.tempFolder())
        free = (folder / f"prompted_{number}" for number in count(1))
        given = {
            "INPUT": scene.id(),
            "PROMPTS": QgsProcessingFeatureSourceDefinition(layer.id(), selected),
            "MODEL": model,
            "OUTPUT": str(next(place for place in free if not place.exists())),
        }
        self.context, self.feedback = QgsProcessingContext(), QgsProcessingFeedback()
        self.context.setProject(QgsProject.instance())
        self.feedback.progressChanged.connect(lambda share: self.bar.setValue(round(share)))
        algorithm = QgsApplication.processingRegistry().createAlgorithmById("geoseg:prompt")
        self.task = QgsProcessingAlgRunnerTask(algorithm, given, self.context, self.feedback)
        self.task.executed.connect(self.show_answers)
        self.said.setText("Asked; the first answer on new ground takes longest")
        self._work(True)
        QgsApplication.taskManager().addTask(self.task)

    def show_answers(self, successful, results):
        """Load what was answered, or say why nothing was."""
        self._work(False)
        if not successful or "OUTPUT" not in results:
            log = self.feedback.textLog().strip().splitlines()  # its last line is geoseg's one line of error
            self.said.setText("Stopped" if self.feedback.isCanceled() or not log else log[-1])
            return
        folder = Path(results["OUTPUT"])
        for path, name in made_layers(folder, PROMPT):
            layer = QgsVectorLayer(path, name, "ogr")
            QgsProject.instance().addMapLayer(layer)
            IntoGroup(folder.name).postProcessLayer(layer, self.context, self.feedback)
            self.said.setText(f"{layer.featureCount()} objects in {path}")

    def _work(self, busy):
        """Let buttons be pressed that may be."""
        for name in ("segment", "selected"):
            self.buttons[name].setEnabled(not busy)
        self.buttons["stop"].setEnabled(busy)
        self.bar.setValue(0)
