"""Keys become a config, or one sentence for all that is wrong with them."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from geoseg.config.scene import TEXTS
from geoseg.errors import ConfigError
from geoseg.untrusted.validation import in_words

WANTED = {  # keys whose text is read, and how to write it
    **{name: text.form for name, text in TEXTS.items()},
    "scene": "a path, or a list of paths",
    "scenes": "a glob, a table's path, or a list of them",
    "model": "a bundle's folder or name, or a list of them",
}


def parse_config[C: BaseModel](kind: type[C], content: Mapping[str, Any], *, where: str) -> C:
    """Validate ``content``; raises ConfigError that names every key at fault and what is right."""
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        raise ConfigError(f"{where}: {in_words(kind, error, wanted=WANTED)}") from error
