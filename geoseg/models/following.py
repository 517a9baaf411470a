"""Following: one object through the same window of several dates, with the memory of SAM 2's video network.

An object is followed by itself, from the first date on: what else is followed changes no bit.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import interpolate

from geoseg.models.live_bytes import LiveBytes
from geoseg.models.on_device import OnDevice
from geoseg.models.probed import Probed
from geoseg.models.promptable import Asked, call_tensors, clicked

BOX_FROM, BOX_TO = 2, 3  # labels of a box's corners among points


class Followed(NamedTuple):
    """An object on one date."""

    mask: NDArray[np.bool_]
    """(h, w) over the window; empty where it is gone."""
    there: float
    """How sure the network is that it is there, 0..1."""


class Following(OnDevice):
    """A network that follows objects, see ``OnDevice``."""

    def follow(
        self, dates: Sequence[NDArray[np.float32]], asked: Sequence[Asked]
    ) -> Iterator[tuple[int, tuple[Followed, ...]]]:
        """Yield the place of every prompt in ``asked`` and its object on each date; the prompts are of the first.

        dates: (1, C, side, side) each.
        """
        with torch.inference_mode():
            frames, cache = torch.from_numpy(np.concatenate(dates)), None
            for place, one in enumerate(asked):
                session = _session(frames, self.device)
                cache = cache or session.cache  # the images are encoded once for all objects
                session.cache = cache
                yield place, tuple(_through(self.network, session, one))


def _session(frames: Tensor, device: torch.device) -> Any:
    from transformers.models.sam2_video.modeling_sam2_video import Sam2VideoInferenceSession

    side = frames.shape[-1]
    return Sam2VideoInferenceSession(
        video=frames,
        video_height=side,
        video_width=side,
        inference_device=device,
        inference_state_device=device,
        video_storage_device="cpu",
        dtype=torch.float32,
        max_vision_features_cache_size=len(frames),
    )


def _through(network: Any, session: Any, asked: Asked) -> Iterator[Followed]:
    """Yield an object on each date of a session, as transformers' processor asks for it."""
    side, given = session.video_height, call_tensors([asked], session.inference_device)
    points = given.get("input_points", torch.zeros(1, 1, 0, 2))
    labels = given.get("input_labels", torch.zeros(1, 1, 0, dtype=torch.int32))
    if "input_boxes" in given:
        corners = given["input_boxes"].reshape(1, 1, 2, 2)
        points = torch.cat([corners, points.to(corners.device)], 2)
        labels = torch.cat([torch.tensor([[[BOX_FROM, BOX_TO]]], dtype=torch.int32), labels.cpu()], 2)
    number = session.obj_id_to_idx(1)
    session.add_point_inputs(number, 0, {"point_coords": points, "point_labels": labels})
    session.obj_with_new_inputs = [1]
    for frame in range(session.num_frames):
        answer = network(inference_session=session, frame_idx=frame)
        logits = answer.pred_masks.float().reshape(1, 1, *answer.pred_masks.shape[-2:])
        full = interpolate(logits, size=(side, side), mode="bilinear", align_corners=False)[0, 0]
        there = float(torch.sigmoid(answer.object_score_logits.float()).flatten()[0])
        yield Followed((full > 0).cpu().numpy(), there)


def probe_following(network: nn.Module, channels: int, window_px: int) -> Probed:
    """Return what following an object to a second date holds; each further one takes the features of its window."""
    with torch.inference_mode(), LiveBytes() as counted:
        session = _session(torch.zeros(2, channels, window_px, window_px), torch.device("cpu"))
        list(_through(network.eval(), session, clicked(window_px)))
    return Probed(window_px=window_px, live_bytes=counted.peak)
