"""Tests on a real SLURM: `make test-slurm`. The cluster is started once, for all of them."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from support import cluster as local_cluster
from support import user as users
from support.user import User


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


@pytest.fixture(scope="session")
def bare_cluster() -> Iterator[local_cluster.Cluster]:
    """One without accounting, where `sacct` fails."""
    with local_cluster.started(accounting=0) as running:
        yield running


@pytest.fixture(scope="session")
def patient_cluster() -> Iterator[local_cluster.Cluster]:
    """One that leaves a job as long between SIGTERM and SIGKILL as SLURM does by default."""
    with local_cluster.started(kill_wait=30) as running:
        yield running


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A common cache of mean images and networks' facts, filled once for all tests."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def user(tmp_path: Path, cluster: local_cluster.Cluster, cache: Path) -> User:
    return users.arrive(tmp_path / "user", cluster, cache)


@pytest.fixture(scope="session")
def undisturbed(
    tmp_path_factory: pytest.TempPathFactory, cluster: local_cluster.Cluster, cache: Path
) -> users.Essence:
    """The results of the studies without interruptions: trained here, without SLURM."""
    somebody = users.arrive(tmp_path_factory.mktemp("here") / "user", cluster, cache)
    somebody.ordered("sweep", "+study=all.yaml", *users.RECIPE, "launcher.jobs=2")
    return users.essence(somebody.results())


@pytest.fixture(autouse=True)
def no_jobs_are_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """Every test begins with an empty queue and idle nodes."""
    yield
    for name in {"cluster", "bare_cluster", "patient_cluster"} & set(request.fixturenames):
        request.getfixturevalue(name).clear()
