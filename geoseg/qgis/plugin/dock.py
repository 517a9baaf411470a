"""The dock with its page for review: polygons or windows, the least sure first, with a key for each verdict.

It writes what geoseg's training reads: the column ``review`` (unseen, accepted, rejected, edited), and ground that was
looked through, as polygons with the column ``done`` in a file beside the layer's. ``status`` stays as it is.
"""

from qgis.core import QgsGeometry, QgsMapLayerProxyModel
from qgis.gui import QgsMapLayerComboBox, QgsRubberBand
from qgis.PyQt.QtGui import QColor, QKeySequence
from qgis.PyQt.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDockWidget,
    QGridLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QShortcut,
    QTabWidget,
    QVBoxLayout,
    QWidget,
)

from .prompt import PromptPanel
from .review import CLASS, CONFIDENCE, REVIEW, SEEN, UNSEEN, Review, ReviewError

BUTTONS = (  # method, text, key, row, column
    ("accept", "Accept", "A", 0, 0),
    ("reject", "Reject", "R", 0, 1),
    ("edit", "Edit corners", "E", 1, 0),
    ("split", "Split", "S", 1, 1),
    ("merge", "Merge", "M", 2, 0),
    ("done", "Ground is done", "D", 2, 1),
    ("back", "◀ Back", "B", 3, 0),
    ("skip", "Skip ▶", "N", 3, 1),
    ("name", "Set class", "C", 4, 0),
)
HELP = {
    False: "Merge joins the selected polygons, or the neighbour with the longest common border. Split: draw a line "
    "across. Ground is done: all there is in the view is drawn, so that training may learn from what is empty.",
    True: "Accept, Reject, Set class: the selected polygons of the window; where none is, Accept and Reject those not "
    "judged yet. Merge: the selected ones. Ground is done: what is not judged yet is right, and training may learn "
    "from all of the window.",
}
AROUND = {False: 5.0, True: 1.3}  # the view is so many times as wide as the polygon, or as the window
SELECTED = QColor(255, 221, 0, 70)


