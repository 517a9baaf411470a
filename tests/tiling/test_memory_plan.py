"""The memory formula against the arrays that a run holds."""

from dataclasses import fields, replace
from types import SimpleNamespace

import numpy as np
import pytest

from geoseg import PolygonOptions, RunOptions, load_model, open_scene
from geoseg.errors import MemoryBudgetError
from geoseg.executors.base import Platform, Site
from geoseg.jobs import plan_memory
from geoseg.jobs.plan import make_plan
from geoseg.jobs.plan_memory import MOST_REPEATED, chunk_size, weights_bytes
from geoseg.tiling.memory import (
    BASE_BYTES,
    COMPILING_BYTES,
    FAMILY_BYTES,
    LEAST_CHUNK_PX,
    VECTOR_BYTES,
    Load,
    largest_chunk_that_fits,
    projected_bytes,
)
from geoseg.tiling.resample import Resampling
from geoseg.tiling.strips import strips
from geoseg.tiling.windows import WindowGrid, chunks, redundancy


def load_of(shape, *, working=None, **changes):
    resampling = Resampling(shape, working or shape)
    grid = WindowGrid.fit(resampling.working_shape, window=512, margin=32, ramp=32, multiple=32)
    base = Load(
        grid=grid,
        resampling=resampling,
        bands=4,
        itemsize=2,
        seen_px=512**2,
        channels=3,
        reducing_bytes=10,
        leaving_bytes=5,
        layer_bytes=4,
        batch=1,
        lanes=2,
        call_bytes=10**9,
    )
    return replace(base, **changes)


@pytest.mark.parametrize("working", [(2600, 3100), (1300, 900), (4100, 5000)])
@pytest.mark.parametrize("chunk_px", [512, 1024, 4096])
def test_memory_holds_the_arrays_of_every_chunk(working, chunk_px):
    load = load_of((2600, 3100), working=working)
    plan = projected_bytes(load, chunk_px)
    for _, chunk in chunks((2600, 3100), chunk_px):
        for strip in strips(load.grid, load.resampling, chunk):
            assert np.prod(strip.pixels.shape) * (4 * 2 + 1) <= plan.read_block < plan.prefetched_block
            assert np.prod(strip.seen.shape) * (4 * 4 + 1) <= plan.image
            assert np.prod(strip.sums.shape) * 4 * 3 * 2 <= plan.sums
            assert (strip.rows[1] - strip.rows[0]) * chunk.shape[1] * (2 + 2) <= plan.outputs
        assert np.prod(chunk.shape) * 4 <= plan.encoder
    assert plan.total == sum(getattr(plan, f.name) for f in fields(plan))


@pytest.mark.parametrize(
    ("window", "margin", "gib", "chunk_px"),
    [
        (512, 32, 99, 4096),  # every fifth window is run again
        (768, 48, 99, 8192),  # every third one would be in chunks of 4096
        (768, 48, 3, 4096),
        (768, 48, 2.6, 2048),
    ],
)
def test_chunks_grow_where_too_many_windows_would_be_run_again_and_memory_allows(window, margin, gib, chunk_px):
    shape = (30_000, 30_000)
    grid = WindowGrid.fit(shape, window=window, margin=margin, ramp=32, multiple=32)
    load = load_of(shape, grid=grid, seen_px=window**2, call_bytes=5 * 10**8)
    budget = int(gib * 2**30)
    assert chunk_size(load, None, None, budget, once=False) == chunk_px
    boxes = [[box] for _, box in chunks(shape, chunk_px)]
    assert (redundancy(grid, boxes) <= MOST_REPEATED) == (gib == 99)
    if gib == 99:
        assert chunk_size(load, None, 4096, budget, once=False) == 4096  # as the run that is resumed
        assert chunk_size(load, None, None, budget, once=True) == 4096


def test_memory_does_not_grow_with_the_scene():
    assert projected_bytes(load_of((12_000, 12_000)), 2048) == projected_bytes(load_of((100_000, 90_000)), 2048)


@pytest.mark.parametrize(
    ("name", "more", "part"),
    [
        ("lanes", 4, "busy"),
        ("batch", 20, "busy"),
        ("bands", 8, "image"),
        ("itemsize", 4, "read_block"),
        ("channels", 9, "sums"),
        ("layer_bytes", 9, "encoder"),
        ("leaving_bytes", 12, "outputs"),
        ("answers", 80, "busy"),
        ("seen_px", 2048**2, "busy"),
        ("call_bytes", 2 * 10**9, "busy"),
        ("weights_bytes", 10**8, "base"),
    ],
)
def test_memory_grows_with_what_the_run_holds(name, more, part):
    small, large = (projected_bytes(load_of((9000, 9000), **c), 1024) for c in ({}, {name: more}))
    assert getattr(large, part) > getattr(small, part)
    assert large.total > small.total


