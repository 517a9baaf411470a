"""A review of a layer: the order of its polygons and what is written. The dock is its window; none is needed here."""

from pathlib import Path

from qgis.core import (
    NULL,
    QgsCoordinateTransform,
    QgsDistanceArea,
    QgsFeature,
    QgsFeatureRequest,
    QgsFillSymbol,
    QgsProject,
    QgsVectorFileWriter,
    QgsVectorLayer,
    QgsWkbTypes,
)

REVIEW, UNSEEN = "review", "unseen"
SEEN = ("accepted", "rejected", "edited")


class ReviewError(Exception):
    """What a user is told in one line."""


class Review:
    """The polygons of a layer by least confidence, those not seen yet first."""

    def __init__(self, layer):
        self.layer = layer
        by_confidence = "confidence" in layer.fields().names()
        found = []
        for feature in layer.getFeatures():
            sure = feature["confidence"] if by_confidence else 0
            found.append((self.value(feature, REVIEW) in SEEN, 0 if sure in (None, NULL) else sure, feature.id()))
        found.sort()
        self.order = [number for _, _, number in found]
        self.seen = sum(done for done, _, _ in found)
        self.at = 0

    @property
    def count(self):
        """Number of polygons."""
        return len(self.order)

    @property
    def position(self):
        """Place of the current polygon, from 1."""
        return self.at + 1

    @property
    def current(self):
        """Id of the polygon that is looked at; None where there is none."""
        return self.order[self.at] if self.at < len(self.order) else None

    def feature(self):
        """Return it."""
        return self.layer.getFeature(self.current)

    def value(self, feature, name):
        """Return an attribute, None where the layer has it not, or the feature."""
        if name not in self.layer.fields().names():
            return None
        return None if feature[name] == NULL else feature[name]

    def accept(self):
        """Say that the polygon is right, as it is or as it was edited, and go on."""
        edited = self.layer.isEditable()
        self._verdict("edited" if edited else "accepted", measure=edited)

    def reject(self):
        """Say that there is nothing of the kind, and go on."""
        self._verdict("rejected")

    def skip(self):
        """Go on without a word."""
        self.at = min(self.at + 1, max(self.count - 1, 0))

    def back(self):
        """Go back."""
        self.at = max(self.at - 1, 0)

    def begin_edit(self):
        """Open the layer for the tools of QGIS, with the polygon selected; ``accept`` keeps what they do."""
        self._refuse_none()
        self._add_column()
        if not self.layer.isEditable() and not self.layer.startEditing():
            raise ReviewError(f"{self.layer.name()} cannot be edited; save it as a GeoPackage first")
        self.layer.changeAttributeValue(self.current, self.layer.fields().indexOf(REVIEW), "edited")
        self.layer.selectByIds([self.current])

    def merge(self):
        """Join the polygon with those selected, or with the neighbour with the longest common border."""
        self._refuse_none()
        feature = self.feature()
        others = [f for f in self.layer.selectedFeatures() if f.id() != feature.id()] or self._neighbour(feature)
        if not others:
            raise ReviewError("No polygon touches this one; select those to merge it with")
        shape = feature.geometry()
        for other in others:
            shape = shape.combine(other.geometry())
        shape.convertToMultiType()
        self._add_column()
        self.layer.startEditing()
        self.layer.changeGeometry(feature.id(), shape)
        self.layer.deleteFeatures([other.id() for other in others])
        gone = {other.id() for other in others}
        here = self.current
        self.order = [number for number in self.order if number not in gone]
        self.at = self.order.index(here)
        self._verdict("edited", measure=True)

    def mark_done(self, shape, crs):
        """Add ground that was looked through to the file beside the layer's, which is made where it is not there."""
        path = self.done_file()
        uri = f"{path}|layername=done"
        if not path.exists():
            options = QgsVectorFileWriter.SaveVectorOptions()
            options.driverName, options.layerName = "GPKG", "done"
            options.datasourceOptions = ["VERSION=1.3"]
            context = QgsProject.instance().transformContext()
            writer = QgsVectorFileWriter.create(
                str(path), _fields("done:bool"), QgsWkbTypes.Type.Polygon, self.layer.crs(), context, options
            )
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

    def done_file(self):
        """Return the file of the ground that was looked through."""
        source = Path(self.layer.source().split("|")[0])
        if not source.is_file():
            raise ReviewError(f"{self.layer.name()} lies in no file; save it as a GeoPackage first")
        return source.with_name(f"{source.stem}_done.gpkg")

    def _show(self, done):
        project = QgsProject.instance()
        there = [one for one in project.mapLayers().values() if one.source() == done.source()]
        for one in there:
            one.reload()
        if not there:
            outline = {"style": "no", "outline_color": "0,120,215", "outline_width": "0.6"}
            done.renderer().setSymbol(QgsFillSymbol.createSimple(outline))
            project.addMapLayer(done)

    def _verdict(self, word, *, measure=False):
        self._refuse_none()
        self._add_column()
        self.layer.startEditing()
        before = self.value(self.feature(), REVIEW)
        self.layer.changeAttributeValue(self.current, self.layer.fields().indexOf(REVIEW), word)
        if measure:
            self._measure()
        if not self.layer.commitChanges():
            raise ReviewError(f"{self.layer.name()}: not saved: {'; '.join(self.layer.commitErrors())}")
        self.seen += before not in SEEN
        self.layer.removeSelection()
        self.skip()

    def _measure(self):
        """Write the true area and perimeter of the polygons that carry the word edited anew."""
        tape = QgsDistanceArea()
        tape.setSourceCrs(self.layer.crs(), QgsProject.instance().transformContext())
        tape.setEllipsoid(self.layer.crs().ellipsoidAcronym() or "EPSG:7030")
        names = self.layer.fields().names()
        request = QgsFeatureRequest().setFilterExpression(f"\"{REVIEW}\" = 'edited'")
        for feature in self.layer.getFeatures(request):
            for name, measured in (("area_m2", tape.measureArea), ("perimeter_m", tape.measurePerimeter)):
                if name in names:
                    self.layer.changeAttributeValue(feature.id(), names.index(name), measured(feature.geometry()))

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

    def _refuse_none(self):
        if self.current is None:
            raise ReviewError("No polygon is chosen")


def _fields(told):
    """Return one column as a memory layer names it: Qt 5 and Qt 6 have other names for its type."""
    return QgsVectorLayer(f"None?field={told}(0,0)", "", "memory").fields()
