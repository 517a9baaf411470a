"""A cluster in this process: calls come back in order, what they raise as it is, and nothing waits for ever."""

import pytest
from distributed import Client, LocalCluster

from geoseg.errors import OutputError, PlanChangedError, TryAgainError
from geoseg.executors.dask import DaskEngine


@pytest.fixture(scope="module")
def cluster():
    with LocalCluster(n_workers=2, threads_per_worker=1, processes=False, dashboard_address=":0") as made:
        yield made


@pytest.fixture
def client(cluster):
    with Client(cluster) as made:
        yield made


def square(n):
    return n * n


def refuse(n):
    if n == 7:
        raise OutputError(f"{n}: is in use")
    return n


def unknown(n):
    raise AttributeError("module 'geoseg' has no attribute 'newer'")


def test_calls_come_back_in_order_and_are_asked_for_as_they_are_needed(client):
    asked = []
    items = (asked.append(n) or n for n in range(50))
    results = DaskEngine(client).map(square, items)
    assert [next(results) for _ in range(3)] == [0, 1, 4]
    assert len(asked) < 15
    assert list(results) == [n * n for n in range(3, 50)]


def test_what_a_call_raises_is_told_as_it_is(client):
    results = DaskEngine(client).map(refuse, range(20))
    with pytest.raises(OutputError, match="7: is in use"):  # an OSError, as a lost connection is
        list(results)


def test_a_worker_that_does_not_know_the_call_is_another_geoseg(client):
    with pytest.raises(PlanChangedError, match="install the same geoseg on every worker"):
        list(DaskEngine(client).map(unknown, [1]))


def test_a_worker_that_is_made_of_other_libraries_is_refused(client):
    engine = DaskEngine(client)
    engine._planned["numba"] = "0.1"
    with pytest.raises(PlanChangedError, match=r"runs numba .*, the job was planned with 0\.1"):
        list(engine.map(square, [1]))


def test_the_room_of_a_worker_is_its_share_of_the_machine(client):
    import psutil

    resources = DaskEngine(client).resources()
    assert resources.lanes == 1
    assert 0 < resources.free_bytes < 0.6 * psutil.virtual_memory().total


def test_a_worker_that_goes_is_told_once(caplog):
    two = LocalCluster(n_workers=2, threads_per_worker=1, processes=False, dashboard_address=":0")
    with two, Client(two) as client:
        engine = DaskEngine(client)
        assert list(engine.map(square, range(4))) == [0, 1, 4, 9]
        gone, stays = sorted(client.nthreads())
        client.retire_workers([gone])
        assert list(engine.map(square, range(9))) == [n * n for n in range(9)]
        (said,) = [r.getMessage() for r in caplog.records if r.name == "geoseg.executors.dask"]
        assert said == f"workers lost: {gone}; 1 are left and take what they did"
        assert stays in client.nthreads()


def test_without_workers_it_says_try_again():
    alone = LocalCluster(n_workers=1, threads_per_worker=1, processes=False, dashboard_address=":0")
    with alone, Client(alone) as client:
        results = DaskEngine(client, patience_s=0.1).map(square, iter(range(10)))
        assert next(results) == 0
        alone.scale(0)  # with results that nobody has fetched
        with pytest.raises(TryAgainError, match="no worker"):
            list(results)
