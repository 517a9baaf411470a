"""Tools that run a network over a scene in windows, each from a GeoTIFF to a GeoTIFF of class numbers; see peers.py.

Each is used as its documentation shows it. What it leaves to its user (reading, normalising, adding up windows,
deciding classes, writing) is done here in the way that cost least in earlier measurements.
"""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import machine
import numpy as np
import rasterio
import torch

from geoseg import RunOptions, load_model, predict
from geoseg.executors.heap import keep_freed_memory
from geoseg.models.backends import library
from geoseg.models.bundle import ModelBundle

CPUS = len(os.sched_getaffinity(0))
TILED = {"driver": "GTiff", "tiled": True, "blockxsize": 512, "blockysize": 512, "compress": "deflate"}


@dataclass(frozen=True)
class Settings:
    """How a tool is run; ``own`` is as it comes, and the others are what all of them share."""

    model: str
    batch: int
    precision: str
    keep_heap: bool
    own: bool = False

    @property
    def bundle(self) -> ModelBundle:
        return load_model(self.model)

    @property
    def overlap(self) -> int:
        spec = self.bundle.spec
        return 2 * spec.margin_px + spec.ramp_px


class Network(torch.nn.Module):
    """Probabilities of a bundle's channels: by the backend that geoseg has, or as the module comes (``own``)."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.backend = library("torch").open_backend(settings.bundle, device="cpu", precision=settings.precision)
        self.module = settings.bundle.network() if settings.own else None
        self.pixels = 0

    @torch.no_grad()  # MONAI writes into what it is given
    def forward(self, windows: torch.Tensor) -> torch.Tensor:
        self.pixels += windows.shape[0] * windows.shape[2] * windows.shape[3]
        if self.module is not None:
            return self.module(windows).softmax(1)
        return torch.from_numpy(self.backend(windows.numpy()).values)


class Peer:
    """Scene in, GeoTIFF of class numbers out; ``pixels`` are those that went through the network."""

    def __init__(self, name: str, settings: Settings) -> None:
        if settings.keep_heap:
            keep_freed_memory()
        torch.set_num_threads(CPUS)
        self.run, self.settings, self.network = TOOLS[name], settings, Network(settings)
        self.spec = settings.bundle.spec

    def __call__(self, scene: Path, out: Path) -> None:
        self.network.pixels = 0
        values = self.run(self, scene)
        kinds = self.spec.class_of_channel
        if list(kinds) != sorted(set(kinds)):  # several channels count towards one class
            values = np.stack([sum(v for v, k in zip(values, kinds, strict=True) if k == one) for one in set(kinds)])
        ids = np.array([c.id for c in self.spec.classes], np.uint8)
        with rasterio.open(scene) as src:
            profile = {"crs": src.crs, "transform": src.transform, "width": src.width, "height": src.height}
        with rasterio.open(out, "w", count=1, dtype="uint8", **TILED, **profile) as dst:
            dst.write(ids[values.argmax(0)], 1)

    @property
    def pixels(self) -> int:
        return self.network.pixels

    def normalised(self, pixels: np.ndarray) -> np.ndarray:
        mean, std = (
            np.array(v, np.float32)[:, None, None] for v in (self.spec.normalisation.mean, self.spec.normalisation.std)
        )
        out = pixels.astype(np.float32)
        out -= mean
        out /= std
        return out

    def read(self, scene: Path) -> np.ndarray:
        with rasterio.open(scene) as src:
            return self.normalised(src.read())


def monai(peer: Peer, scene: Path) -> np.ndarray:
    """MONAI's sliding window, blended by a Gaussian."""
    from monai.inferers import sliding_window_inference

    window, s = peer.spec.window_px, peer.settings
    pixels = torch.from_numpy(peer.read(scene))[None]
    return sliding_window_inference(
        pixels, (window, window), s.batch, peer.network, overlap=s.overlap / window, mode="gaussian"
    )[0].numpy()


def toolbelt(peer: Peer, scene: Path) -> np.ndarray:
    """pytorch-toolbelt's slicer and merger, blended by a pyramid."""
    from pytorch_toolbelt.inference.tiles import ImageSlicer, TileMerger

    window, s = peer.spec.window_px, peer.settings
    image = np.moveaxis(peer.read(scene), 0, -1)
    slicer = ImageSlicer(image.shape, window, window - s.overlap, weight="pyramid")
    tiles = [np.moveaxis(tile, -1, 0) for tile in slicer.split(image)]
    merger = TileMerger(slicer.target_shape, peer.spec.out_channels, slicer.weight)
    for i in range(0, len(tiles), s.batch):
        part = torch.from_numpy(np.stack(tiles[i : i + s.batch]))
        merger.integrate_batch(peer.network(part), slicer.crops[i : i + s.batch])
    return np.moveaxis(slicer.crop_to_orignal_size(np.moveaxis(merger.merge().numpy(), 0, -1)), -1, 0)


