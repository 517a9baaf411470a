"""A review of a layer: the order of its polygons and what is written. The dock is its window; none is needed here."""

from pathlib import Path

from qgis.core import (
    NULL,
    QgsCoordinateTransform,
    QgsDistanceArea,
    QgsFeature,
    QgsFeatureRequest,
    QgsFillSymbol,
    QgsGeometry,
    QgsProject,
    QgsVectorFileWriter,
    QgsVectorLayer,
    QgsWkbTypes,
)

REVIEW, UNSEEN = "review", "unseen"
SEEN = ("accepted", "rejected", "edited")
CONFIDENCE = ("confidence", "predicted_iou")  # columns by which polygons are ordered; the first that is there
OF_WINDOWS = {"rank", "reason"}  # columns of what ``geoseg review`` writes
CLASS = "class"


class ReviewError(Exception):
    """What a user is told in one line."""


class Review:
    """The polygons of a layer by least confidence, or its windows as ``geoseg review`` ranks them; those seen last.

    A step is the polygon of one id, or all polygons of one rank.
    """

    def __init__(self, layer):
        self.layer = layer
        names = layer.fields().names()
        self.by_window = set(names) >= OF_WINDOWS
        column = next((name for name in CONFIDENCE if name in names), None)
        steps, self.ground = {}, {}
        for feature in layer.getFeatures():
            step = self.value(feature, "rank") if self.by_window else feature.id()
            if step is None:  # drawn by hand into no window
                continue
            sure = step if self.by_window else feature[column] if column else 0
            seen, _ = steps.get(step, (True, 0))
            steps[step] = seen and self.value(feature, REVIEW) in SEEN, 0 if sure in (None, NULL) else sure
            if self.by_window:
                self.ground.setdefault(step, []).append(feature.geometry())
        self.ground = {step: QgsGeometry.unaryUnion(shapes).convexHull() for step, shapes in self.ground.items()}
        self.order = sorted(steps, key=lambda step: (*steps[step], step))
        self.left = {step for step, (seen, _) in steps.items() if not seen}
        self.at = 0

    @property
    def current(self):
        """What is looked at: the id of a polygon, or the rank of a window; None where there is none."""
        return self.order[self.at] if self.at < len(self.order) else None

    def features(self):
        """Return the polygons that are looked at; raises ReviewError where there is none."""
        if self.current is None:
            raise ReviewError("No polygon is chosen")
        if not self.by_window:
            return [self.layer.getFeature(self.current)]
        return list(self.layer.getFeatures(QgsFeatureRequest().setFilterExpression(f'"rank" = {self.current}')))

    def shape(self):
        """Return the outline of what is looked at."""
        features = self.features()
        return QgsGeometry(self.ground[self.current]) if self.by_window else features[0].geometry()

    @property
    def seen(self):
        """Number of steps that have been judged."""
        return len(self.order) - len(self.left)

    def value(self, feature, name):
        """Return an attribute, None where the layer has it not, or the feature."""
        if name not in self.layer.fields().names():
            return None
        return None if feature[name] == NULL else feature[name]

    def accept(self):
        """Say that what is looked at is right, as it is or as it was edited, and go on."""
        self._verdict("accepted")

    def reject(self):
        """Say that there is nothing of the kind, and go on."""
        self._verdict("rejected")

    def name(self, word):
        """Give what is looked at another class, and go on."""
        if CLASS not in self.layer.fields().names():
            raise ReviewError(f"{self.layer.name()} has no column {CLASS}")
        if self.by_window and not self._selected():
            raise ReviewError("Select the polygons of this window that are of another class")
        self._verdict("edited", word)

    def skip(self):
        """Go on without a word."""
        self.at = min(self.at + 1, max(len(self.order) - 1, 0))

    def back(self):
        """Go back."""
        self.at = max(self.at - 1, 0)

    def begin_edit(self):
        """Open the layer for the tools of QGIS, with the polygon selected; a verdict keeps what they do."""
        shown = self.features()
        self._add_column()
        if not self.layer.isEditable() and not self.layer.startEditing():
            raise ReviewError(f"{self.layer.name()} cannot be edited; save it as a GeoPackage first")
        if not self.by_window:
            self.layer.selectByIds([shown[0].id()])

    def merge(self):
        """Join the polygon with those selected, or with the neighbour with the longest common border.

        Of a window, those of its polygons that are selected.
        """
        if self.by_window:
            parts = sorted(self._selected(), key=lambda f: f.geometry().area(), reverse=True)
        else:
            (feature,) = self.features()
            others = [f for f in self.layer.selectedFeatures() if f.id() != feature.id()] or self._neighbour(feature)
            parts = [feature, *others]
        if len(parts) < 2:
            raise ReviewError("No polygon touches this one; select those to merge it with")
        feature, *others = parts
        shape = QgsGeometry.unaryUnion([part.geometry() for part in parts])
        shape.convertToMultiType()
        self._add_column()
        self.layer.startEditing()
        self.layer.changeGeometry(feature.id(), shape)
        gone = {other.id() for other in others}
        self.layer.deleteFeatures(list(gone))
        if not self.by_window:
            self.order = [number for number in self.order if number not in gone]
            self.left -= gone
            self.at = self.order.index(feature.id())
        self.layer.selectByIds([feature.id()])
        self._verdict("edited")

    def done(self, view, crs):
        """Mark the view as done; of a window, what was not judged is right, and its ground is done: go on."""
        self._mark(*((self.shape(), self.layer.crs()) if self.by_window else (view, crs)))
        if self.by_window:
            self.layer.removeSelection()  # of a part of it
            self._verdict("accepted")

    def _mark(self, shape, crs):
        """Add ground that was looked through to the file beside the layer's, which is made where it is not there."""
        source = Path(self.layer.source().split("|")[0])
        if not source.is_file():
            raise ReviewError(f"{self.layer.name()} lies in no file; save it as a GeoPackage first")
        path = source.with_name(f"{source.stem}_done.gpkg")
        uri = f"{path}|layername=done"
        if not path.exists():
            options = QgsVectorFileWriter.SaveVectorOptions()
            options.driverName, options.layerName = "GPKG", "done"
            options.datasourceOptions = ["VERSION=1.3"]
            context, columns = QgsProject.instance().transformContext(), _fields("done:bool")
            given = (str(path), columns, QgsWkbTypes.Type.Polygon, self.layer.crs(), context, options)
            writer = QgsVectorFileWriter.create(*given)
            if writer.hasError():
                raise ReviewError(f"{path} cannot be written: {writer.errorMessage()}")
            del writer  # which writes the file
        shape.transform(QgsCoordinateTransform(crs, self.layer.crs(), QgsProject.instance()))
        done = QgsVectorLayer(uri, f"{self.layer.name()}: done", "ogr")
        feature = QgsFeature(done.fields())
        feature.setGeometry(shape)
        feature["done"] = True
        if not done.dataProvider().addFeatures([feature])[0]:
            raise ReviewError(f"{path} cannot be written; is it open elsewhere?")
        self._show(done)

    def _show(self, done):
        project = QgsProject.instance()
        there = [one for one in project.mapLayers().values() if one.source() == done.source()]
        for one in there:
            one.reload()
        if not there:
            outline = {"style": "no", "outline_color": "0,120,215", "outline_width": "0.6"}
            done.renderer().setSymbol(QgsFillSymbol.createSimple(outline))
            project.addMapLayer(done)

    def _chosen(self):
        """Return the polygons of which something is said: of a window, those selected of it, or else those not seen."""
        if not self.by_window:
            return self.features()
        return self._selected() or [f for f in self.features() if self.value(f, REVIEW) not in SEEN]

    def _selected(self):
        """Return those that are selected of what is looked at."""
        selected = set(self.layer.selectedFeatureIds())
        return [feature for feature in self.features() if feature.id() in selected]

    def _verdict(self, word, class_name=None):
        """Write a word into ``review`` of what is chosen, and ``edited`` where a shape or an attribute was changed."""
        self._add_column()
        touched = self._touched()
        self.layer.startEditing()
        names = self.layer.fields().names()
        chosen = [feature.id() for feature in self._chosen()]
        kept = touched if word == "accepted" else set()
        said = {**dict.fromkeys(touched, "edited"), **{number: word for number in chosen if number not in kept}}
        for number, word_of_it in said.items():
            self.layer.changeAttributeValue(number, names.index(REVIEW), word_of_it)
        for number in chosen if class_name else ():
            self.layer.changeAttributeValue(number, names.index(CLASS), class_name)
        self._measure(touched)
        if not self.layer.commitChanges():
            raise ReviewError(f"{self.layer.name()}: not saved: {'; '.join(self.layer.commitErrors())}")
        self.layer.removeSelection()
        if all(self.value(feature, REVIEW) in SEEN for feature in self.features()):
            self.left.discard(self.current)
            self.skip()

    def _touched(self):
        """Return the ids of the polygons that were changed or added since editing began."""
        if not self.layer.isEditable():
            return set()
        edits = self.layer.editBuffer()
        own = {self.layer.fields().indexOf(REVIEW)}
        values = {number for number, new in edits.changedAttributeValues().items() if set(new) - own}
        return {*edits.changedGeometries(), *values, *edits.addedFeatures()} - set(edits.deletedFeatureIds())

    def _measure(self, touched):
        """Write the true area and perimeter of polygons anew."""
        tape = QgsDistanceArea()
        tape.setSourceCrs(self.layer.crs(), QgsProject.instance().transformContext())
        tape.setEllipsoid(self.layer.crs().ellipsoidAcronym() or "EPSG:7030")
        names = self.layer.fields().names()
        for number in touched:
            shape = self.layer.getFeature(number).geometry()
            for name, measured in (("area_m2", tape.measureArea), ("perimeter_m", tape.measurePerimeter)):
                if name in names:
                    self.layer.changeAttributeValue(number, names.index(name), measured(shape))

    def _neighbour(self, feature):
        """Return the polygon with the longest border in common with one, in a list; none: []."""
        shape = feature.geometry()
        near = [f for f in self.layer.getFeatures(shape.boundingBox()) if f.id() != feature.id()]
        near = [(shape.intersection(f.geometry()).length(), f.id(), f) for f in near if shape.intersects(f.geometry())]
        return [max(near)[2]] if near else []

    def _add_column(self):
        if REVIEW in self.layer.fields().names():
            return
        if not self.layer.dataProvider().addAttributes(_fields(f"{REVIEW}:string").toList()):
            raise ReviewError(f"{self.layer.name()} takes no column; save it as a GeoPackage first")
        self.layer.updateFields()


def _fields(told):
    """Return one column as a memory layer names it: Qt 5 and Qt 6 have other names for its type."""
    return QgsVectorLayer(f"None?field={told}(0,0)", "", "memory").fields()
