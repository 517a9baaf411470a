"""Probing: what an ONNX file does not say is found by running it, in a process of its own that may end as it likes."""

import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from math import gcd
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from geoseg.errors import ConfigError, ModelError
from geoseg.models.imports.reading import Reading, Signature, layout_of, made_over, signature, size_of, upgraded
from geoseg.models.onnx_file import read_model
from geoseg.options.exchange import Answers, ImportOptions

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

PROBE_PX = 128  # of those that a multiple is looked for with
STEPS = (1, 2, 4, 8, 16, 32, 64)  # that may be a network's multiple
USUAL_STEP = 32
NEAR = 1e-3  # of the spread of answers: so far apart are those that agree
FAR_LESS = 0.1  # of the largest change: a shift that is the network's own changes no more
Call = Callable[[NDArray[np.float32]], NDArray[np.float32]]


class Shape(NamedTuple):
    """What a description takes from a network: its channels, and the pixels of its windows."""

    channels: int
    window_px: int
    multiple_px: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Examined:
    """What is known of a file once it was run."""

    content: bytes
    """The ONNX file of the bundle."""
    shape: Shape
    fixed: bool
    """Whether it takes no other windows."""
    call_bytes: int
    """What a call for one window held."""
    assumed: tuple[str, ...]
    """What was taken to be so, a line each."""


def isolated[R](call: Callable[..., R], *args: Any, where: str) -> R:
    """Return what a function of a module returns in a new process; raises ModelError where that process dies."""
    try:
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            return pool.submit(call, *args).result()
    except BrokenProcessPool as error:
        raise ModelError(f"{where}: the process that tried it died; ONNX Runtime cannot run it here") from error


def examine(path: Path, bands: int, options: ImportOptions, usual_px: int) -> Examined:
    """Run an ONNX file, with windows of ``usual_px`` where it takes any, and say what it is.

    Raises ModelError where it cannot be run, ConfigError for flags that do not fit it.
    """
    from geoseg.models.backends.onnx import open_session

    where, assumed = str(path), []
    model = upgraded(read_model(path), where)
    own = signature(model, where, output=options.output)
    layout, unsure = layout_of(own, where, bands=bands, asked=options.layout)
    if unsure:
        assumed.append(f"layout {layout}: either may be, --layout says otherwise")
    fixed = size_of(own, where, layout)
    if fixed and options.window_px not in (None, fixed):
        raise ConfigError(f"{where}: takes windows of {fixed} px alone, not of {options.window_px}")
    window_px = fixed or options.window_px or usual_px
    draft = Reading(
        signature=own, layout=layout, bands=bands, batch=own.dims[0] or 1, size_px=fixed,
        channels=0, rank=0, answers="logits", scale=1,
    )  # fmt: skip
    call = _caller(open_session(model.SerializeToString(), where, arena=False), draft)
    seen = _noise(bands, window_px + STEPS[-1], options)
    said = _tried(call, seen, window_px, where, dynamic="" if fixed else own.axes)
    channels, scale = _shape(said, window_px, where)
    draft = replace(draft, rank=said.ndim + 1, channels=channels, scale=scale)
    answers = options.answers or _answers(own, said, where)
    if options.answers is None:
        assumed.append(f"answers {answers}: --answers says otherwise")
    if answers == "sigmoid" and channels > 1:
        assumed.append(f"one class a pixel: of {channels} independent probabilities the largest")
    reading = replace(draft, answers=answers)
    multiple_px = options.multiple_px or _multiple(call, seen, reading, assumed)
    content = made_over(model, reading)
    return Examined(
        content=content, shape=Shape(reading.channels, window_px, multiple_px), fixed=bool(fixed),
        call_bytes=measured(content, (bands, window_px, window_px)), assumed=tuple(assumed),
    )  # fmt: skip


def measured(content: bytes, shape: tuple[int, ...], outputs: Sequence[str] = ()) -> int:
    """Return the bytes that the first call for one window (C, h, w) holds at most, beyond what the session holds.

    outputs: those that are read of it, () for the one that it has.

    In a process that has run no other network: the arena would have kept memory of it.
    """
    from geoseg.models.backends.activation import softmax
    from geoseg.models.backends.onnx import answer, answers, open_session

    session, window = open_session(content, "the network's graph"), np.zeros(shape, np.float32)

    def read() -> object:
        return answers(session, window, outputs) if outputs else softmax(answer(session, window))

    return max(peak_growth(read), _rounded(window.nbytes))


def peak_growth(call: Callable[[], object]) -> int:
    """Return by how many bytes this process grows at most in a call, rounded up."""
    import psutil

    before = psutil.Process().memory_info().rss
    _forget_peak()
    call()
    return _rounded(max(_peak_bytes() - before, 0))


def _rounded(size: int) -> int:
    """Return a size with two more bits than its first, rounded up: the next measurement gives the same, mostly.

    >>> _rounded(1000), _rounded(1024), _rounded(1100)
    (1024, 1024, 1280)
    """
    step = 1 << max(0, size.bit_length() - 3)
    return -(-size // step) * step


def _forget_peak() -> None:
    """Let Linux count the largest resident size of this process anew; elsewhere the one since its start counts."""
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return


def _peak_bytes() -> int:
    import resource
    import sys

    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
        return 1024 * int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1])
    except (OSError, StopIteration):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _caller(session: "InferenceSession", reading: Reading) -> Call:
    """Return the call of a file for one window (C, h, w), whose answer is (K, h, w), or (h, w) of one channel."""
    from onnx import helper

    from geoseg.models.backends.onnx import run_session

    dtype = helper.tensor_dtype_to_np_dtype(reading.signature.dtype)

    def call(window: NDArray[np.float32]) -> NDArray[np.float32]:
        image = window if reading.layout == "nchw" else np.moveaxis(window, 0, -1)
        batch = np.ascontiguousarray(np.repeat(image[None], reading.batch, 0)).astype(dtype)
        said = run_session(session, reading.signature.output, reading.signature.input, batch)[0].astype(np.float32)
        return np.moveaxis(said, -1, 0) if reading.layout == "nhwc" and said.ndim == 3 else said

    return call


