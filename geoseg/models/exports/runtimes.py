"""Runtimes: how exports are run to be measured, and how they are brought to 8-bit whole numbers."""

import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from geoseg.models.exports.parity import Run
from geoseg.models.openvino_runtime import load_openvino

if TYPE_CHECKING:
    from onnx import ModelProto

QUANTISED = ["Conv", "ConvTranspose", "Gemm", "MatMul"]  # operators that take nearly all the time


def by_onnxruntime(content: bytes) -> tuple[Run, str]:
    """Return the call of an ONNX file's bytes by ONNX Runtime, and the runtime's name."""
    import onnxruntime

    from geoseg.models.backends.onnx import open_session

    session = open_session(content, "the exported network")
    (name,) = (one.name for one in session.get_inputs())
    return lambda windows: session.run(None, {name: windows})[0], f"onnxruntime {onnxruntime.__version__}"


def by_openvino(content: bytes, folder: Path) -> tuple[Run, str]:
    """Write an ONNX file's bytes as OpenVINO's files, model.xml and model.bin, and return the call of these.

    Raises ConfigError where openvino is not installed.
    """
    openvino = load_openvino()
    core = openvino.Core()
    openvino.save_model(core.read_model(content), str(folder / "model.xml"), compress_to_fp16=False)
    settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}
    compiled = core.compile_model(str(folder / "model.xml"), "CPU", settings)
    return lambda windows: compiled(windows)[0], f"openvino {openvino.__version__.partition('-')[0]}"


def int8(model: "ModelProto", windows: NDArray[np.float32]) -> bytes:
    """Return an ONNX file whose convolutions and products compute in 8 bits, with the ranges that windows show.

    windows: (N, C, h, w) as the model takes them.
    """
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Reader(CalibrationDataReader):
        """Feeds the windows one by one."""

        def __init__(self) -> None:
            self.left: Iterator[dict[str, Any]] = ({model.graph.input[0].name: window[None]} for window in windows)

        def get_next(self) -> dict[str, Any] | None:
            """Return the next window, None after the last."""
            return next(self.left, None)

    with tempfile.TemporaryDirectory() as folder:
        before, after = Path(folder) / "float.onnx", Path(folder) / "int8.onnx"
        before.write_bytes(model.SerializeToString())
        disabled = logging.root.manager.disable
        logging.disable(logging.WARNING)  # advice to pre-process, which torch and ONNX Runtime have done
        try:
            quantize_static(
                before, after, Reader(), quant_format=QuantFormat.QDQ, op_types_to_quantize=QUANTISED,
                per_channel=True, nodes_to_exclude=[model.graph.output[0].name], activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
            )  # fmt: skip
        finally:
            logging.disable(disabled)
        return after.read_bytes()
