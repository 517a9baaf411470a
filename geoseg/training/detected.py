"""What detectors learn: single objects, each with its class and its pixels, window by window."""

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from geoseg.models.detecting import Detecting, DetectRules
from geoseg.models.outputs import Output
from geoseg.training.targets import UNKNOWN, Raw
from geoseg.training.things import CountedTarget

if TYPE_CHECKING:
    from torch import Tensor

    from geoseg.models.spec import ModelSpec

MADE_UP = 12  # objects along a side of a window that is made up: more than a step of Mask R-CNN learns masks of
LEAST_PX = 16  # of an object that is learnt: the edges of windows leave slivers


class ObjectsTarget(CountedTarget):
    """Single objects, which a detector lists; labels as of things."""

    kind: Literal["objects"] = "objects"  # type: ignore[assignment]
    things: tuple[str, ...] = Field(
        (),
        description="classes of objects; others are stuff, and learnt beside them. None: all but elsewhere, no stuff",
    )
    detect: DetectRules = Field(DetectRules(), description="which detections count, and when two are one object")

    @property
    def counted(self) -> tuple[str, ...]:
        """See ``CountedTarget``."""
        return self.things or tuple(c.name for c in self.classes if c.id != self.elsewhere)

    @property
    def detects_alone(self) -> bool:
        """See ``PlainTarget``."""
        return not self.things

    @property
    def detecting(self) -> Detecting | None:
        """See ``PlainTarget``."""
        return Detecting(things=self.counted, **self.detect.model_dump())

    @property
    def beside_count(self) -> int:
        """See ``PlainTarget``: numbers of objects."""
        return 1

    @property
    def more(self) -> tuple[Output, ...]:
        """See ``PlainTarget``: nothing is blended."""
        return ()

    def beside(self, raw: Raw) -> NDArray[np.float32]:
        """Return numbers of objects, 0 for none, (1, H, W), NaN where void."""
        own = np.array([c.name in self.counted for c in self.classes])[raw % len(self.classes)]
        numbers = np.where(own, raw // len(self.classes), 0).astype(np.float32)
        numbers[raw == UNKNOWN] = np.nan
        return numbers[None]


def made_up(size: int) -> "dict[str, Tensor]":
    """Return the objects of a window of ``size`` pixels in which many lie side by side, see ``truth_of``."""
    rows, cols = np.indices((size, size)) * MADE_UP // size
    return _of_window(np.ones((size, size), np.int64), (1 + rows * MADE_UP + cols).astype(np.float32), least_px=1)


def truth_of(labels: "Tensor", numbers: "Tensor", model: "ModelSpec") -> "list[dict[str, Tensor]]":
    """Return the objects of each window, see ``Detector.loss``.

    labels: positions of classes (B, H, W); numbers: of objects, 0 for none, NaN where void, (B, 1, H, W).
    """
    position = {c.id: i for i, c in enumerate(model.classes)}
    thing = np.zeros(256, np.int64)
    thing[[position[i] for i in model.things]] = [1 + model.detected_ids.index(i) for i in model.things]
    pairs = zip(labels.cpu().numpy(), numbers[:, 0].nan_to_num().cpu().numpy(), strict=True)
    return [{key: one.to(labels.device) for key, one in _of_window(thing[own], ids).items()} for own, ids in pairs]


def _of_window(thing: NDArray[np.int64], ids: NDArray[np.float32], least_px: int = LEAST_PX) -> "dict[str, Any]":
    import torch

    found, first, at, count = np.unique(
        np.where(thing > 0, ids, 0), return_index=True, return_inverse=True, return_counts=True
    )
    at, boxes, labels, masks = at.reshape(ids.shape), [], [], []
    for i in np.flatnonzero((found > 0) & (count >= least_px)):
        mask = at == i
        rows, cols = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        boxes.append((cols[0], rows[0], cols[-1] + 1, rows[-1] + 1))
        labels.append(thing.ravel()[first[i]])
        masks.append(mask)
    return {
        "boxes": torch.from_numpy(np.array(boxes, np.float32).reshape(-1, 4)),
        "labels": torch.from_numpy(np.array(labels, np.int64)),
        "masks": torch.from_numpy(np.array(masks, np.uint8).reshape(-1, *ids.shape)),
    }
