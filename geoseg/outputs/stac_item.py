"""item.json: a run as a STAC 1.1 item: where it lies, what made it, what its classes mean, and digests of its files."""

import re
from pathlib import Path
from typing import Any

import numpy as np

from geoseg.outputs.run_json import RunJson
from geoseg.values.grid import lonlat, pyproj_crs

EXTENSIONS = tuple(
    f"https://stac-extensions.github.io/{name}/schema.json"
    for name in ("projection/v2.0.0", "processing/v1.2.0", "classification/v2.0.0", "file/v2.1.0")
)
TYPES = {
    ".tif": "image/tiff; application=geotiff; profile=cloud-optimized",
    ".xml": "application/xml",
    ".gpkg": "application/geopackage+sqlite3",
    ".parquet": "application/vnd.apache.parquet",
    ".fgb": "application/vnd.flatgeobuf",
    ".geojson": "application/geo+json",
}
SHA256 = "1220"  # of a multihash: which function, and how many bytes
EDGE_POINTS = 9  # on each side of the scene, so that its outline bends as the ground does


def stac_item(run: RunJson, *, name: str) -> dict[str, Any]:
    """Return the item of a run's folder called ``name``; its datetime is when the map was made.

    That of an image without a place has no geometry.
    """
    facts, grid = run.facts, run.grid
    ring = _outline(run) if grid.has_place else []
    lon, lat = [p[0] for p in ring], [p[1] for p in ring]
    authority = pyproj_crs(grid.crs).to_authority(min_confidence=100) if grid.has_place else None
    models = facts["model"] if isinstance(facts["model"], list) else [facts["model"]]
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "stac_extensions": list(EXTENSIONS),
        "id": re.sub(r"[^\w.-]+", "_", name),
        "geometry": {"type": "Polygon", "coordinates": [ring]} if ring else None,
        **({"bbox": [min(lon), min(lat), max(lon), max(lat)]} if ring else {}),
        "properties": {
            "datetime": facts["run"]["finished"],
            "created": facts["run"]["finished"],
            "description": f"Map of {', '.join(c.name for c in run.classes)}; datetime is when it was made",
            "proj:code": ":".join(authority) if authority else None,
            "proj:wkt2": grid.crs.to_wkt(version="WKT2_2019") if grid.has_place else None,
            "proj:shape": list(grid.shape),
            "proj:transform": list(grid.transform)[:6],
            "processing:software": {"geoseg": facts["version"]},
            "processing:lineage": f"geoseg with {', '.join(m['name'] for m in models)}",
        },
        "links": [
            *({"rel": "derived_from", "href": file} for file in facts["scene"]["files"]),
            *({"rel": "mlm:model", "href": f"urn:sha256:{m['sha256']}", "title": m["name"]} for m in models),
        ],
        "assets": {file: _asset(file, run) for file in facts["outputs"]},
    }


def _asset(file: str, run: RunJson) -> dict[str, Any]:
    stated = run.facts["outputs"][file]
    asset = {
        "href": f"./{file}",
        "type": TYPES.get(Path(file).suffix, "application/octet-stream"),
        "roles": ["metadata" if file.endswith((".xml", ".qml")) else "data"],
        "file:checksum": SHA256 + stated["sha256"],
        "file:size": stated["bytes"],
    }
    if file == run.class_file:
        asset["classification:classes"] = [
            {
                "value": c.id,
                "name": re.sub(r"[^0-9A-Za-z_-]+", "_", c.name),
                "title": c.name,
                "color_hint": c.hex[1:].upper(),
            }
            for c in run.classes
        ]
    return asset


def _outline(run: RunJson) -> list[list[float]]:
    """Return the scene's outline as (longitude, latitude), counter-clockwise and closed."""
    along = np.linspace(0, 1, EDGE_POINTS)[:-1]
    zero, one = np.zeros_like(along), np.ones_like(along)
    cols = np.concatenate([zero, along, one, 1 - along]) * run.grid.width
    rows = np.concatenate([along, one, 1 - along, zero]) * run.grid.height
    t = run.grid.transform
    lon, lat = lonlat(run.grid.crs, t.a * cols + t.b * rows + t.c, t.d * cols + t.e * rows + t.f)
    ring = np.stack([lon, lat], 1).round(7)
    x, y = ring.T
    area = float((x * np.roll(y, -1) - np.roll(x, -1) * y).sum())
    ring = ring if area > 0 else ring[::-1]
    return [*ring.tolist(), ring[0].tolist()]
