"""The backend onnx: networks that are ONNX files, by ONNX Runtime on the CPU; no library of operators is ever loaded.

One thread a call, and one window at a time: a window's answer depends neither on the batch it came in nor on the place
it had there. ONNX Runtime computes in the precision of the file.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from geoseg.errors import ConfigError, ModelError
from geoseg.models.architectures import check_architecture
from geoseg.models.architectures.onnx import OnnxOptions
from geoseg.models.backends.base import Answer, Windows
from geoseg.models.bundle import ModelBundle
from geoseg.models.onnx_file import parsed
from geoseg.models.outputs import Output
from geoseg.models.spec import ModelSpec
from geoseg.untrusted.text import one_line

# The heap in pieces takes more than what was measured of one call alone, as in ``backends.torch``.
HEAP_SHARE = 1.5
LARGEST_LOGIT = 80.0  # whose exponential float32 holds
ERRORS_ALONE = 3  # of what ONNX Runtime logs
# By these ONNX Runtime chooses its code on x86 and ARM; whole numbers are summed otherwise with and without VNNI.
FEATURES = (
    "avx2", "avx512f", "avx512vnni", "avxvnni", "avx512bf16", "amx-int8", "amx-bf16", "dotprod", "i8mm", "bf16", "sve",
)  # fmt: skip


def choose_device(device: str) -> str:
    """See ``Library``."""
    if device not in ("auto", "cpu", "cuda"):
        raise ConfigError(f"device {device!r}: choose auto, cpu or cuda")
    if device == "cuda":
        raise ConfigError("device cuda: models that are ONNX files run on the CPU alone; use --device cpu or auto")
    return "cpu"


def choose_precision(_device: str) -> str:
    """See ``Library``: that of the file."""
    return "fp32"


@lru_cache(maxsize=1)
def identity(_device: str = "cpu") -> str:
    """See ``Backend``."""
    from llvmlite.binding import get_host_cpu_features

    found = get_host_cpu_features()
    return f"cpu {' '.join(name for name in FEATURES if found.get(name))}, onnxruntime {onnxruntime.__version__}"


def devices(_kind: str) -> list[str]:
    """See ``Library``."""
    return ["cpu"]


@contextmanager
def one_thread_per_network() -> Iterator[None]:
    """See ``Library``: every session has one thread anyway."""
    yield


def open_backend(bundle: ModelBundle, *, device: str, precision: str) -> "OnnxBackend":  # noqa: ARG001
    """See ``Library``."""
    return OnnxBackend(bundle)


@lru_cache(maxsize=1)
def _share_arena() -> None:
    """Let all sessions of this process that ask for it take memory from one arena, which grows by what is asked for.

    glibc's heap, which keeps what is freed (``executors.heap``), has no use for ONNX Runtime's aligned blocks: after
    four calls of 265 MB each it held 1025 MB, the arena 273 MB.
    """
    info = onnxruntime.OrtMemoryInfo(
        "Cpu", onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, onnxruntime.OrtMemType.DEFAULT
    )
    by_need = {"max_mem": 0, "arena_extend_strategy": 1, "initial_chunk_size_bytes": -1, "max_dead_bytes_per_chunk": -1}
    onnxruntime.create_and_register_allocator(info, onnxruntime.OrtArenaCfg(by_need))


def open_session(content: bytes, where: str, *, arena: bool = True) -> onnxruntime.InferenceSession:
    """Return the session of an ONNX file's bytes, on one thread; raises ModelError where it cannot be run.

    arena: memory that a call gives back is kept for the next, see ``_share_arena``.
    """
    parsed(content, where)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.use_deterministic_compute = True
    options.enable_cpu_mem_arena, options.enable_mem_pattern = arena, False
    if arena:
        _share_arena()
        options.add_session_config_entry("session.use_env_allocators", "1")
    options.log_severity_level = ERRORS_ALONE
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's own errors share no other base
        raise ModelError(
            f"{where}: ONNX Runtime {onnxruntime.__version__} does not take it ({one_line(error)})"
        ) from error


class OnnxBackend:
    """See ``Backend``."""

    def __init__(self, bundle: ModelBundle) -> None:
        self.bundle = bundle

    @cached_property
    def session(self) -> onnxruntime.InferenceSession:
        """The network, loaded at first use."""
        return open_session(self.bundle.content(), f"{self.bundle.path}: {self.bundle.weights.file}")

    def load(self) -> None:
        """See ``Backend``."""
        _ = self.session

    def __call__(self, windows: Windows) -> Answer:
        """See ``Backend``."""
        return Answer(np.stack([activated(answer(self.session, window), self.bundle.spec) for window in windows]))

    def identity(self) -> str:
        """See ``Backend``."""
        return identity()

    def peak_bytes(self, shape: tuple[int, int, int, int]) -> int:  # noqa: ARG002 - no window is larger than the measured
        """See ``Backend``; windows go one by one, and none is larger than the one that was measured."""
        options = check_architecture(self.bundle.spec.arch)
        assert isinstance(options, OnnxOptions)  # the table gives no other one this backend
        return int(HEAP_SHARE * options.call_bytes)


def answer(session: onnxruntime.InferenceSession, window: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the network's answer (K, h, w) to a window (C, h, w); raises ModelError where it fails."""
    (name,), (output,) = ([one.name for one in ends] for ends in (session.get_inputs(), session.get_outputs()))
    found: NDArray[np.float32] = run_session(session, output, name, window[None])[0]
    return found


def run_session(session: onnxruntime.InferenceSession, output: str, name: str, batch: NDArray[Any]) -> NDArray[Any]:
    """Return an output of a network for its input ``name``; raises ModelError with what ONNX Runtime says of it."""
    try:
        (out,) = session.run([output], {name: batch})
    except Exception as error:  # see ``open_session``
        raise ModelError(f"the network does not take {batch.shape} ({one_line(error)})") from error
    return np.asarray(out)


def activated(logits: NDArray[np.float32], spec: ModelSpec) -> NDArray[np.float32]:
    """Return what each group of channels says, 0..1, of logits (K, h, w); see ``geoseg.models.outputs.Output``."""
    parts = [_activated(logits[spec.channels_of(group)], group) for group in spec.outputs]
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _activated(logits: NDArray[np.float32], group: Output) -> NDArray[np.float32]:
    if group.activation == "softmax":
        return softmax(logits)
    if group.range is None:
        return np.asarray(1 / (1 + np.exp(-np.clip(logits, -LARGEST_LOGIT, LARGEST_LOGIT))), np.float32)
    low, high = group.range
    return np.clip((logits - np.float32(low)) / np.float32(high - low), 0, 1)


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the probabilities of logits (K, h, w).

    >>> softmax(np.zeros((2, 1, 1), np.float32)).ravel().tolist()
    [0.5, 0.5]
    """
    shares = np.exp(logits - logits.max(0))
    shares /= shares.sum(0)
    return np.asarray(shares, np.float32)
