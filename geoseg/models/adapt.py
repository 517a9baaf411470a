"""A network trained on some bands, started on others: its input layer is adapted by wavelength, never by index."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from geoseg.errors import ModelError
from geoseg.values.bands import Band, BandSet

REACH_NM = 250.0  # a band farther than this from every optical one is a stranger: it starts from the filters' mean
SPREAD_NM = 60.0  # width of the Gaussian that mixes neighbours
Policy = Literal["copy", "zero", "mean"]  # where filters come from of bands that the source lacks
PROBE_PX = 64  # side of an image that most networks take
CORRELATION = 0.8  # of standardised bands with each other, and of neighbouring pixels, where it was not measured


@dataclass(frozen=True, slots=True)
class Origin:
    """Where one input band's filters come from."""

    band: str
    how: str


def adapt_stem(
    weight: NDArray[np.float32],
    source: BandSet,
    target: BandSet,
    policy: Policy = "copy",
    *,
    correlation: NDArray[np.float64] | None = None,
) -> tuple[NDArray[np.float32], tuple[Origin, ...]]:
    """Return an input convolution's weight (O, len(target), kh, kw) made from one of (O, len(source), kh, kw).

    A band that both have is copied. Any other gets, by ``policy``: copy, the Gaussian mixture of its optical neighbours
    within 250 nm, where there are none the mean over the source bands; mean, that mean; zero, nothing, so that the
    network answers as it did. Nothing is drawn at random. Where bands were made of others each output filter is
    rescaled so that standardised inputs give it the variance it had. correlation: of the target bands with each other,
    (T, T), over the pixels that the network will see; None: 0.8 of all.

    >>> w = np.arange(3, dtype=np.float32).reshape(1, 3, 1, 1)
    >>> rgb, bgr = BandSet.parse("red,green,blue"), BandSet.parse("blue,green,red")
    >>> adapt_stem(w, rgb, bgr)[0].ravel().tolist()
    [2.0, 1.0, 0.0]
    """
    mixing = np.zeros((len(target), len(source)), np.float32)
    origins = []
    for row, band in zip(mixing, target, strict=True):
        row[:], how = _mixture(band, source, policy)
        origins.append(Origin(band.name, how))
    out = np.einsum("osij,ts->otij", weight, mixing)
    if policy != "zero" and not all(o.how.startswith("copy") for o in origins):
        before, after = _correlations(source, target, correlation)
        detailed = correlation is not None
        gain = np.sqrt(
            _variance(weight, before, detailed=detailed) / np.maximum(_variance(out, after, detailed=detailed), 1e-12)
        )
        out = out * gain[:, None, None, None].astype(np.float32)
    return out.astype(np.float32), tuple(origins)


def _mixture(band: Band, source: BandSet, policy: Policy) -> tuple[NDArray[np.float32], str]:
    share = np.zeros(len(source), np.float32)
    nm = [np.inf if b.identity_nm is None else b.identity_nm for b in source]
    away = np.full(len(source), np.inf) if band.identity_nm is None else np.abs(np.array(nm) - band.identity_nm)
    same = [i for i, own in enumerate(source) if own.same(band)]
    if same:
        nearest = min(same, key=lambda i: away[i])
        share[nearest] = 1
        return share, f"copy of {source[nearest].name}"
    if policy == "zero":
        return share, "zero"
    if policy == "copy" and away.min() <= REACH_NM:
        # relative to the nearest, so that a neighbour 200 nm away still weighs something in float32
        share[:] = np.exp(-(away**2 - away.min() ** 2) / (2 * SPREAD_NM**2))
        share /= share.sum()
        names = "+".join(b.name for b, s in zip(source, share, strict=True) if s > 0.05)
        return share, f"neighbours {names}"
    share[:] = 1 / len(source)
    return share, "mean of all bands"


def _correlations(
    source: BandSet, target: BandSet, measured: NDArray[np.float64] | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the correlation of the source bands, and of the target bands, as far as it was measured."""
    before, after = (np.where(np.eye(len(bands), dtype=bool), 1.0, CORRELATION) for bands in (source, target))
    if measured is None:
        return before, after
    after = np.where(np.isnan(measured), after, measured)
    found = [next((t for t, band in enumerate(target) if own.same(band)), None) for own in source]
    for i, k in enumerate(found):
        for j, m in enumerate(found):
            if k is not None and m is not None:
                before[i, j] = after[k, m]
    return before, after


def _variance(weight: NDArray[np.float32], bands: NDArray[np.float64], *, detailed: bool) -> NDArray[np.float64]:
    """Variance of each filter's response to standardised bands with a correlation, mostly smooth in place.

    detailed: what differs from pixel to pixel correlates between bands as the rest; else it does not at all.
    """
    taps = weight.reshape(*weight.shape[:2], -1).astype(np.float64)
    response = taps.sum(2)
    smooth = np.einsum("oi,ij,oj->o", response, bands, response)
    detail = np.einsum("oik,ij,ojk->o", taps, bands if detailed else np.eye(len(bands)), taps)
    return CORRELATION * smooth + (1 - CORRELATION) * detail


def start_from(  # type: ignore[no-untyped-def]  # nn.Module, imported late
    network,
    donor,
    *,
    source: BandSet,
    target: BandSet,
    policy: Policy = "copy",
    correlation=None,
    size_px: int = PROBE_PX,
):
    """Copy a donor network's weights into ``network``, its input layers adapted, its output layer only where it fits.

    An input layer is any convolution that is given the image itself: the first one, and shortcuts around it. Returns
    the origins of the bands. Raises ModelError when fewer than 80 % of the tensors fit: another architecture; and for
    other bands, where there is no such layer.
    """
    import torch

    state, given = network.state_dict(), donor.state_dict()
    stems = input_layers(donor, len(source), size_px)
    origins: tuple[Origin, ...] = ()
    matched = 0
    for name, tensor in state.items():
        if name in stems and given[name].shape[0] == tensor.shape[0]:
            adapted, origins = adapt_stem(given[name].numpy(), source, target, policy, correlation=correlation)
            state[name] = torch.from_numpy(adapted)
            matched += 1
        elif name in given and given[name].shape == tensor.shape:
            state[name] = given[name]
            matched += 1
    if matched < 0.8 * len(state):
        raise ModelError(f"start_from: {matched} of {len(state)} tensors fit; the bundle holds another architecture")
    if not origins and [b.name for b in source] != [b.name for b in target]:
        raise ModelError("start_from: no input layer was found that could be adapted; take the bands of the bundle")
    network.load_state_dict(state)
    return origins


def input_layers(network, channels: int, size_px: int = PROBE_PX):  # type: ignore[no-untyped-def]
    """Return the weight names of the convolutions that see the input itself, found by running one image of a side."""
    import torch

    found = []
    probe = torch.zeros(1, channels, size_px, size_px)
    probe[0, :, 0, 0] = torch.arange(1, channels + 1, dtype=torch.float32)  # marks the tensor; shortcuts see it as well

    def hook(name):  # type: ignore[no-untyped-def]
        def note(_module, inputs):  # type: ignore[no-untyped-def]
            if inputs[0].shape == probe.shape and torch.equal(inputs[0], probe):
                found.append(f"{name}.weight")

        return note

    handles = [
        m.register_forward_pre_hook(hook(n)) for n, m in network.named_modules() if isinstance(m, torch.nn.Conv2d)
    ]
    try:
        with torch.no_grad():
            network.eval()(probe)
    finally:
        for handle in handles:
            handle.remove()
    return found
