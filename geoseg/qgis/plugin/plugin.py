"""What QGIS loads: the Processing provider, and with a window the dock and its button."""

from pathlib import Path

from qgis.core import QgsApplication, QgsProcessingProvider
from qgis.PyQt.QtGui import QIcon

from .algorithms import VERBS, Verb
from .setup_environment import MakeEnvironment

ICON = str(Path(__file__).with_name("icon.svg"))


class Provider(QgsProcessingProvider):
    """geoseg's algorithms."""

    def id(self):
        """Return the first part of the algorithms' names."""
        return "geoseg"

    def name(self):
        """Return what the toolbox shows."""
        return "geoseg"

    def icon(self):
        """Return the picture beside it."""
        return QIcon(ICON)

    def loadAlgorithms(self):  # noqa: N802
        """Add all algorithms."""
        for verb in VERBS:
            self.addAlgorithm(Verb(verb))
        self.addAlgorithm(MakeEnvironment())


class Plugin:
    """The plugin; iface is None in qgis_process."""

    def __init__(self, iface):
        self.iface, self.provider, self.dock, self.action = iface, None, None, None

    def initProcessing(self):  # noqa: N802
        """Add the provider."""
        self.provider = Provider()
        QgsApplication.processingRegistry().addProvider(self.provider)

    def initGui(self):  # noqa: N802
        """Add the provider, and the dock with a button that shows it."""
        self.initProcessing()
        from qgis.PyQt.QtCore import Qt

        from .dock import ReviewDock

        self.dock = ReviewDock(self.iface)
        self.iface.addDockWidget(Qt.DockWidgetArea.RightDockWidgetArea, self.dock)
        self.dock.hide()
        self.action = self.dock.toggleViewAction()
        self.action.setIcon(QIcon(ICON))
        self.action.setText("Review and prompt (geoseg)")
        self.iface.addToolBarIcon(self.action)
        self.iface.addPluginToMenu("geoseg", self.action)

    def unload(self):
        """Take all of it away."""
        if self.provider is not None:
            QgsApplication.processingRegistry().removeProvider(self.provider)
        if self.dock is not None:
            self.iface.removeToolBarIcon(self.action)
            self.iface.removePluginMenu("geoseg", self.action)
            self.iface.removeDockWidget(self.dock)
            self.dock.close()
            self.dock.deleteLater()
