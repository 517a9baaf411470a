"""geoseg autoconfig: scenes and labels to a commented training config."""

from pathlib import Path
from typing import Annotated

import typer

from geoseg.cli.options import Overwrite, named_path, spread, target
from geoseg.disk.files import atomic
from geoseg.disk.places import refuse_file
from geoseg.errors import ConfigError
from geoseg.options.autoconfig import AutoconfigOptions


@spread
def autoconfig(
    data: Annotated[Path, typer.Argument(metavar="DATA", help="Folder of scenes and labels.", parser=named_path)],
    *,
    output: Annotated[
        Path,
        target("The config, a YAML file."),
    ],
    options: AutoconfigOptions,
    overwrite: Overwrite = False,
) -> None:
    """Look at scenes and labels, and write a training config with the reason of each choice."""
    if output.suffix.lower() not in (".yaml", ".yml"):
        raise ConfigError(f"{output}: a config is YAML, so its name ends in .yaml")
    refuse_file(output, overwrite=overwrite, inputs=())
    from geoseg.config.load import load_config
    from geoseg.training.autoconfig.fingerprint import fingerprint
    from geoseg.training.autoconfig.pairs import pair
    from geoseg.training.autoconfig.rules import choices, means_of
    from geoseg.training.autoconfig.write import config_text

    pairs = pair(data, scenes=options.scenes, labels=options.labels)
    seen = fingerprint(data, pairs, column=options.column, kind=options.target)
    text = config_text(data, output.stem, pairs, seen, choices(seen, means_of(seen, options)))
    output.parent.mkdir(parents=True, exist_ok=True)
    with atomic(output) as temporary:
        temporary.write_text(text, encoding="utf-8")
        load_config(temporary)  # what it refuses is never written
    print(f"{pairs.how}; {seen.why}\n{output}\nnext: geoseg train {output}")
