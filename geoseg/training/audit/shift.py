"""How far labels lie beside what an image shows: edges of both are compared by phase correlation."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, gaussian_gradient_magnitude

from geoseg.scenes.pictures import boundaries
from geoseg.training.areas import AreaPixels, LabelledArea, blocks
from geoseg.training.audit.findings import Finding, Level
from geoseg.training.targets import IGNORE, BuildingTarget, ClassTarget

WINDOW_PX = 256
MOST_WINDOWS = 24  # of a scene
REACH_PX = 24
LEAST_SHARP = 7.0  # standard deviations by which a peak stands out; 10 to 15 on labels that fit eight sites
TOLD_PX, FAULT_PX = 2, 4  # labels of sites that were looked at lie up to 3 px beside: roofs lean, shadows have edges


@dataclass(frozen=True, slots=True)
class Shift:
    """The pixels (down, right) and metres that labels lie beside the image, and how sharp the peak is."""

    rows: int
    cols: int
    gsd_m: float
    sharpness: float

    @property
    def px(self) -> float:
        """How far."""
        return float(np.hypot(self.rows, self.cols))


def find_shift(areas: Sequence[LabelledArea], target: BuildingTarget | ClassTarget) -> Shift | None:
    """Return the shift of the labels of one scene's areas; None where windows hold too little (Kuglin, Hines 1975)."""
    total: NDArray[np.complex128] | None = None
    for area, pixels in _windows(areas, target):
        labels = target.labels(pixels.labels, gsd_m=area.gsd_m)
        cross = _cross_phase(pixels, np.where(labels == IGNORE, 0, labels + 1))
        total = cross if total is None else total + cross
    if total is None:
        return None
    surface = np.fft.fftshift(np.fft.irfft2(total, s=(WINDOW_PX, WINDOW_PX)))
    middle = WINDOW_PX // 2
    near = slice(middle - REACH_PX, middle + REACH_PX + 1)
    seen = gaussian_filter(surface, 1.0)[near, near]
    row, col = divmod(int(seen.argmax()), seen.shape[1])
    sharpness = float((seen.max() - seen.mean()) / max(seen.std(), 1e-12))
    return Shift(REACH_PX - row, REACH_PX - col, areas[0].gsd_m, sharpness)


def of_shifts(areas: Sequence[LabelledArea], target: BuildingTarget | ClassTarget) -> Iterator[Finding]:
    """Yield the shift of each site's labels, where it is one."""
    for site in dict.fromkeys(area.site for area in areas):
        found = find_shift([area for area in areas if area.site == site], target)
        if found is None or found.sharpness < LEAST_SHARP:
            continue
        down = f"{abs(found.rows)} px {'down' if found.rows > 0 else 'up'}"
        right = f"{abs(found.cols)} px {'to the right' if found.cols > 0 else 'to the left'}"
        text = (
            f"labels lie {down} and {right} ({found.px * found.gsd_m:.1f} m) of what the image shows, by phase "
            f"correlation of edges; look at the overlays"
        )
        level: Level = "fault" if found.px >= FAULT_PX else "warning" if found.px > TOLD_PX else "note"
        yield Finding(level, Path(site).name, text)


def _windows(
    areas: Sequence[LabelledArea], target: BuildingTarget | ClassTarget
) -> Iterator[tuple[LabelledArea, AreaPixels]]:
    """Yield whole windows with labels, some of many."""
    boxes = [(a, box) for a in areas for box in blocks(a, WINDOW_PX) if box.shape == (WINDOW_PX, WINDOW_PX)]
    step, left = max(1, len(boxes) // (2 * MOST_WINDOWS)), MOST_WINDOWS
    for area, box in boxes[::step]:
        pixels = area.read(box)
        if left and len(np.unique(target.labels(pixels.labels, gsd_m=area.gsd_m))) > 1 and pixels.valid.mean() > 0.5:
            left -= 1
            yield area, pixels


def _cross_phase(pixels: AreaPixels, labels: NDArray[np.integer]) -> NDArray[np.complex128]:
    """Return the phases of the cross spectrum of the image's edges and the labels'."""
    known = pixels.valid
    bands = [band for band in pixels.image if not np.isnan(band).any()]
    slope = sum(gaussian_gradient_magnitude(band, 1.0) / max(float(band[known].std()), 1e-6) for band in bands)
    edges = gaussian_filter(boundaries(labels).astype(np.float64), 1.0)
    taper = np.outer(np.hanning(WINDOW_PX), np.hanning(WINDOW_PX))
    one, other = (np.fft.rfft2(np.where(known, e - e[known].mean(), 0) * taper) for e in (np.asarray(slope), edges))
    cross = one * np.conj(other)
    return np.asarray(cross / (np.abs(one) * np.abs(other) + 1e-9))
