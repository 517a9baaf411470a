"""The backend onnx: networks that are ONNX files, and exports of others, by ONNX Runtime on the CPU.

One thread a call, and one window at a time: a window's answer depends neither on the batch it came in nor on the place
it had there. ONNX Runtime computes in the precision of the file. No library of operators is ever loaded.

Where ``--device cuda`` asks for it, and ONNX Runtime has its CUDA provider, ONNX files run on the first GPU. The one
for TensorRT is never taken: it chooses its code by timing, so that two processes need not give the same bits.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property, lru_cache, partial
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from geoseg.errors import ModelError
from geoseg.models.architectures import check_architecture
from geoseg.models.architectures.onnx import OnnxOptions
from geoseg.models.architectures.yolo_seg import YoloSegOptions
from geoseg.models.backends.activation import activated
from geoseg.models.backends.base import Answer, Backend, Windows
from geoseg.models.backends.exported import ExportedBackend, Network, choose_cpu, cpu_features, one_thread
from geoseg.models.backends.yolo_seg import detections
from geoseg.models.bundle import ModelBundle
from geoseg.models.exports.cache import is_exported
from geoseg.models.onnx_file import parsed
from geoseg.objects.found import Detection
from geoseg.untrusted.text import one_line

# The heap in pieces takes more than what was measured of one call alone, as in ``backends.torch``.
HEAP_SHARE = 1.5
FATAL = 4  # of what ONNX Runtime logs: errors are raised, and told once


CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
# Code is chosen by rule, not by timing, and fp32 is not cut to 19 bits.
OF_CUDA = {"device_id": 0, "cudnn_conv_algo_search": "HEURISTIC", "use_tf32": 0}

one_thread_per_network = one_thread  # see ``Library``


def choose_device(device: str) -> str:
    """See ``Library``; a GPU is never chosen unasked."""
    if device == "cuda" and CUDA in onnxruntime.get_available_providers():
        return device
    return choose_cpu(device, "without ONNX Runtime's CUDA provider models that are ONNX files")


def devices(kind: str) -> list[str]:
    """See ``Library``: the first GPU, or the CPU."""
    return [kind]


def precisions(device: str) -> tuple[str, ...]:
    """See ``Library``."""
    return ("fp32", "int8") if device == "cpu" else ("fp32",)


def identity(device: str = "cpu") -> str:
    """See ``Backend``."""
    here = cpu_features() if device == "cpu" else "cuda, code chosen by rule"
    return f"{here}, onnxruntime {onnxruntime.__version__}"


def open_backend(bundle: ModelBundle, *, device: str, precision: str) -> Backend:
    """See ``Library``; raises ConfigError for an export on a GPU, which nobody has compared with its network there."""
    if is_exported(bundle, "onnx", precision):
        choose_cpu(device, f"exports of networks ({bundle.spec.name})")
        return ExportedBackend(bundle, name="onnx", precision=precision)
    options = check_architecture(bundle.spec.arch)
    if isinstance(options, YoloSegOptions):
        return YoloSegBackend(bundle, options, device=device)
    return OnnxBackend(bundle, device=device)


def open_network(content: bytes, precision: str) -> Network:  # noqa: ARG001 - it is that of the file
    """Return the call of an export; raises ModelError where ONNX Runtime does not take it."""
    return partial(answer, open_session(content, "the exported network"))


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


def open_session(
    content: bytes, where: str, *, arena: bool = True, device: str = "cpu"
) -> onnxruntime.InferenceSession:
    """Return the session of an ONNX file's bytes, on one thread; raises ModelError where it cannot be run.

    arena: memory that a call gives back is kept for the next, see ``_share_arena``.
    """
    providers: list[Any] = [CPU] if device == "cpu" else [(CUDA, OF_CUDA), CPU]
    parsed(content, where)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.use_deterministic_compute = True
    options.enable_cpu_mem_arena, options.enable_mem_pattern = arena, False
    if arena:
        _share_arena()
        options.add_session_config_entry("session.use_env_allocators", "1")
    options.log_severity_level = FATAL
    try:
        session = onnxruntime.InferenceSession(content, options, providers=providers)
    except Exception as error:  # ONNX Runtime's own errors share no other base
        raise ModelError(
            f"{where}: ONNX Runtime {onnxruntime.__version__} does not take it ({one_line(error)})"
        ) from error
    if device != "cpu" and CUDA not in session.get_providers():  # it falls back to the CPU with a warning
        raise ModelError(f"{where}: ONNX Runtime's CUDA provider finds no GPU, or not its libraries; use --device cpu")
    return session


class OnnxBackend:
    """See ``Backend``."""

    def __init__(self, bundle: ModelBundle, *, device: str) -> None:
        self.bundle, self.device = bundle, device

    @cached_property
    def session(self) -> onnxruntime.InferenceSession:
        """The network, loaded at first use."""
        where = f"{self.bundle.path}: {self.bundle.weights.file}"
        return open_session(self.bundle.content(), where, device=self.device)

    def load(self) -> None:
        """See ``Backend``."""
        _ = self.session

    def __call__(self, windows: Windows) -> Answer:
        """See ``Backend``."""
        return Answer(np.stack([activated(answer(self.session, window), self.bundle.spec) for window in windows]))

    def identity(self) -> str:
        """See ``Backend``."""
        return identity(self.device)

    def peak_bytes(self, shape: tuple[int, int, int, int]) -> int:  # noqa: ARG002 - no window is larger than the measured
        """See ``Backend``; windows go one by one, and none is larger than the one that was measured."""
        options = check_architecture(self.bundle.spec.arch)
        assert isinstance(options, OnnxOptions)  # the table gives no other one this backend
        return int(HEAP_SHARE * options.call_bytes)


class YoloSegBackend(OnnxBackend):
    """See ``Backend``: it lists objects, and blends nothing."""

    def __init__(self, bundle: ModelBundle, options: YoloSegOptions, *, device: str) -> None:
        super().__init__(bundle, device=device)
        self.options = options

    def __call__(self, windows: Windows) -> Answer:
        """See ``Backend``."""
        nothing = np.empty((len(windows), 0, *windows.shape[2:]), np.float32)
        return Answer(nothing, tuple(map(self._found, windows)))

    def _found(self, window: NDArray[np.float32]) -> tuple[Detection, ...]:
        spec, options = self.bundle.spec, self.options
        assert spec.objects is not None  # the task of these networks is objects
        said, prototypes = answers(self.session, window, (options.candidates, options.prototypes))
        own = detections(said[0], prototypes[0], window.shape[-1], options, spec.objects)
        return tuple(replace(one, class_id=spec.things[one.class_id]) for one in own)


def answer(session: onnxruntime.InferenceSession, window: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the network's answer (K, h, w) to a window (C, h, w); raises ModelError where it fails."""
    (name,), (output,) = ([one.name for one in ends] for ends in (session.get_inputs(), session.get_outputs()))
    found: NDArray[np.float32] = run_session(session, output, name, window[None])[0]
    return found


def answers(
    session: onnxruntime.InferenceSession, window: NDArray[np.float32], names: Sequence[str]
) -> list[NDArray[np.float32]]:
    """Return outputs of a network by name, in float32, for a window (C, h, w); raises ModelError where it fails."""
    (taken,) = session.get_inputs()
    batch = window[None].astype(np.float16 if taken.type == "tensor(float16)" else np.float32)
    return [np.asarray(one, np.float32) for one in run_all(session, names, taken.name, batch)]


def run_session(session: onnxruntime.InferenceSession, output: str, name: str, batch: NDArray[Any]) -> NDArray[Any]:
    """Return an output of a network, see ``run_all``."""
    return np.asarray(run_all(session, [output], name, batch)[0])


def run_all(
    session: onnxruntime.InferenceSession, outputs: Sequence[str], name: str, batch: NDArray[Any]
) -> list[NDArray[Any]]:
    """Return outputs of a network for its input ``name``; raises ModelError with what ONNX Runtime says of it."""
    try:
        return list(session.run(list(outputs), {name: batch}))
    except Exception as error:  # see ``open_session``
        raise ModelError(f"the network does not take {batch.shape} ({one_line(error)})") from error
