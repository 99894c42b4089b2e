"""Common fixtures: configs composed from conf/, and separate folders for everything."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

# One thread a process: several under load are slower, and bits depend on how many there are
os.environ["OMP_NUM_THREADS"] = "1"

import pytest
from support import forked, torch

from transferlab.experiment import compose
from transferlab.experiment.build import build_config
from transferlab.experiment.config import RunConfig
from transferlab.experiment.splits.manmade_natural import published_groups

Compose = Callable[..., RunConfig]
# Lightning on a machine without a GPU, and its advice on workers, interval and bars
LIGHTNING = "ignore::pytorch_lightning.utilities.warnings.PossibleUserWarning"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--light", action="store_true", help="only what needs no torch, nor draws")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--light"):
        torch.refuse()
    else:  # naming the warning imports torch
        config.addinivalue_line("filterwarnings", LIGHTNING)


def pytest_unconfigure() -> None:
    forked.end_servers()


@pytest.fixture
def needs_torch() -> None:
    """For tests that start a process which imports torch."""
    torch.require()


@pytest.fixture
def forked_trainings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes of this interpreter are forked from one that has imported torch."""
    monkeypatch.setenv(forked.SOCKET, forked.training_server())
    monkeypatch.setattr(subprocess, "Popen", forked.Popen)


@pytest.fixture
def forked_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes of this interpreter are forked from one without torch."""
    monkeypatch.setenv(forked.SOCKET, forked.light_server())
    monkeypatch.setattr(subprocess, "Popen", forked.Popen)


@pytest.fixture
def config(tmp_path: Path) -> Compose:
    """Builds the unresolved config of a list of overrides, with store and cache in tmp_path."""

    def build(*overrides: str) -> RunConfig:
        places = [f"runtime.store={tmp_path}/runs", f"runtime.cache={tmp_path}/cache"]
        return build_config(compose.compose("config", [*places, *overrides]))

    return build


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """The working directory of the user."""
    (tmp_path / "here").mkdir()
    return tmp_path / "here"


@pytest.fixture(scope="session")
def imagenet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The 1,000 class folders, with one small file in each."""
    root = tmp_path_factory.mktemp("imagenet")
    for number, name in enumerate(published_groups()):
        for subset in ("train", "val"):
            (root / subset / name).mkdir(parents=True)
            (root / subset / name / "0.JPEG").write_bytes(b"%d" % number)
    return root
