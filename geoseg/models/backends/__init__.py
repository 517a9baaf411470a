"""Backends: the libraries that run networks. A new one is a module like ``torch``, and a line in the table."""

from collections.abc import Callable

from geoseg.models.backends.base import Library


def _torch() -> Library:
    from geoseg.models.backends import torch

    return torch


BACKENDS: dict[str, Callable[[], Library]] = {"torch": _torch}


def library(name: str = "torch") -> Library:
    """Return a backend's library, which is loaded now; weights as safetensors are run by torch."""
    return BACKENDS[name]()