class ReviewDock(QDockWidget):
    """Buttons and keys around a ``Review`` of the chosen layer."""

    def __init__(self, iface):
        super().__init__("geoseg")
        self.setObjectName("geoseg_review")
        self.iface, self.review, self.shortcuts, self.pages = iface, None, [], QTabWidget()
        self.layers = QgsMapLayerComboBox()
        self.layers.setFilters(QgsMapLayerProxyModel.Filter.PolygonLayer)
        self.layers.setAllowEmptyLayer(True)
        self.mark = QgsRubberBand(iface.mapCanvas())
        self.mark.setStrokeColor(QColor(255, 221, 0))
        self.mark.setFillColor(QColor(0, 0, 0, 0))
        self.mark.setWidth(3)
        self.visibilityChanged.connect(self.mark.setVisible)
        self.said, self.bar, self.keys = QLabel(), QProgressBar(), QCheckBox("Keys")
        self.said.setWordWrap(True)
        self.keys.setChecked(True)
        self.note, self.class_name = QLabel(), QComboBox()
        self.note.setWordWrap(True)
        self.class_name.setEditable(True)
        grid = QGridLayout()
        for method, text, key, row, column in BUTTONS:
            button = QPushButton(f"{text} ({key})")
            button.setObjectName(method)
            button.clicked.connect(lambda _=False, method=method: self.act(method))
            grid.addWidget(button, row, column)
            shortcut = QShortcut(QKeySequence(key), iface.mainWindow())
            shortcut.activated.connect(lambda method=method: self.act(method))
            self.shortcuts.append(shortcut)
        grid.addWidget(self.class_name, 4, 1)
        column = QVBoxLayout()
        for widget in (self.layers, self.said, self.bar):
            column.addWidget(widget)
        column.addLayout(grid)
        column.addWidget(self.keys)
        column.addWidget(self.note)
        column.addStretch()
        page = QWidget()
        page.setLayout(column)
        self.pages.addTab(page, "Review")
        self.pages.addTab(PromptPanel(iface), "Prompt")
        self.setWidget(self.pages)
        for changed in (self.visibilityChanged, self.keys.toggled, self.pages.currentChanged):
            changed.connect(self._set_keys)
        self.layers.layerChanged.connect(self.choose)
        self.choose(self.layers.currentLayer())

    def _set_keys(self, _=None):
        """Let keys work where the page of the review is seen."""
        on = self.pages.currentIndex() == 0 and self.pages.isVisible() and self.keys.isChecked()
        for shortcut in self.shortcuts:
            shortcut.setEnabled(on)

    def choose(self, layer):
        """Review another layer, None for none."""
        self.review = None if layer is None else Review(layer)
        self.note.setText(HELP[self.review is not None and self.review.by_window])
        self.class_name.clear()
        if layer is not None:
            self.class_name.addItems(class_names(layer))
        self.show_current()

    def act(self, method):
        """Do what a button says, and show what is next; what goes wrong is said in one line."""
        if self.review is None:
            self.said.setText("Choose a layer of polygons")
            return
        try:
            if method in ("edit", "split"):
                self.review.begin_edit()
                self.mark.reset()
                self.iface.mapCanvas().setSelectionColor(SELECTED)
                tool = self.iface.actionVertexTool() if method == "edit" else self.iface.actionSplitFeatures()
                tool.trigger()
                self.said.setText("Change it, then press A: it is kept as edited")
                return
            canvas = self.iface.mapCanvas()
            given = {
                "name": (self.class_name.currentText(),),
                "done": (QgsGeometry.fromRect(canvas.extent()), canvas.mapSettings().destinationCrs()),
            }
            getattr(self.review, method)(*given.get(method, ()))
        except ReviewError as error:
            self.said.setText(str(error))
            return
        self.show_current()

    def show_current(self):
        """Zoom to the polygon that is looked at, mark it, and say how far the review is."""
        if self.review is None or self.review.current is None:
            self.mark.reset()
            self.said.setText("Choose a layer of polygons" if self.review is None else "No polygon is left to be seen")
            return
        review, canvas = self.review, self.iface.mapCanvas()
        features, shape = review.features(), review.shape()
        self.iface.setActiveLayer(review.layer)  # whose polygons the tools of QGIS select
        box = canvas.mapSettings().layerExtentToOutputExtent(review.layer, shape.boundingBox())
        canvas.zoomToFeatureExtent(box)
        canvas.zoomByFactor(AROUND[review.by_window])
        self.mark.setToGeometry(shape, review.layer)
        self.said.setText(f"<b>{review.at + 1} of {len(review.order)}</b>, {_told(review, features)}")
        self.bar.setRange(0, len(review.order))
        self.bar.setValue(review.seen)


def class_names(layer):
    """Return the classes that the polygons of a layer may have: those of its style, and those it holds."""
    at = layer.fields().indexOf(CLASS)
    if at < 0:
        return []
    renderer = layer.renderer()
    styled = [c.value() for c in renderer.categories()] if getattr(renderer, "classAttribute", str)() == CLASS else []
    return list(dict.fromkeys(str(name) for name in (*styled, *sorted(layer.uniqueValues(at), key=str)) if name))


def _told(review, features):
    """Return in words what is looked at."""
    if not features:
        return "no polygon is left of it"
    if review.by_window:
        judged = sum(review.value(feature, REVIEW) in SEEN for feature in features)
        return f"{review.value(features[0], 'reason')}; {judged} of {len(features)} polygons judged"
    sure = next(filter(None, (review.value(features[0], name) for name in CONFIDENCE)), None)
    told = "" if sure is None else f"confidence {sure:.2f}, "
    return told + (review.value(features[0], REVIEW) or UNSEEN)
