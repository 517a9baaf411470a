"""Border profile: how a network's labels change towards its window's border, where it lacks context; beside a bundle.

Like calibration windows it stands in no description: a bundle is the same with and without it. It holds no pixels.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from geoseg.disk.files import write_json
from geoseg.errors import ModelError
from geoseg.models.architectures import check_architecture
from geoseg.models.backends import library
from geoseg.models.bundle import ModelBundle, write_bundle
from geoseg.models.calibration import BORDER_FILE
from geoseg.models.exports.parity import per_class
from geoseg.models.spec import ModelSpec

FIRST_PX = 4  # width of the first ring; each further one ends twice as far in
MOST_KEPT = 0.01  # share of the labels that may differ in a ring that a chosen margin leaves
MARGIN_SHARE = 8  # of a window's side: the largest margin that is chosen


@dataclass(frozen=True, slots=True)
class BorderProfile:
    """Labels of small windows beside those of the same pixels in windows of the bundle's own size around them."""

    window_px: int
    """Side of the small windows."""
    within_px: int
    """Side of those around."""
    windows: int
    """How many were compared."""
    rings: tuple[tuple[int, int, float], ...]
    """From, to: pixels from the small window's border; share of the labels there that differ."""

    def in_words(self) -> str:
        """Return the shares, ring by ring.

        >>> BorderProfile(128, 256, 4, ((0, 4, 0.031), (4, 8, 0.002))).in_words()
        '0 to 4 px 3.1 %, 4 to 8 px 0.2 % of labels differ from those of windows of 256 px around'
        """
        rings = ", ".join(f"{low} to {high} px {share:.1%}".replace("%", " %") for low, high, share in self.rings)
        return f"{rings} of labels differ from those of windows of {self.within_px} px around"

    def kept(self, margin_px: int) -> float:
        """Return the largest share of the rings that a margin leaves, or cuts: what a map may still show.

        >>> BorderProfile(128, 256, 4, ((0, 4, 0.031), (4, 8, 0.002))).kept(4)
        0.002
        """
        return max((share for _, high, share in self.rings if high > margin_px), default=0.0)

    def margin_px(self, spec: ModelSpec) -> int:
        """Return the margin that a bundle's windows need: the least that leaves no ring with more than MOST_KEPT.

        It is in steps that keep the stride a multiple, half the network's stride at least where any label differs,
        since a few windows cannot show that none is needed, and an eighth of the window at most. A bundle of things
        keeps its own, within which they are seen whole.
        """
        if spec.things:
            return spec.margin_px
        window, multiple, ramp = spec.window_px, spec.multiple_px, spec.ramp_px
        fitting = [
            margin
            for margin in range(window // MARGIN_SHARE + 1)
            if (window - 2 * margin - ramp) % multiple == 0 and 2 * (margin + ramp) <= window
        ]
        needed = max((high for _, high, share in self.rings if share > MOST_KEPT), default=0)
        least = multiple // 2 if any(share for *_, share in self.rings) else 0
        enough = [margin for margin in fitting if margin >= max(needed, least)]
        return min(enough, default=max(fitting, default=spec.margin_px))


def measure(bundle: ModelBundle, windows: NDArray[np.float32]) -> BorderProfile | None:
    """Compare windows (N, C, h, w) of the bundle's own size with their middles; None where it cannot be said.

    That is of models without classes, and of networks that take windows of one size alone.
    """
    spec, around = bundle.spec, windows.shape[2]
    side, start = (length // spec.multiple_px * spec.multiple_px for length in (around // 2, around // 4))
    if not spec.classes or side == 0 or check_architecture(spec.arch).fault_of_window(side):
        return None
    network = library(bundle.backend).open_backend(bundle, device="cpu", precision="fp32")
    part = slice(start, start + side)
    differ = np.zeros((side, side))
    with library(bundle.backend).one_thread_per_network():
        for window in windows:
            whole, small = (
                per_class(network(np.ascontiguousarray(seen)[None]).values[0], spec).argmax(0)
                for seen in (window, window[:, part, part])
            )
            differ += whole[part, part] != small
    return BorderProfile(side, around, len(windows), tuple(_rings(differ / len(windows))))


def _rings(differ: NDArray[np.float64]) -> Iterator[tuple[int, int, float]]:
    side = len(differ)
    far = np.minimum(np.arange(side), np.arange(side)[::-1])
    away = np.minimum(far[:, None], far)
    low, high = 0, FIRST_PX
    while low < side // 2:
        own = differ[(away >= low) & (away < high)]
        yield low, min(high, side // 2), round(float(own.mean()), 5)
        low, high = high, 2 * high


def with_margin(bundle: ModelBundle, profile: BorderProfile | None) -> ModelBundle:
    """Return the bundle, written anew where its profile asks for another margin; what lay beside it is gone then."""
    margin_px = bundle.spec.margin_px if profile is None else profile.margin_px(bundle.spec)
    if margin_px == bundle.spec.margin_px:
        return bundle
    spec = bundle.spec.model_copy(update={"margin_px": margin_px})
    return write_bundle(Path(bundle.path), bundle.content(), spec=spec, file=bundle.weights.file)


def store(folder: Path, profile: BorderProfile) -> None:
    """Write a profile beside a bundle."""
    write_json(folder / BORDER_FILE, asdict(profile))


def stored(folder: Path) -> BorderProfile | None:
    """Return the profile beside a bundle, None where there is none; raises ModelError for a damaged one."""
    try:
        content = json.loads((folder / BORDER_FILE).read_bytes())
        rings = tuple((int(low), int(high), float(share)) for low, high, share in content["rings"])
        side, around, count = (int(content[key]) for key in ("window_px", "within_px", "windows"))
        return BorderProfile(side, around, count, rings)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise ModelError(f"{folder / BORDER_FILE}: holds no border profile ({error}); remove it") from error