def _noise(bands: int, side: int, options: ImportOptions) -> NDArray[np.float32]:
    """Return pixels to try a network with: smooth noise, as large as physical values are where it normalises them."""
    random = np.random.default_rng(0)
    coarse = random.standard_normal((bands, side // 8 + 1, side // 8 + 1)).repeat(8, 1).repeat(8, 2)
    pixels = coarse[:, :side, :side] + random.standard_normal((bands, side, side)) / 2
    if options.normalises:
        pixels = 100 + 50 * pixels
    return np.ascontiguousarray(pixels, np.float32)


def _tried(call: Call, seen: NDArray[np.float32], window_px: int, where: str, *, dynamic: str) -> NDArray[np.float32]:
    """Return the answer to a window; raises ConfigError with the nearest that are answered, where there are such.

    dynamic: the axes of an input of no fixed size, for the ModelError where neither is answered.
    """
    failed: ModelError | None = None
    try:
        said = call(seen[:, :window_px, :window_px])
    except ModelError as error:
        failed = error
    if failed is not None or (said.ndim in (2, 3) and window_px % said.shape[-1]):
        for step in STEPS[1:]:
            near = [side for side in (window_px // step * step, -(-window_px // step) * step) if side]
            if all((found := _answered(call, seen, side)) and side % found == 0 for side in near):
                told = " and ".join(map(str, near))
                raise ConfigError(f"{where}: takes no windows of {window_px} px; the nearest are {told}") from failed
    if failed is not None:
        axes = (
            f"its dynamic axes ({dynamic}) are of no size that was tried; --window-px may name one: " if dynamic else ""
        )
        raise ModelError(f"{where}: {axes}{failed}") from failed
    if said.ndim not in (2, 3):
        raise ModelError(f"{where}: answers {said.ndim + 1} axes; a map has windows, channels, rows, columns")
    return said


def _shape(said: NDArray[np.float32], window_px: int, where: str) -> tuple[int, int]:
    """Return channels and scale of an answer; raises ModelError where its pixels are not the window's."""
    height, width = said.shape[-2:]
    if height != width or window_px % height or height > window_px:
        raise ModelError(f"{where}: answers {height} x {width} px for a window of {window_px} px; as many are needed")
    return (1 if said.ndim == 2 else len(said)), window_px // height


def _answers(own: Signature, said: NDArray[np.float32], where: str) -> Answers:
    """Return what a network answers: as its last operator says, else as the numbers do; raises ModelError for ids."""
    named: dict[str, Answers] = {"Softmax": "softmax", "Sigmoid": "sigmoid", "LogSoftmax": "logits"}
    if own.last == "ArgMax":
        raise ModelError(f"{where}: answers class numbers, not how likely each is; export it without its ArgMax")
    if own.last in named:
        return named[own.last]
    shares = said.min() >= 0 and said.max() <= 1 + NEAR
    if shares and said.ndim == 3 and len(said) > 1 and np.abs(said.sum(0) - 1).max() < NEAR:
        return "softmax"
    return "logits"


def _multiple(call: Call, seen: NDArray[np.float32], reading: Reading, assumed: list[str]) -> int:
    """Return the pixels that windows are multiples of: the least that it takes, and that its answers move with."""
    whole = seen.shape[-1] - STEPS[-1]
    side = PROBE_PX if whole > PROBE_PX and _answered(call, seen, PROBE_PX) else whole
    larger = ((step, side + step) for step in STEPS)
    taken = next((step for step, size in larger if _answered(call, seen, size) * reading.scale == size), USUAL_STEP)
    moved, surely = _moving(call, seen, side) or (USUAL_STEP, False)
    multiple = gcd(moved, reading.size_px) if reading.size_px else max(taken, moved)
    if not surely:
        assumed.append(f"multiple of {multiple} px: no shift moves its answers exactly; --multiple-px says otherwise")
    return multiple


def _answered(call: Call, seen: NDArray[np.float32], side: int) -> int:
    """Return the side of the answer to a window of ``side`` pixels, 0 where there is none."""
    try:
        return int(call(seen[:, :side, :side]).shape[-1])
    except ModelError:
        return 0


def _moving(call: Call, seen: NDArray[np.float32], side: int) -> tuple[int, bool] | None:
    """Return the least shift of the image, far from whose edges the answers are the same, but shifted; None: none is.

    Where windows are too small for the network to be free of their edges, a shift counts that changes far less than
    smaller ones do: then the second value is False.
    """
    here = call(seen[..., :side, :side])
    if here.shape[-1] < 3:
        return None
    scale, third, changes = side // here.shape[-1], here.shape[-1] // 3, [0.0]
    for step in STEPS:
        by = step // scale
        there = call(seen[..., step : step + side, step : step + side])
        both = min(third, here.shape[-1] - third - by)
        if both < 1:
            return None
        inner = here[..., third + by : third + by + both, third + by : third + by + both]
        change = float(np.abs(inner - there[..., third : third + both, third : third + both]).mean())
        same = change <= NEAR * float(here.std())
        if step % scale == 0 and (same or change <= FAR_LESS * max(changes)):
            return step, same
        changes.append(change)
    return None
