"""geoseg in QGIS: algorithms in the Processing toolbox, and a dock for review. Python 3.9, Qt 5; Qt 6 is untried."""


def classFactory(iface):  # noqa: N802  # the name that QGIS calls
    """Return the plugin; QGIS calls this."""
    from .plugin import Plugin

    return Plugin(iface)
