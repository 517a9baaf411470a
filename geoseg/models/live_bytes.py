"""Live bytes: what a network holds while it runs, counted operation by operation; any network, whatever its layers."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from geoseg.models.probed import Probed


class LiveBytes(TorchDispatchMode):
    """Counts the storages of all tensors that operations make within it, until the last one of each is gone.

    peak: the most that was alive at once, in bytes. What an operation takes for itself, while it runs, is not seen.
    """

    def __init__(self) -> None:
        super().__init__()
        self.peak = self._live = 0
        self._known: dict[int, tuple[StorageWeakRef, int]] = {}

    def __torch_dispatch__(
        self, func: Callable[..., Any], _types: Sequence[type], args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run an operation and count what it has made."""
        given = {leaf.untyped_storage()._cdata for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)}
        out = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(out):
            if isinstance(leaf, Tensor):
                self._add(leaf.untyped_storage(), given)
        self.peak = max(self.peak, self._live)
        self._drop()
        return out

    def _add(self, storage: torch.UntypedStorage, given: set[int]) -> None:
        key = storage._cdata
        if key not in given and key not in self._known:  # a view has the storage of what it is of
            self._known[key] = StorageWeakRef(storage), storage.nbytes()
            self._live += storage.nbytes()

    def _drop(self) -> None:
        for key in [key for key, (ref, _) in self._known.items() if ref.expired()]:
            self._live -= self._known.pop(key)[1]


def probe(network: nn.Module, channels: int, window_px: int, *, of: Callable[[Tensor], object] | None = None) -> Probed:
    """Return what a call for one window holds: ``network`` runs once in evaluation mode, in fp32, where it lies.

    of: the call, None for the network's own.
    """
    training = network.training
    device = next((p.device for p in network.parameters()), torch.device("cpu"))
    window = torch.zeros(1, channels, window_px, window_px, device=device)
    try:
        with torch.inference_mode(), LiveBytes() as counted:
            network.eval()
            (of or network)(window)
    finally:
        network.train(training)
    return Probed(window_px=window_px, live_bytes=counted.peak)
