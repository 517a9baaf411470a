"""OpenVINO, without its telemetry: importing it sends Google Analytics an event, from a thread that forks a process."""

import sys
from types import ModuleType

from geoseg.errors import MissingExtraError

TELEMETRY = "openvino_telemetry"  # openvino does without where it is not installed


def require_openvino() -> None:
    """Raise ConfigError where OpenVINO is not installed."""
    from importlib.util import find_spec

    if not find_spec("openvino"):
        raise MissingExtraError("openvino is not installed; type: pip install 'geoseg[openvino]'")


def load_openvino() -> ModuleType:
    """Return the module, imported now; raises ConfigError where it is not installed."""
    require_openvino()
    hidden = TELEMETRY not in sys.modules
    if hidden:
        sys.modules[TELEMETRY] = None  # type: ignore[assignment]  # Python's way to say that there is none
    try:
        import openvino
    finally:
        if hidden:
            del sys.modules[TELEMETRY]
    return openvino
