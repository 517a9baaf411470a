"""The card of a model bundle: what it sees, what it answers, how well, and where it comes from."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from geoseg.cli.models import of_bundle
from geoseg.cli.table import table
from geoseg.models.border import stored
from geoseg.models.fitness import of_bytes
from geoseg.models.grouping import range_px

if TYPE_CHECKING:
    from geoseg.models.border import BorderProfile
    from geoseg.models.bundle import ModelBundle
    from geoseg.models.spec import ModelSpec

LOW, HIGH = 0.02, 0.98  # shares between which values are mostly
SHORT = 12  # characters of a sha256


def card(bundle: "ModelBundle") -> dict[str, Any]:
    """Return all that a bundle says of itself, as JSON values."""
    spec = bundle.spec
    known = of_bundle(bundle)
    return {
        "name": spec.name,
        "folder": bundle.path,
        **{key: value for key, value in known.items() if key not in ("bands", "classes", "optional")},
        "network": {"name": spec.arch.name, "options": spec.arch.options, **_kept(spec, "parameters")},
        "bands": list(_bands(spec)),
        "bytes_wanted": of_bytes(spec),
        "windows": {
            "window_px": spec.window_px, "margin_px": spec.margin_px, "ramp_px": spec.ramp_px,
            "multiple_px": spec.multiple_px, "tta": spec.tta,
        },
        "memory": _memory(spec),
        "border": None if (profile := stored(Path(bundle.path))) is None else profile.in_words(),
        "border_choice": None if profile is None else choice(profile, spec),
        "outputs": [
            {"name": group.name, "activation": group.activation, "channels": [c.name for c in group.channels],
             "unit": group.unit} for group in spec.outputs
        ],
        "classes": [{"id": c.id, "name": c.name, "color": c.hex} for c in spec.classes],
        "polygon_class": spec.polygon_class,
        "grouping": _grouping(spec),
        "objects": _objects(spec),
        "threshold": spec.threshold if spec.polygon_class else None,
        "calibration": spec.training.get("calibration"),
        "robustness": spec.training.get("robustness"),
        "thresholds": dict(spec.thresholds),
        "attribution": spec.attribution,
        "training": _kept(
            spec, "scenes", "manifest", "encoder", "stem", "kept_epoch", "validation_iou", "precision", "checkpoint"
        ),
    }  # fmt: skip


def choice(profile: "BorderProfile", spec: "ModelSpec") -> str:
    """Return what a bundle's margin leaves of the border that its profile shows, and which one the profile asks for."""
    left = f"{profile.kept(spec.margin_px):.1%}".replace("%", " %")
    said = f"a margin of {spec.margin_px} px is left out of every window; of the rest at most {left} differ"
    wanted = profile.margin_px(spec)
    return said if wanted == spec.margin_px else f"{said}; a training would choose {wanted} px"


def _kept(spec: "ModelSpec", *keys: str) -> dict[str, Any]:
    return {key: spec.training[key] for key in keys if key in spec.training}


def _grouping(spec: "ModelSpec") -> dict[str, Any] | None:
    """Return how objects are made, and how far their pixels may lie from their centres, where there are any."""
    far = range_px(spec.outputs) if spec.grouped else None
    return None if spec.grouping is None else {**spec.grouping.model_dump(), "range_px": far}


def _objects(spec: "ModelSpec") -> dict[str, Any] | None:
    """Return how detections become objects, and how large those are that some window holds whole, wherever they lie."""
    if spec.objects is None:
        return None
    return {**spec.objects.model_dump(), "whole_px": 2 * spec.margin_px + spec.ramp_px - 2 * spec.objects.edge_px}


def _memory(spec: "ModelSpec") -> dict[str, int] | None:
    """Return what a call for one window was seen to hold, and what the masks take that it may list, None if unknown."""
    if spec.probed is None:
        return None
    masks = 0 if spec.objects is None else spec.objects.per_window * spec.window_px**2
    return {"network_bytes": spec.probed.live_bytes, "masks_bytes": masks}


def _bands(spec: "ModelSpec") -> Iterator[dict[str, Any]]:
    """Yield what is known of each input channel, in order."""
    formulas = {one.band: one.formula for one in spec.derived}
    spans = None if spec.values is None else (spec.values.at(LOW).tolist(), spec.values.at(HIGH).tolist())
    for i, band in enumerate(spec.bands):
        yield {
            "name": band.name,
            "wavelength_nm": band.wavelength_nm,
            "derived": formulas.get(band.name),
            "optional": band.name in spec.optional,
            "mostly": None if spans is None else [spans[0][i], spans[1][i]],
            "mean": spec.normalisation.mean[i],
            "std": spec.normalisation.std[i],
        }


