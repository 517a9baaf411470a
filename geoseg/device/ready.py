"""Ready: a tensor that one stream of a GPU makes and another one uses; on the CPU, a tensor."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Stream = torch.cuda.Stream


@dataclass(frozen=True, slots=True, eq=False)
class Ready:
    """A tensor, and when it is there: ``event`` of the stream that makes it; None on the CPU, where it is there."""

    tensor: Tensor
    event: torch.cuda.Event | None = None

    @classmethod
    def of(cls, tensor: Tensor) -> Self:
        """Return a tensor that the current stream makes."""
        if not tensor.is_cuda:
            return cls(tensor)
        event = torch.cuda.Event()
        event.record(torch.cuda.current_stream(tensor.device))
        return cls(tensor, event)

    def taken(self, device: torch.device) -> Tensor:
        """Return the tensor on a device, whose current stream waits for it; the caller's thread does not."""
        if self.event is not None:
            own = torch.cuda.current_stream(self.tensor.device)
            own.wait_event(self.event)
            self.tensor.record_stream(own)  # its memory is not given away before this stream is through
        return self.tensor.to(device, non_blocking=True)


@contextmanager
def on_stream(stream: Stream | None) -> Iterator[None]:
    """Let a stream do what is asked meanwhile, without gradients; None: on the CPU there is none."""
    with torch.inference_mode(), nullcontext() if stream is None else torch.cuda.stream(stream):
        yield


def uploaded(pixels: NDArray[np.generic], device: torch.device) -> Tensor:
    """Return an array on a device as it is stored, by way of pinned memory; what torch lacks is widened there.

    The caller's thread does not wait for the GPU, as it would where ``Tensor.to`` reads memory that is not pinned.
    Returns integers of 16 and 32 bits without sign as int32 and int64.
    """
    wider: dict[Any, tuple[Any, torch.dtype | None, int]] = {
        np.dtype(np.uint16): (np.int16, torch.int32, 2**16 - 1),
        np.dtype(np.uint32): (np.int32, torch.int64, 2**32 - 1),
    }
    packed = np.ascontiguousarray(pixels)
    signed, held, bits = wider.get(packed.dtype, (packed.dtype, None, 0))
    tensor = torch.from_numpy(packed.view(signed))
    if device.type == "cuda":
        tensor = tensor.pin_memory().to(device, non_blocking=True)
    return tensor if held is None else tensor.to(held) & bits


def downloaded(tensor: Tensor) -> NDArray[Any]:
    """Return a tensor's numbers once the current stream has made them."""
    if not tensor.is_cuda:
        return tensor.numpy()
    held = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
    held.copy_(tensor, non_blocking=True)
    torch.cuda.current_stream(tensor.device).synchronize()
    return held.numpy()
