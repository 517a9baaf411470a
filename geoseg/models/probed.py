"""Probed: what a network was seen to hold in memory; plans read it, so that no network is loaded for them."""

from pydantic import Field

from geoseg.models.value import Value


class Probed(Value):
    """One window of the bundle's own size, run once in fp32 when the bundle was saved."""

    window_px: int = Field(gt=0, le=2**16)
    """Side of the window."""
    live_bytes: int = Field(ge=0, le=2**50)
    """What the call held at most inside the network, beside the window and the weights."""
