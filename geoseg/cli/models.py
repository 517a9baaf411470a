"""geoseg models: which models are here, and what they are for."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from geoseg.cli.options import JsonOut, Overwrite, spread
from geoseg.cli.table import print_json, table
from geoseg.disk.places import models_folder
from geoseg.errors import ModelError

if TYPE_CHECKING:
    from geoseg.models.bundle import ModelBundle


Install = Annotated[
    Literal["clouds"] | None,
    typer.Option(help="clouds: make models of the installed package ukis-csmask (pip install 'geoseg[clouds]')."),
]
Networks = Annotated[
    bool, typer.Option("--networks", help="List the networks that a config may name, with the windows that they take.")
]


@spread
def models(
    *, networks: Networks = False, install: Install = None, overwrite: Overwrite = False, json_out: JsonOut = False
) -> None:
    """List the models that are here: task, bands, resolution, ground, scores, licence.

    Those that come with geoseg, and those in $GEOSEG_MODELS, or in the user's data folder where that is not set.
    """
    from geoseg.models.known import known_models

    if networks:
        rows = network_rows()
        if json_out:
            print_json(rows)
        else:
            print(table([list(row.values()) for row in rows], head=list(rows[0])))
        return
    if install == "clouds":
        from geoseg.models import csmask

        for bundle in csmask.install(models_folder(), overwrite=overwrite):
            print(bundle.path)
        return
    listed = {name: facts(name, folder) for name, folder in known_models().items()}
    if json_out:
        print_json(listed)
    else:
        print("\n\n".join(map(as_text, listed.values())))


def network_rows() -> list[dict[str, str]]:
    """Return what the table of networks says of each, with the options that it has where none are given."""
    from geoseg.models.architectures import NETWORKS

    return [{"network": name, **kind.card()} for name, kind in NETWORKS.items()]


def facts(name: str, folder: Path) -> dict[str, Any]:
    """Return what is known of a bundle; of one that cannot be opened, its fault."""
    from geoseg.models.bundle import load_model

    try:
        bundle = load_model(folder)
    except ModelError as error:
        return {"name": name, "folder": str(folder), "fault": str(error)}
    return {"name": name, "folder": str(folder), **of_bundle(bundle)}


def of_bundle(bundle: "ModelBundle") -> dict[str, Any]:
    """Return what a sound bundle says of itself, as JSON values."""
    spec = bundle.spec
    return {
        "task": spec.task,
        "classes": [c.name for c in spec.classes],
        "bands": list(spec.band_set.names),
        "optional": list(spec.optional),
        "quantity": spec.quantity,
        "resolution_m": None if spec.span_m is None else list(spec.span_m),
        "ground": spec.ground or spec.attribution,
        "scores": list(spec.scores),
        "licence": spec.licence,
        "bytes": bundle.weights.bytes,
        "digest": bundle.digest,
    }


def _bands(known: dict[str, Any]) -> str:
    named = [f"{band} (may be lacking)" if band in known["optional"] else band for band in known["bands"]]
    return ", ".join(named) + (f", as {known['quantity']}" if known["quantity"] else "")


def as_text(known: dict[str, Any]) -> str:
    """Return what is known of a bundle as a small table under its name."""
    if "fault" in known:
        return f"{known['name']}\n{table([('fault', known['fault'])])}"
    span = known["resolution_m"]
    rows = [
        ("task", ": ".join(filter(None, (known["task"], ", ".join(known["classes"]))))),
        ("bands", _bands(known)),
        ("resolution", "any" if span is None else f"{' to '.join(f'{m:g}' for m in dict.fromkeys(span))} m"),
        ("ground", known["ground"] or "not told"),
        *(("scores" if i == 0 else "", line) for i, line in enumerate(known["scores"] or ["none told"])),
        ("licence", known["licence"] or "not told"),
        ("folder", known["folder"]),
    ]
    return f"{known['name']}\n{table([(f'  {key}', value) for key, value in rows])}"
