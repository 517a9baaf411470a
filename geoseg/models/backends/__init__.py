"""Backends: the libraries that run networks. A new one is a module like ``torch``, and a line in the table."""

from collections.abc import Callable, Sequence

from geoseg.models.backends.base import Library
from geoseg.models.onnx_file import require_onnx


def _torch() -> Library:
    from geoseg.models.backends import torch

    return torch


def _onnx() -> Library:
    require_onnx()
    from geoseg.models.backends import onnx

    return onnx


BACKENDS: dict[str, Callable[[], Library]] = {"torch": _torch, "onnx": _onnx}


def library(name: str = "torch") -> Library:
    """Return a backend's library, which is loaded now; weights as safetensors are run by torch."""
    return BACKENDS[name]()


def choose(device: str, backends: Sequence[str]) -> tuple[str, str, str]:
    """Return device, precision and identity for networks of several backends; device: auto, cpu or cuda.

    auto is the CPU where one of them runs there alone. Raises ConfigError where cuda is asked for and cannot be.
    """
    runs = [library(name) for name in backends]
    chosen = min(one.choose_device(device) for one in runs)  # cpu before cuda
    return chosen, min(one.choose_precision(chosen) for one in runs), ", ".join(one.identity(chosen) for one in runs)
