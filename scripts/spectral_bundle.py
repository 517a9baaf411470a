"""Write the bundle `spectral`: rules over spectral indices, whose thresholds are the network's weights.

usage: python scripts/spectral_bundle.py [FOLDER]    (default: geoseg/models/bundled/spectral, replaced)
"""

import sys
from pathlib import Path

import torch

from geoseg.models.architectures import build_network
from geoseg.models.bundle import ModelBundle, save_model
from geoseg.models.outputs import Channel, Output
from geoseg.models.spec import Architecture, ModelSpec, Normalisation
from geoseg.values.bands import BandSet
from geoseg.values.classes import ClassInfo

# Rules in order; each condition is index, side, threshold. docs/model.md says where each threshold comes from.
RULES: tuple[tuple[str, str, tuple[tuple[str, str, float], ...]], ...] = (
    ("snow", "snow", (("mndwi", ">", 0.4), ("red", ">", 0.2), ("nir", ">", 0.25))),
    ("water", "water", (("mndwi", ">", 0.0), ("ndvi", "<", 0.2))),
    ("dark water", "water", (("mndwi", ">", 0.0), ("evi", "<", 0.1))),
    ("dense vegetation", "dense vegetation", (("ndvi", ">", 0.5),)),
    ("sparse vegetation", "sparse vegetation", (("ndvi", ">", 0.2),)),
    ("bare or built", "bare or built", ()),
)
INDICES = ("ndvi", "mndwi", "evi", "red", "nir")
SLOPES = {
    "ndvi": 20.0,
    "mndwi": 20.0,
    "evi": 50.0,
    "red": 50.0,
    "nir": 50.0,
}  # p = .88 at 0.1 beyond a threshold, or 0.04
MET = 20.0  # offset of a condition that a rule does not have: sigmoid 1
CLASSES = (
    ClassInfo(1, "water", (65, 117, 180)),
    ClassInfo(2, "dense vegetation", (35, 110, 55)),
    ClassInfo(3, "sparse vegetation", (165, 200, 105)),
    ClassInfo(4, "bare or built", (190, 160, 130)),
    ClassInfo(5, "snow", (240, 245, 250)),
)
SCORES = (  # benchmarks/spectral_places.py
    "flooded fields, Spain, Sentinel-2 L1C, drawn by hand: water IoU 0.740",
    "coast of Paraná, Sentinel-2 L2A, ESRI's model as truth: water IoU 0.605, vegetation 0.945, bare or built 0.249",
    "Temuco, Sentinel-2 L2A, ESRI's model as truth: water IoU 0.047, vegetation 0.509, bare or built 0.040",
    "Maryland, Landsat 8, leaf on: vegetation IoU 0.944, bare or built 0.084, water 0.051",
)


def spec() -> ModelSpec:
    """Return what model.json says."""
    ids = {c.name: c.id for c in CLASSES}
    bands = BandSet.parse("blue,green,red,nir,swir16").bands
    return ModelSpec(
        name="spectral",
        arch=Architecture(name="spectral-rules", options={"indices": list(INDICES)}),
        bands=bands,
        gsd_m=None,
        suits_m=(10.0, 30.0),
        quantity="reflectance",
        normalisation=Normalisation(mean=(0.0,) * len(bands), std=(1.0,) * len(bands)),
        window_px=1024,
        margin_px=0,
        ramp_px=0,
        outputs=(Output(channels=tuple(Channel(name=name, class_id=ids[of]) for name, of, _ in RULES)),),
        classes=CLASSES,
        licence="Apache-2.0",
        ground="none: published thresholds",
        scores=SCORES,
    )


def write(folder: Path) -> ModelBundle:
    """Write the bundle; one that lies there is replaced."""
    wanted = spec()
    network = build_network(wanted.arch, in_channels=len(wanted.bands), out_channels=wanted.out_channels)
    slope, offset = torch.zeros_like(network.slope), torch.full_like(network.offset, MET)
    for row, (_, _, conditions) in enumerate(RULES[:-1]):
        for name, side, threshold in conditions:
            column = INDICES.index(name)
            slope[row, column] = SLOPES[name] * (1 if side == ">" else -1)
            offset[row, column] = -slope[row, column] * threshold
    network.load_state_dict({"slope": slope, "offset": offset})
    return save_model(folder, network, spec=wanted, half=False, overwrite=True)


if __name__ == "__main__":
    root = Path(__file__).resolve().parent.parent
    print(write(Path(sys.argv[1]) if sys.argv[1:] else root / "geoseg" / "models" / "bundled" / "spectral").path)
