"""QGIS: the plugin, and how it comes into a profile. The plugin itself runs in QGIS's Python and imports no geoseg."""
