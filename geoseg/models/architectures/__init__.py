"""Architectures: which networks a bundle or a config may name, and the options that each takes. No torch in here.

The table is an allow-list: what a library takes beyond it (timm's names of hubs and folders, ``pretrained``,
``checkpoint_path``) would fetch files or read pickles.
"""

from pydantic import ValidationError

from geoseg.errors import ConfigError
from geoseg.models.architectures.compact_unet import CompactUNetOptions
from geoseg.models.architectures.probes import ProbeOptions
from geoseg.models.architectures.smp import SmpUNetOptions
from geoseg.models.spec import Architecture
from geoseg.untrusted.validation import in_words

LEAST_BYTES_PER_VALUE = 2  # of weights: fp16

Options = CompactUNetOptions | SmpUNetOptions | ProbeOptions
ARCHITECTURES: dict[str, type[Options]] = {"compact-unet": CompactUNetOptions, "smp-unet": SmpUNetOptions}
PROBE_NAMES = ("probe-identity", "probe-constant", "probe-ramp")


def check_architecture(arch: Architecture) -> Options:
    """Return the options of an architecture, checked; raises ConfigError for what is not in the table."""
    kind = {**ARCHITECTURES, **dict.fromkeys(PROBE_NAMES, ProbeOptions)}.get(arch.name)
    if kind is None:
        raise ConfigError(f"unknown architecture {arch.name!r}; known: {', '.join(ARCHITECTURES)}")
    try:
        return kind.model_validate(arch.options)
    except ValidationError as error:
        raise ConfigError(f"architecture {arch.name} does not take these options: {in_words(kind, error)}") from error
