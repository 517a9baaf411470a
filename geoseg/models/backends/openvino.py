"""The backend openvino: exports of networks, by OpenVINO on the CPU, one thread a call and one window at a time."""

from functools import lru_cache

import numpy as np
import openvino
from numpy.typing import NDArray

from geoseg.errors import ModelError
from geoseg.models.backends.base import Backend
from geoseg.models.backends.exported import ExportedBackend, Network, choose_cpu, cpu_alone, cpu_features, one_thread
from geoseg.models.bundle import ModelBundle
from geoseg.untrusted.text import one_line

VERSION = openvino.__version__.partition("-")[0]
HINTS = {"bf16": "bf16", "fp32": "f32", "int8": "f32"}  # of what is not quantised
# Calls come from the inference threads, and each computes in its own: none is started, and none bound to a core, where
# the threads of another process may be.
ALONE = {"NUM_STREAMS": 1, "INFERENCE_NUM_THREADS": 1, "ENABLE_CPU_PINNING": False}


devices, one_thread_per_network = cpu_alone, one_thread  # see ``Library``


def choose_device(device: str) -> str:
    """See ``Library``."""
    return choose_cpu(device, "networks by --backend openvino")


@lru_cache(maxsize=1)
def precisions(_device: str) -> tuple[str, ...]:
    """See ``Library``; elsewhere OpenVINO would compute in fp32 what is asked for in bf16."""
    able = _core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return tuple(name for name in ("bf16", "fp32", "int8") if name.upper() in able)


def identity(_device: str = "cpu") -> str:
    """See ``Backend``."""
    return f"{cpu_features()}, openvino {VERSION}"


def open_backend(bundle: ModelBundle, *, device: str, precision: str) -> Backend:  # noqa: ARG001
    """See ``Library``."""
    return ExportedBackend(bundle, name="openvino", precision=precision)


def open_network(content: bytes, precision: str) -> Network:
    """Return the call of an export; raises ModelError where OpenVINO does not take it."""
    return _Network(content, precision)


@lru_cache(maxsize=1)
def _core() -> openvino.Core:
    return openvino.Core()


class _Network:
    """An export, compiled once for each call that runs beside others: one that has a single stream runs one at a time.

    They share the weights as they are stored.
    """

    def __init__(self, content: bytes, precision: str) -> None:
        self._hint = HINTS[precision]
        try:
            self._model = _core().read_model(content)
            self._idle = [self._compiled()]
        except RuntimeError as error:
            raise ModelError(f"OpenVINO {VERSION} does not take the exported network ({one_line(error)})") from error

    def _compiled(self) -> openvino.InferRequest:
        settings = {**ALONE, "INFERENCE_PRECISION_HINT": self._hint}
        return _core().compile_model(self._model, "CPU", settings).create_infer_request()

    def __call__(self, window: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the logits (K, h, w) of a window (C, h, w)."""
        try:
            request = self._idle.pop()
        except IndexError:  # all are in use
            request = self._compiled()
        said: NDArray[np.float32] = request.infer({0: window[None]}, share_inputs=True)[0][0]
        self._idle.append(request)
        return said
