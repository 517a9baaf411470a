"""Bundles that a name means, by their folders; geoseg/models/bundle.py reads them."""

from importlib import resources
from pathlib import Path

from geoseg.disk.places import models_folder

SPEC_FILE = "model.json"  # a folder with one is a bundle


def bundled_models() -> dict[str, Path]:
    """Return the bundles that come with geoseg, by name."""
    folder = Path(str(resources.files("geoseg"))) / "models" / "bundled"
    return {p.parent.name: p.parent for p in sorted(folder.glob(f"*/{SPEC_FILE}"))}


def known_models() -> dict[str, Path]:
    """Return the bundles that a name means: those that come with geoseg, then those in ``models_folder``.

    A bundle of the user's never takes a name that geoseg has.
    """
    own = bundled_models()
    found = {p.parent.name: p.parent for p in sorted(models_folder().glob(f"*/{SPEC_FILE}"))}
    return {**own, **{name: folder for name, folder in found.items() if name not in own}}
