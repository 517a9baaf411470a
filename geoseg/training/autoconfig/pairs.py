"""Which files of a folder are scenes, and which labels each has."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from geoseg.disk.places import RASTER_FILES, VECTORS, holds_vectors
from geoseg.errors import ConfigError, InputError
from geoseg.scenes.reading import open_raster
from geoseg.training.chips import matched

MOST_VALUES = 64  # a raster of one band with more different integers is no label raster
LOOK_PX = 512  # along each side, to look at a raster's values


@dataclass(frozen=True, slots=True)
class Pair:
    """A scene and its labels, by names in the folder."""

    scene: str
    labels: str


@dataclass(frozen=True, slots=True)
class Pairs:
    """Every scene with its labels, and how they were found, in words."""

    each: tuple[Pair, ...]
    how: str


def pair(folder: Path, *, scenes: str | None, labels: str | None) -> Pairs:
    """Pair the scenes of a folder with their labels, by patterns with one ``*``, folders, or else by their names.

    Raises ConfigError where it cannot be seen which labels are meant, InputError where something is missing.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder")
    if (scenes is None) != (labels is None):
        raise ConfigError("--scenes and --labels belong together: give both or none")
    if scenes is not None and labels is not None:
        return _by_patterns(folder, scenes, labels)
    files = sorted(folder.iterdir())
    vectors = [p for p in files if holds_vectors(p)]
    rasters = [p for p in files if p.suffix.lower() in RASTER_FILES and p not in vectors]
    masks = [p for p in rasters if _holds_classes(p)]
    images = [p for p in rasters if p not in masks]
    if not images or not (masks or vectors):
        raise InputError(
            f"{folder}: {len(images)} scenes, {len(masks)} rasters of classes, {len(vectors)} vector files; scenes and "
            f"labels are needed: name them with --scenes and --labels"
        )
    found = [Pair(p.name, _labels_of(p, vectors, masks).name) for p in images]
    how = (
        "one vector file for all"
        if len(vectors) == 1 and not masks
        else "the longest beginning of names that is shared"
    )
    return Pairs(tuple(found), f"{_count(len(found))} with labels, by {how}")


def _shared(one: str, two: str) -> int:
    """Return how many letters two names begin with alike."""
    return next((i for i, (a, b) in enumerate(zip(one, two, strict=False)) if a != b), min(len(one), len(two)))


def _by_patterns(folder: Path, scenes: str, labels: str) -> Pairs:
    images = {star: str(Path(p).relative_to(folder)) for star, p in _matched(folder, scenes, RASTER_FILES).items()}
    if not images:
        raise InputError(f"{folder / scenes}: no scene; chips are {', '.join(RASTER_FILES)}")
    if "*" not in labels and not (folder / labels).is_dir():
        if not (folder / labels.partition("|")[0]).exists():
            raise InputError(f"{folder / labels}: no such file")
        return Pairs(
            tuple(Pair(p, labels) for p in images.values()), f"{_count(len(images))}, all labelled by {labels}"
        )
    truths = {
        s: str(Path(p).relative_to(folder)) for s, p in _matched(folder, labels, (*RASTER_FILES, *VECTORS)).items()
    }
    lacking = sorted(set(images) - set(truths))
    if len(lacking) == len(images):
        raise InputError(f"{folder}: no scene of {scenes} has labels in {labels}; what * stands for must be equal")
    both = tuple(Pair(images[s], truths[s]) for s in images if s in truths)
    left = f", {_count(len(lacking))} without labels left out" if lacking else ""
    return Pairs(both, f"{len(both)} pairs of {scenes} and {labels}{left}")


def _count(scenes: int) -> str:
    return f"{scenes} scene{'s' if scenes != 1 else ''}"


def _matched(folder: Path, pattern: str, suffixes: tuple[str, ...]) -> dict[str, str]:
    whole = folder / pattern
    if "*" in pattern or whole.is_dir():
        return matched(str(whole), suffixes)
    return {whole.stem: str(whole)} if whole.exists() else {}


def _holds_classes(path: Path) -> bool:
    """Whether a raster has one band of few different integers."""
    with open_raster(str(path)) as src:
        if src.count != 1 or np.dtype(src.dtypes[0]).kind not in "iu":
            return False
        shape = min(src.height, LOOK_PX), min(src.width, LOOK_PX)
        return len(np.unique(src.read(1, out_shape=shape))) <= MOST_VALUES


def _labels_of(scene: Path, vectors: list[Path], masks: list[Path]) -> Path:
    """Return the file whose name shares the longest beginning with the scene's; raises ConfigError where two do."""
    files = [*vectors, *masks]
    if len(files) == 1:
        return files[0]
    shared = [_shared(scene.stem, file.stem) for file in files]
    best = [file for file, n in zip(files, shared, strict=True) if n == max(shared) and n > 0]
    if len(best) != 1:
        names = ", ".join(file.name for file in (best or files)[:4])
        raise ConfigError(
            f"{scene.name}: which labels are its own? {names} could be; say it with --scenes and --labels, e.g. "
            f"--scenes '*_image.tif' --labels '*_labels.tif'"
        )
    return best[0]
