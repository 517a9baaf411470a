"""Manifest: which files a network learnt from, by name and sha256; folders are nobody's business."""

import hashlib
from pathlib import Path

from geoseg.training.spec import TrainSpec


def manifest(spec: TrainSpec) -> list[dict[str, object]]:
    """Return scene, labels and their sha256 of each entry of the data; remote files have names alone."""
    rows: list[dict[str, object]] = []
    for item in spec.data:
        scenes = [item.scene] if isinstance(item.scene, str) else list(item.scene)
        digests = [_sha256(file) for file in (*scenes, item.labels)]
        rows.append(
            {
                "scene": [Path(s).name for s in scenes],
                "labels": Path(item.labels).name,
                "sha256": [digest for digest in digests if digest],
            }
        )
    return rows


def _sha256(name: str) -> str | None:
    if not Path(name).is_file():
        return None
    with Path(name).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