def test_every_array_of_all_classes_that_a_window_holds_counts():
    """In a lane logits and probabilities, in the main thread the answer, its integers and those of the batch before."""
    few, many = (projected_bytes(load_of((700, 700), channels=k, lanes=1), 1024) for k in (3, 253))
    assert many.busy - few.busy >= 250 * 4 * 512**2 * 5
    one, two = (projected_bytes(load_of((700, 700), channels=253, answers=n), 1024) for n in (1, 2))
    assert two.busy - one.busy >= 253 * 4 * 512**2 * 4  # one more answer of each kind, and a mean in work


def test_the_first_run_of_an_environment_compiles_within_its_plan(tiny_scene, tiny_bundle):
    options = RunOptions(device="cpu", lanes=1)
    site = Site(1, 2**40, Platform("cpu", "fp32", "a CPU"))
    planned = make_plan(
        open_scene(tiny_scene), [load_model(tiny_bundle)], site=site, options=options, polygons=PolygonOptions()
    )
    assert planned.stage_bytes["polygons"] >= planned.memory.base + COMPILING_BYTES


def test_every_member_of_an_ensemble_counts():
    assert weights_bytes([100]) < weights_bytes([100, 60]) < weights_bytes([100, 100])


def test_memory_counts_the_larger_reading_of_a_finer_scene():
    same, finer = load_of((9000, 9000)), load_of((9000, 9000), working=(3000, 3000))
    assert projected_bytes(finer, 1024).read_block > projected_bytes(same, 1024).read_block
    assert projected_bytes(finer, 1024).sums < projected_bytes(same, 1024).sums


@pytest.mark.parametrize("chunk_px", [512, 1024, 2048, 4096])
def test_the_largest_chunk_fits_and_twice_of_it_would_not(chunk_px):
    load = load_of((50_000, 50_000))
    budget = projected_bytes(load, chunk_px).total
    assert largest_chunk_that_fits(load, budget) == chunk_px
    if chunk_px > LEAST_CHUNK_PX:
        assert largest_chunk_that_fits(load, budget - 1) == chunk_px // 2


def test_no_chunk_is_larger_than_the_scene_needs():
    assert largest_chunk_that_fits(load_of((900, 2049)), 2**60) == 4096
    assert largest_chunk_that_fits(load_of((1, 1)), 2**60) == LEAST_CHUNK_PX


def test_too_little_memory_names_both_numbers_and_the_way_out():
    load = load_of((5000, 5000))
    needed = projected_bytes(load, LEAST_CHUNK_PX).total
    with pytest.raises(MemoryBudgetError, match=rf"{needed / 2**20:.0f} MiB, but 500 MiB are allowed; .*--memory"):
        largest_chunk_that_fits(load, 500 * 2**20)


def test_a_chunk_four_times_as_large_needs_little_more_but_for_its_compressed_tiles():
    small, large = (projected_bytes(load_of((50_000, 50_000)), c) for c in (2048, 4096))
    assert large.sums + large.image + large.read_block < 2.2 * (small.sums + small.image + small.read_block)


@pytest.mark.parametrize(
    ("here", "more", "spared"),
    [
        (True, {}, FAMILY_BYTES + VECTOR_BYTES),
        (True, {"polygons": PolygonOptions()}, FAMILY_BYTES),
        (False, {}, 0),  # a worker, or a notebook that loads what it likes
    ],
)
def test_libraries_that_a_run_does_without_are_spared_where_it_is_this_process(
    tiny_scene, tiny_bundle, monkeypatch, here, more, spared
):
    monkeypatch.setattr(plan_memory, "_none_loaded", lambda names: True)
    site, bundles = Site(1, 2**40, Platform("cpu", "fp32", "a CPU"), here=here), [load_model(tiny_bundle)]
    plan = make_plan(open_scene(tiny_scene), bundles, site=site, options=RunOptions(device="cpu"), **more)
    assert plan.memory.base == BASE_BYTES - spared + weights_bytes([bundles[0].weights.bytes])
    monkeypatch.setattr(plan_memory, "_none_loaded", lambda names: False)
    again = make_plan(open_scene(tiny_scene), bundles, site=site, options=RunOptions(device="cpu"), **more)
    assert again.memory.base == BASE_BYTES + weights_bytes([bundles[0].weights.bytes])


def test_nothing_is_spared_of_many_classes(monkeypatch):
    monkeypatch.setattr(plan_memory, "_none_loaded", lambda names: True)
    few, many = (
        SimpleNamespace(
            spec=SimpleNamespace(blended=blended, things=()),
            platform=SimpleNamespace(backends=("torch",)),
            bundles=(),
            area=None,
        )
        for blended in (3, 250)
    )
    assert plan_memory.spared(few, polygons=False) > plan_memory.spared(many, polygons=False) == 0
