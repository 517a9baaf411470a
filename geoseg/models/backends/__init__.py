"""Backends: the libraries that run networks. A new one is a module like ``torch``, and a line in the table."""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

from geoseg.errors import ConfigError, ModelError
from geoseg.models.backends.base import Library
from geoseg.models.bundle import ModelBundle, backends_of
from geoseg.models.loading import loading
from geoseg.models.onnx_file import require_onnx
from geoseg.models.openvino_runtime import load_openvino
from geoseg.options.run import RunOptions

log = logging.getLogger(__name__)


def _torch() -> Library:
    with loading():
        from geoseg.models.backends import torch

    return torch


def _onnx() -> Library:
    require_onnx()
    from geoseg.models.backends import onnx

    return onnx


def _openvino() -> Library:
    require_onnx()
    load_openvino()
    from geoseg.models.backends import openvino

    return openvino


BACKENDS: dict[str, Callable[[], Library]] = {"torch": _torch, "onnx": _onnx, "openvino": _openvino}
# Backend and precision in turn, by the precision that is asked for; "auto": where none is and the CPU computes in bf16.
# ONNX Runtime in fp32 took less than torch where torch in bf16 is not the network's like, see docs/performance.md.
FP32 = (("onnx", "fp32"), ("openvino", "fp32"))
FASTEST = {
    "auto": (("openvino", "bf16"), *FP32),
    "bf16": (("openvino", "bf16"),),
    "fp32": FP32,
    "int8": (("openvino", "int8"), ("onnx", "int8")),
}


def library(name: str = "torch") -> Library:
    """Return a backend's library, which is loaded now; weights as safetensors are run by torch."""
    return BACKENDS[name]()


@contextmanager
def one_thread_per_network(backends: Sequence[str]) -> Iterator[None]:
    """Let each call of the networks of some backends have one thread; no other library is loaded for it."""
    with ExitStack() as held:
        for name in backends:
            held.enter_context(library(name).one_thread_per_network())
        yield


def choose(device: str, backends: Sequence[str], precision: str = "auto") -> tuple[str, str, str]:
    """Return device, precision and identity for networks of several backends.

    device: auto, cpu or cuda; auto is the CPU where one of the backends runs there alone. precision: auto, fp32, bf16
    or int8. Raises ConfigError where cuda is asked for and cannot be, or a precision that is not computed in there.
    """
    runs = [library(name) for name in backends]
    chosen = min(one.choose_device(device) for one in runs)  # cpu before cuda
    each = [one.precisions(chosen) for one in runs]
    found = min(precision if precision in own else own[0] for own in each)  # bf16 before fp32, which the others take
    if precision not in ("auto", found):
        able = sorted({name for own in each for name in own})
        raise ConfigError(
            f"precision {precision}: {' and '.join(backends)} computes in {' or '.join(able)} on this machine's "
            f"{chosen}; choose one of them, or another --backend"
        )
    return chosen, found, ", ".join(one.identity(chosen) for one in runs)


def asked(bundles: Sequence[ModelBundle], options: RunOptions) -> tuple[str, tuple[str, ...], str]:
    """Return device, backends and precision of a run, as ``Engine.site`` takes them.

    Unless another is asked for, each bundle is run by the library that it is made for. Raises ConfigError where torch
    is asked for and a bundle is an ONNX file.
    """
    own, backend, precision = backends_of(bundles), options.backend, options.precision or "auto"
    if backend == "auto":
        return _fastest(bundles, options)
    if backend == "torch" and own != ("torch",):
        raise ConfigError("backend torch: a model that is an ONNX file is run by onnx or openvino")
    return options.device, own if backend is None else (backend,), precision


def _fastest(bundles: Sequence[ModelBundle], options: RunOptions) -> tuple[str, tuple[str, ...], str]:
    """Return the first backend of ``FASTEST`` that is installed and gives the networks' own classes, else their own.

    That is measured at the first use of a bundle, see ``exports.cache``; nothing is timed. Of 8 bits there is no other
    way: raises ModelError where each is refused, and ConfigError where none is installed.
    """
    from geoseg.models.exports.cache import cached

    refused: list[ConfigError | ModelError] = []
    own, wanted = backends_of(bundles), options.precision or "auto"
    device, precision, _ = choose(options.device, own, "auto" if wanted == "int8" else wanted)
    row = "fp32" if (wanted, precision) == ("auto", "fp32") else wanted
    for name, each in FASTEST[row] if device == "cpu" else ():
        try:
            choose("cpu", (name,), each)
            for bundle in bundles:
                if bundle.backend != name or each == "int8":
                    cached(bundle, backend=name, precision=each, shape=(bundle.spec.window_px,) * 2)
        except (ConfigError, ModelError) as error:
            log.info("backend %s in %s is not taken: %s", name, each, error)
            refused.append(error)
        else:
            return "cpu", (name,), each
    if refused and wanted == "int8":
        raise type(refused[-1])(f"precision int8: {'; '.join(dict.fromkeys(map(str, refused)))}")
    return device, own, "int8" if wanted == "int8" else precision
