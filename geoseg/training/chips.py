"""Folders of image chips and their masks: one entry of the data becomes one of each chip, paired by name."""

import re
from collections.abc import Iterator
from pathlib import Path

from geoseg.disk.places import RASTER_FILES, VECTORS
from geoseg.errors import ConfigError, InputError
from geoseg.training.data_spec import LabelledScene
from geoseg.training.label_spec import LabelLayer


def expanded(item: LabelledScene) -> Iterator[LabelledScene]:
    """Yield an entry as it is, or where its scene is a folder or has a ``*``, one for each file, in order of name.

    Labels in a folder have the name of their scene, whatever the suffix; a ``*`` in them stands for what the scene's
    does. Raises InputError where there is no chip, or one has no labels.
    """
    pattern = item.name
    if not isinstance(item.scene, str) or not ("*" in pattern or Path(pattern).is_dir()):
        yield item
        return
    found = matched(pattern, RASTER_FILES)
    if not found:
        raise InputError(f"{pattern}: no image; chips are {', '.join(RASTER_FILES)}")
    labels = [(layer, _of_stars(layer.file)) for layer in item.layers]
    truth = {name: _of_stars(file) for name, file in item.truth.items()}
    every = [*(files for _, files in labels), *truth.values()]
    lacking = sorted(star for star in found if any(files is not None and star not in files for files in every))
    if lacking:
        raise InputError(f"{pattern}: {len(lacking)} of {len(found)} chips have no labels, such as {found[lacking[0]]}")
    for star, scene in found.items():
        layers = tuple(_at(layer, files, star) for layer, files in labels)
        own = {name: item.truth[name] if files is None else files[star] for name, files in truth.items()}
        yield item.model_copy(update={"scene": scene, "labels": layers, "truth": own, "site": item.site or pattern})


def matched(pattern: str, suffixes: tuple[str, ...]) -> dict[str, str]:
    """Return the files of a folder, or of a pattern with one ``*``, by what the star stands for, in order."""
    if "*" not in pattern:
        files = sorted(p for p in Path(pattern).iterdir() if p.suffix.lower() in suffixes)
        return {p.stem: str(p) for p in files}
    if pattern.count("*") > 1 or "*" in str(Path(pattern).parent):
        raise ConfigError(f"{pattern}: write one * in the name of the files, e.g. images/*_naip.tif")
    name = re.compile("(.*)".join(map(re.escape, Path(pattern).name.split("*"))))
    names = sorted(p.name for p in Path(pattern).parent.glob(Path(pattern).name))
    return {m[1]: str(Path(pattern).parent / n) for n in names if (m := name.fullmatch(n))}


def _of_stars(file: str) -> dict[str, str] | None:
    """Return labels by what the scene's star stands for; None for one file of all scenes."""
    return matched(file, (*RASTER_FILES, *VECTORS)) if "*" in file or Path(file).is_dir() else None


def _at(layer: LabelLayer, files: dict[str, str] | None, star: str) -> LabelLayer:
    return layer if files is None else layer.model_copy(update={"file": files[star]})
