"""The class table of building models: one place for its ids, names and colours."""

from geoseg.classes import ClassInfo

BUILDING_CLASSES = (ClassInfo(1, "background", (233, 229, 220)), ClassInfo(2, "building", (200, 66, 46)))
