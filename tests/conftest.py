"""Common fixtures: configs composed from conf/, and separate folders for everything."""

import gc
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

# One thread a process: several under load are slower, and bits depend on how many there are
os.environ["OMP_NUM_THREADS"] = "1"

import pytest
import yaml
from support import configs, forked, torch, users

from transferlab.experiment import compose
from transferlab.experiment.build import build_config
from transferlab.experiment.conf import Conf
from transferlab.experiment.config import RunConfig
from transferlab.experiment.cost import networks
from transferlab.experiment.splits.manmade_natural import published_groups
from transferlab.store import kept

Compose = Callable[..., RunConfig]
# Lightning on a machine without a GPU, and its advice on workers, interval and bars
LIGHTNING = "ignore::pytorch_lightning.utilities.warnings.PossibleUserWarning"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--light", action="store_true", help="only what needs no torch, nor draws")


def pytest_configure(config: pytest.Config) -> None:
    light = config.getoption("--light")
    if light:
        torch.refuse()
        write_into_memory()
    if config.getoption("dist", "no") != "no":  # the tests run in processes that this one starts
        forked.start_shared_servers(light=light)
    elif not light:  # naming the warning imports torch
        config.addinivalue_line("filterwarnings", LIGHTNING)


def write_into_memory() -> None:
    """Temporary folders are in memory where there is room for them: a file system on a disk takes
    a tenth of the light tests' time. The whole suite writes gigabytes, and to a disk."""
    memory = Path("/dev/shm")
    if memory.is_dir() and shutil.disk_usage(memory).free > 2**30:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(memory))


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    if collection_path.suffix != ".py" or not config.getoption("--light"):
        return None
    return torch.is_imported_by(collection_path) or None


def pytest_collection_finish() -> None:
    """What was imported stays: the garbage collector looks at it no more, and less often at what
    tests make, for which it took an eighth of their time."""
    gc.freeze()
    gc.set_threshold(20_000)


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("root") and os.geteuid() != 0:
        pytest.skip("needs root: for another user, a namespace or a mount")


def pytest_unconfigure() -> None:
    gc.unfreeze()
    forked.end_servers()


@pytest.fixture(autouse=True, scope="session")
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The user's cache is a folder of the session's, which its test processes share: nothing is
    found that an earlier session left, and a network is examined once."""
    folder = tmp_path_factory.getbasetemp()
    folder = folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder
    with pytest.MonkeyPatch.context() as patch:
        # matplotlib takes seconds to list the fonts
        users_own = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        if "MPLCONFIGDIR" not in os.environ:
            patch.setenv("MPLCONFIGDIR", f"{users_own}/matplotlib")
        patch.setenv("XDG_CACHE_HOME", str(folder / "user-cache"))
        yield


@pytest.fixture(autouse=True, scope="session")
def kept_of_stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What is kept of stores that tests read in this process is in a folder of the tests."""
    folder = tmp_path_factory.mktemp("kept")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kept, "folder", lambda: folder)
        yield


@pytest.fixture(autouse=True, scope="session")
def examined_by_forks() -> Iterator[None]:
    """The probe of networks, which imports torch in 6 s, is forked from a process that has."""
    original = networks._probe

    def probe(*values: Any, **options: Any) -> Any:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(subprocess, "Popen", forked.Popen)
            return original(*values, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(networks, "_probe", probe)
        yield


@pytest.fixture(autouse=True, scope="session")
def few_steps_measured(pytestconfig: pytest.Config) -> Iterator[None]:
    """Of what a step costs, which trainings of a few steps measure at their end."""
    with pytest.MonkeyPatch.context() as patch:
        if not pytestconfig.getoption("--light"):
            from transferlab.training import cost

            patch.setattr(cost, "MOST_STEPS", forked.MEASURED)
        yield


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
        raw = compose.plain(configs.composed(overrides))
        for key, folder in (("store", "runs"), ("cache", "cache")):
            if not any(override.startswith(f"runtime.{key}=") for override in overrides):
                raw["runtime"][key] = f"{tmp_path}/{folder}"
        return build_config(raw)

    return build


@pytest.fixture(scope="session", autouse=True)
def composed_once() -> Iterator[None]:
    """Of conf/ alone, Hydra composes the same overrides once in a session. It takes 0.1 s, of which
    YAML, parsed once a text, is a quarter."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Conf, "composed", configs.remembering(Conf.composed))
        patch.setattr(yaml, "load", configs.parsing_once(yaml.load))
        yield


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """The working directory of the user."""
    (tmp_path / "here").mkdir()
    return tmp_path / "here"


@pytest.fixture
def group_folder() -> Iterator[Path]:
    """A folder that `users.GROUP` may write, below one that every user may enter."""
    with tempfile.TemporaryDirectory() as parent:
        os.chmod(parent, 0o755)
        folder = Path(parent) / "group"
        folder.mkdir()
        os.chown(folder, 0, users.GROUP)
        folder.chmod(0o2775)
        yield folder


@pytest.fixture(scope="session")
def imagenet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The 1,000 class folders, with one small file in each."""
    root = tmp_path_factory.mktemp("imagenet")
    for number, name in enumerate(published_groups()):
        for subset in ("train", "val"):
            (root / subset / name).mkdir(parents=True)
            (root / subset / name / "0.JPEG").write_bytes(b"%d" % number)
    return root
