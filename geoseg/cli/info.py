"""geoseg info: what a scene is, or a model bundle."""

from pathlib import Path
from typing import Any

from geoseg.cli.options import JsonOut, SceneFlags, spread
from geoseg.cli.table import print_json, table


@spread
def info(scene: SceneFlags, *, json_out: JsonOut = False) -> None:
    """Print a scene's bands, grid, resolution, nodata, masks and overviews, or the card of a model."""
    if (model := _model(scene.files or [])) is not None:
        from geoseg.cli import card
        from geoseg.models.bundle import load_model

        facts = card.card(load_model(model))
        text = card.as_text(facts)
    else:
        from geoseg.scenes.describe import describe

        facts = describe(scene.open())
        text = as_text(facts)
    if json_out:
        print_json(facts)
    else:
        print(text)


def _model(files: list[str]) -> str | None:
    """Return the bundle that is named, None for a scene; a file that lies here is a scene whatever it is called."""
    from geoseg.models.known import SPEC_FILE, known_models

    if len(files) != 1 or Path(files[0]).is_file():
        return None
    return files[0] if files[0] in known_models() or (Path(files[0]) / SPEC_FILE).is_file() else None


def as_text(facts: dict[str, Any]) -> str:
    """Return the facts of a scene as two tables."""
    bands = [
        [
            i + 1,
            band["name"],
            "–" if band["wavelength_nm"] is None else f"{band['wavelength_nm']:g}",
            "–" if band["nodata"] is None else f"{band['nodata']}",
            "–" if (band["scale"], band["offset"]) == (1, 0) else f"x {band['scale']:g} + {band['offset']:g}",
        ]
        for i, band in enumerate(facts["bands"])
    ]
    head = ["band", "name" if facts["bands_named"] else "name (counted)", "nm", "nodata", "to physical"]
    return table([[key, value] for key, value in _grid_rows(facts)]) + "\n\n" + table(bands, head=head)


def _grid_rows(facts: dict[str, Any]) -> list[tuple[str, str]]:
    grid, (height_m, width_m) = facts["grid"], facts["ground_resolution_m"]
    code = f"{grid['crs']} " if ":" in grid["crs"][:12] else ""  # a CRS without a code is spelled out: its name must do
    turned = [word for key, word in (("rotated", "rotated"), ("south_up", "south up")) if grid[key]]
    rows = [
        ("scene", facts["name"]),
        (
            "size",
            f"{grid['height_px']} rows x {grid['width_px']} columns, {len(facts['bands'])} bands, {facts['dtype']}",
        ),
        ("CRS", f"{code}{grid['crs_name']} ({grid['crs_unit']})"),
        ("pixel", f"{grid['transform'][0]:.10g}, {grid['transform'][4]:.10g}" + "".join(f", {w}" for w in turned)),
        ("on the ground", f"{height_m:.4g} m high, {width_m:.4g} m wide; {facts['ground_area_ha']:.4g} ha in all"),
        ("transform", ", ".join(f"{v:.10g}" for v in grid["transform"])),
        ("bounds", ", ".join(f"{v:.10g}" for v in grid["bounds"])),
    ]
    for file in facts["files"]:
        stored = [
            file["driver"], file["compression"] or "uncompressed", f"{file['interleaving'] or 'band'} interleaved",
            f"blocks {file['block_px'][0]} x {file['block_px'][1]}",
            f"overviews {', '.join(map(str, file['overviews']))}" if file["overviews"] else "no overviews",
            f"masks: {', '.join(file['masks'])}" if file["masks"] else "no mask",
        ]  # fmt: skip
        rows.append(("stored", "; ".join(stored)))
    rows += [("warning", text) for text in facts["warnings"]]
    return rows
