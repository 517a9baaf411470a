"""Classes of a target that names none: values, names and colours of its label rasters."""

from collections import Counter
from collections.abc import Sequence

from geoseg.errors import ConfigError
from geoseg.outputs.class_table import read_classes
from geoseg.scenes.reading import open_raster
from geoseg.training.data_spec import LabelledScene
from geoseg.training.label_rasters import count_values, value_text
from geoseg.training.label_spec import LabelLayer
from geoseg.training.labels import is_raster
from geoseg.training.targets import ClassTarget
from geoseg.values.box import Box
from geoseg.values.classes import ClassInfo, parse_color

MOST_CLASSES = 254
MOST_FILES = 200  # whose values are looked at


def with_classes(target: ClassTarget, data: Sequence[LabelledScene]) -> ClassTarget:
    """Return the target with the classes of the label rasters of ``data``: their values are ids, where they can be.

    Raises ConfigError where there is no raster, or it holds more values than there can be classes.
    """
    layers = list({layer.file: layer for item in data for layer in item.layers if is_raster(layer.file)}.values())
    if not layers:
        raise ConfigError("target.classes are missing; only label rasters bring their own")
    counts: Counter[int] = Counter()
    for layer in layers[:MOST_FILES]:
        counts += _counts(layer)
    values = sorted(counts)
    if not 1 <= len(values) <= MOST_CLASSES:
        raise ConfigError(
            f"{layers[0].file}: {len(values)} values; classes are 1 to {MOST_CLASSES}, name them in target"
        )
    with open_raster(layers[0].file) as src:
        coded = src.count >= 3
        table = () if coded else read_classes(src, 1, values)
    if coded:
        texts = [value_text(v, coded=True) for v in values]
        table = tuple(ClassInfo(i, t, parse_color(t)) for i, t in enumerate(texts, 1))
    named = [c for c in table if coded or c.id in counts]
    keeps = all(1 <= v <= MOST_CLASSES for v in values)
    classes = tuple(ClassInfo(c.id if keeps else i, c.name, c.color) for i, c in enumerate(named, 1))
    means = {value_text(v, coded=coded): c.id for v, c in zip(values, classes, strict=True)}
    return ClassTarget.model_validate(
        {**target.model_dump(exclude={"classes", "values"}), "classes": classes, "values": means | target.values}
    )


def _counts(layer: LabelLayer) -> Counter[int]:
    with open_raster(layer.file) as src:
        return count_values(src, Box(0, 0, src.height, src.width), layer)
