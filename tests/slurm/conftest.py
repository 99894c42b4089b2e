"""Tests on a real SLURM: `make test-slurm`. The cluster is started once, for all of them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from slurm import cluster as local_cluster


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("slurm")


@pytest.fixture(scope="session")
def cluster() -> Iterator[local_cluster.Cluster]:
    """Two nodes with two GPUs each. After the last test nothing of it may be left."""
    with local_cluster.started() as running:
        yield running


@pytest.fixture(autouse=True)
def no_jobs_are_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """Every test begins with an empty queue and idle nodes."""
    yield
    if "cluster" in request.fixturenames:
        request.getfixturevalue("cluster").clear()
