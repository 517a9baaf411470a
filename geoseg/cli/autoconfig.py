"""geoseg autoconfig: scenes and labels to a commented training config."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from geoseg.cli.options import Overwrite, named_path, spread, target
from geoseg.config.trainings import TrainConfig
from geoseg.disk.files import atomic
from geoseg.disk.places import refuse_file
from geoseg.errors import ConfigError, InputError
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
    from geoseg.training.autoconfig.fingerprint import fingerprint
    from geoseg.training.autoconfig.pairs import pair
    from geoseg.training.autoconfig.rules import choices, means_of
    from geoseg.training.autoconfig.splits import splits
    from geoseg.training.autoconfig.write import config_text

    pairs = pair(data, scenes=options.scenes, labels=options.labels)
    seen = fingerprint(data, pairs, column=options.column, kind=options.target)
    rest = choices(seen, means_of(seen, options))
    texts = [config_text(data, output.stem, pairs, seen, (split, *rest)) for split in splits(seen)]
    output.parent.mkdir(parents=True, exist_ok=True)
    with atomic(output) as temporary:  # what cannot be loaded, or trained on, is never written
        temporary.write_text(_fitting(texts, temporary), encoding="utf-8")
    print(f"{pairs.how}; {seen.why}\n{output}\nnext: geoseg train {output}")


def _fitting(texts: Sequence[str], temporary: Path) -> str:
    """Return the config whose split leaves the most classes to train on and to watch, the first of equal ones.

    Raises InputError where none leaves enough.
    """
    from geoseg.config.load import load_config
    from geoseg.training.autoconfig.splits import classes_left

    best, most = texts[0], 0
    for text in texts:
        temporary.write_text(text, encoding="utf-8")
        config = load_config(temporary)
        assert isinstance(config, TrainConfig)
        if len(texts) == 1:
            return text
        left = classes_left(config.spec)
        if left > most:
            best, most = text, left
        if left == 2 * len(config.spec.target.class_table):
            break
    if most == 0:
        raise InputError(
            "no split of these labels leaves two classes to train on and two to watch; draw more labels, apart from "
            "each other"
        )
    return best