def as_text(known: dict[str, Any]) -> str:
    """Return a card as small tables."""
    bands = [
        [
            i + 1, band["name"], "–" if band["wavelength_nm"] is None else f"{band['wavelength_nm']:g}",
            "–" if band["mostly"] is None else "{:.4g} to {:.4g}".format(*band["mostly"]),
            f"(v - {band['mean']:.4g}) / {band['std']:.4g}",
            band["derived"] or ("may be lacking" if band["optional"] else ""),
        ]
        for i, band in enumerate(known["bands"])
    ]  # fmt: skip
    classes = [[c["id"], c["name"], c["color"]] for c in known["classes"]]
    tables = [table(bands, head=["band", "name", "nm", "trained on", "normalised", ""])]
    if classes:
        tables.append(table(classes, head=["class", "name", "colour"]))
    return "\n\n".join(
        (
            f"{known['name']}\n" + table([[f"  {key}", value] for key, value in _rows(known)]),
            *tables,
        )
    )


def _rows(known: dict[str, Any]) -> Iterator[tuple[str, str]]:
    network, windows, span = known["network"], known["windows"], known["resolution_m"]
    options = ", ".join(f"{key} {value}" for key, value in network["options"].items() if not isinstance(value, dict))
    count = f"; {network['parameters']:,} parameters" if "parameters" in network else ""
    yield "network", f"{network['name']}{f' ({options})' if options else ''}{count}"
    yield "values", known["quantity"] or ("bytes, 0 to 255" if known["bytes_wanted"] else "as the bands' table says")
    yield "resolution", "any" if span is None else f"{' to '.join(f'{m:g}' for m in dict.fromkeys(span))} m"
    yield (
        "windows",
        f"{windows['window_px']} px, {windows['margin_px']} px of margin and {windows['ramp_px']} px of blending, in "
        f"steps of {windows['multiple_px']} px; views: {windows['tta']}",
    )
    if memory := known["memory"]:
        masks = f" and {memory['masks_bytes'] / 1e6:.0f} MB of masks at most" if memory["masks_bytes"] else ""
        yield (
            "memory",
            f"{memory['network_bytes'] / 1e6:.0f} MB inside the network{masks}, for a call of one window; "
            f"geoseg plan SCENE says what a run takes",
        )
    yield "border", known["border"] or "not measured"
    if known["border_choice"]:
        yield "", known["border_choice"]
    for group in known["outputs"]:
        channels = f"{', '.join(group['channels'])} {group['unit']}".strip()
        yield "answers", f"{group['name']}, {group['activation']}: {channels}"
    yield "task", known["task"]
    if grouping := known["grouping"]:
        how = "connected areas, parted where they are narrow"
        if grouping["by"] == "centres":
            how = f"objects of up to {2 * grouping['range_px']} px of the model's from side to side are told apart"
        yield "things", f"{', '.join(grouping['things'])}; {how}"
    if objects := known["objects"]:
        yield (
            "things",
            f"{', '.join(objects['things'])}; objects up to {objects['whole_px']} px of the model's from side to side "
            f"are seen whole, larger ones are joined of pieces; {objects['per_window']} a window at most",
        )
    if known["polygon_class"]:
        yield "polygons of", f"{known['polygon_class']}, from a probability of {known['threshold']:g}"
    if told := known["calibration"]:
        error = f"{told['before']['ece']:.3f} before, {told['after']['ece']:.3f} after"
        yield "calibrated", f"by {told['method']}; expected calibration error {error}"
    if known["thresholds"]:
        yield "thresholds", ", ".join(f"{name} {value:g}" for name, value in known["thresholds"].items())
    if card := known["robustness"]:
        for i, (name, share) in enumerate(card["changed"].items()):
            yield "robustness" if i == 0 else "", f"{share:.2%} of pixels change their class: {name}"
    yield "ground", known["ground"] or "not told"
    yield from (("scores" if i == 0 else "", line) for i, line in enumerate(known["scores"] or ["none told"]))
    yield from (("trained on" if i == 0 else "", line) for i, line in enumerate(_training(known)))
    yield "licence", known["licence"] or "not told"
    if known["attribution"]:
        yield "attribution", known["attribution"]
    yield "weights", f"{known['bytes'] / 1e6:.2f} MB, digest {known['digest'][:SHORT]}"
    yield "folder", known["folder"]


def _training(known: dict[str, Any]) -> list[str]:
    """Return lines of what a network learnt from, and how well it did on what it was watched on."""
    told = known["training"]
    lines = [f"{told['scenes']} scenes"] if "scenes" in told else []
    lines += [
        f"{', '.join(row['scene'])} with {row['labels']} (sha256 {' '.join(d[:SHORT] for d in row['sha256'])})"
        for row in told.get("manifest", [])
    ]
    if encoder := told.get("encoder"):
        lines.append("encoder: " + ", ".join(f"{key} {str(value)[:64]}" for key, value in encoder.items()))
    if stem := told.get("stem"):
        lines.append("input layer: " + "; ".join(f"{band}: {how}" for band, how in stem.items()))
    if ious := told.get("validation_iou"):
        named = zip((c["name"] for c in known["classes"]), ious, strict=False)
        scored = ", ".join(f"{name} {iou:.3f}" for name, iou in named if iou is not None)
        lines.append(f"validation IoU: {scored} (epoch {told.get('kept_epoch', '–')})")
    return lines or ["not told"]
