"""The products that are known, and which bands of them make a scene."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from geoseg.scenes.geotiff import describe_file
from geoseg.scenes.mosaic import mosaic
from geoseg.scenes.products import landsat, planet, safe, stac, vendor
from geoseg.scenes.products.contents import Contents, contents_of
from geoseg.scenes.recipe import Described, Given
from geoseg.scenes.tile_lists import Listed, product_names

KINDS: tuple[Callable[[Contents, Given], list[Described]], ...] = (  # each: the scenes of its product, none of others
    safe.scenes,
    landsat.scenes,
    planet.scenes,
    vendor.scenes,
)


def recipe(given: Given) -> Described | None:
    """Return the scene of a product, or the mosaic of several; raises InputError where files of one are missing."""
    paths = given.paths
    if len(paths) == 1 and (names := product_names(paths[0])):
        paths = tuple(names)
    found = [scene for path in paths for scene in _scenes(path, given)]
    if not found:
        return None
    if len(paths) > 1 and len(found) < len(paths):  # products beside plain rasters
        found += [describe_file(path, given) for path in paths if not _scenes(path, given)]
    return one(found, given)


def one(scenes: Sequence[Described], given: Given) -> Described:
    """Return a scene, or the mosaic of several."""
    if len(scenes) == 1 and given.warp_to is None:
        return scenes[0]
    listed = [Listed(scene.sources[0].file, scene.date, scene.clouds) for scene in scenes]
    made = mosaic(list(zip(listed, scenes, strict=True)), given, lone=set())
    return replace(made, notes=(*dict.fromkeys(note for scene in scenes for note in scene.notes), *made.notes))


def _scenes(path: str, given: Given) -> list[Described]:
    if items := stac.scenes(path, given):
        return items
    contents = contents_of(path)
    if contents is None:
        return []
    return next((scenes for kind in KINDS if (scenes := kind(contents, given))), [])