def torchgeo(peer: Peer, scene: Path) -> np.ndarray:
    """A loop over torchgeo's grid sampler; overlaps are averaged."""
    from torch.utils.data import DataLoader
    from torchgeo.datasets import RasterDataset, stack_samples
    from torchgeo.samplers import GridGeoSampler

    class Scene(RasterDataset):
        filename_glob = scene.name

    window, s = peer.spec.window_px, peer.settings
    dataset = Scene(str(scene.parent))
    with rasterio.open(scene) as src:
        to_pixel, (height, width) = ~src.transform, src.shape
    total = np.zeros((peer.spec.out_channels, height, width), np.float32)
    count = np.zeros((height, width), np.float32)
    sampler = GridGeoSampler(dataset, size=window, stride=window - s.overlap)
    for samples in DataLoader(dataset, batch_size=s.batch, sampler=sampler, collate_fn=stack_samples):
        seen = np.stack([peer.normalised(image) for image in samples["image"].numpy()])
        for values, placed in zip(peer.network(torch.from_numpy(seen)).numpy(), samples["transform"], strict=True):
            col, row = (round(v) for v in to_pixel * (float(placed[2]), float(placed[5])))
            top, left, bottom, right = max(0, row), max(0, col), min(height, row + window), min(width, col + window)
            total[:, top:bottom, left:right] += values[:, top - row : bottom - row, left - col : right - col]
            count[top:bottom, left:right] += 1
    return total / np.maximum(count, 1)


def dask(peer: Peer, scene: Path) -> np.ndarray:
    """dask's map_overlap on rioxarray's chunks: windows overlap by twice the depth, which is cut off; no blending."""
    import dask.array
    import rioxarray

    multiple, depth = peer.spec.multiple_px, peer.settings.overlap // 2 // peer.spec.multiple_px * peer.spec.multiple_px
    side = peer.spec.window_px - 2 * depth
    pixels = rioxarray.open_rasterio(scene, chunks={"band": -1, "y": side, "x": side}, lock=False).data

    def mapped(block: np.ndarray) -> np.ndarray:
        if 0 in block.shape:  # dask asks what comes of nothing
            return np.zeros((peer.spec.out_channels, *block.shape[1:]), np.float32)
        beyond = [(0, 0), *((0, -length % multiple) for length in block.shape[1:])]
        seen = np.pad(peer.normalised(block), beyond, mode="symmetric")
        values = peer.network(torch.from_numpy(seen)[None])[0].numpy()
        return values[:, : block.shape[1], : block.shape[2]]

    depths, edges = {0: 0, 1: depth, 2: depth}, {0: "none", 1: "reflect", 2: "reflect"}
    whole = dask.array.overlap.overlap(pixels, depths, edges)
    chunks = ((peer.spec.out_channels,), *whole.chunks[1:])
    values = whole.map_blocks(mapped, dtype=np.float32, chunks=chunks)
    return dask.array.overlap.trim_internal(values, depths, edges).compute(scheduler="threads", num_workers=CPUS)


def one_shot(peer: Peer, scene: Path) -> np.ndarray:
    """The whole scene as one window: what tiling is to come near to."""
    return peer.network(torch.from_numpy(peer.read(scene))[None])[0].numpy()


class Geoseg:
    """geoseg, as ``geoseg predict`` runs it; without ``own`` it writes classes alone."""

    def __init__(self, _name: str, settings: Settings) -> None:
        if settings.keep_heap:
            keep_freed_memory()
        self.settings, self.pixels = settings, 0

    def __call__(self, scene: Path, out: Path) -> None:
        s, folder = self.settings, out.with_name(f"{out.stem}-{time.monotonic_ns()}")
        shared: dict[str, Any] = {"layers": ("classes",), "batch": s.batch, "precision": s.precision}
        options = RunOptions(tta="none", memory_bytes=machine.MEMORY_BYTES, **({} if s.own else shared))
        done = predict(scene, s.model, folder, options=options)
        spec = s.bundle.spec
        self.pixels = done.run["windows"]["run"] * spec.window_px**2
        (folder / "classes.tif").replace(out)


TOOLS: dict[str, Callable[[Peer, Path], np.ndarray]] = {
    "MONAI": monai, "pytorch-toolbelt": toolbelt, "torchgeo loop": torchgeo, "dask map_overlap": dask,
    "one-shot": one_shot,
}  # fmt: skip


def opened(name: str, settings: Settings) -> Geoseg | Peer:
    """Return a tool with its network loaded."""
    return (Geoseg if name == "geoseg" else Peer)(name, settings)
