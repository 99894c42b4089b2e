"""A stop that is requested at any moment of a command: interrupted with 75, or done with 0."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from transferlab import store
from transferlab.__main__ import main
from transferlab.cli import run as command
from transferlab.data import mean
from transferlab.experiment.run import Run
from transferlab.runtime import signals

pytestmark = pytest.mark.usefixtures("needs_torch")
LINE = (
    "+split=random", "transfer.variant=B2B", "data.size=16", "data.crop=16", "train.epochs=null",
    "train.total_steps=2", "train.val_every=2", "runtime.threads=1",
)  # fmt: skip
TRAINING = "transferlab.training.run"


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """Those of the tests, which a process that ends would ignore."""
    before = {number: signal.getsignal(number) for number in signals.WATCHED}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def send(number: signal.Signals) -> None:
    os.kill(os.getpid(), number)


def before(function: Callable[..., Any], number: signal.Signals) -> Callable[..., Any]:
    def wrapped(*arguments: Any, **named: Any) -> Any:
        send(number)
        return function(*arguments, **named)

    return wrapped


def at_import(patch: pytest.MonkeyPatch, number: signal.Signals) -> None:
    """A module that is slow to import."""
    module = ModuleType(TRAINING)
    real = sys.modules[TRAINING]
    module.__getattr__ = lambda name: (send(number), getattr(real, name))[1]  # type: ignore[method-assign]
    patch.setitem(sys.modules, TRAINING, module)


def at_resolving(patch: pytest.MonkeyPatch, number: signal.Signals) -> None:
    patch.setattr(command, "resolve", before(command.resolve, number))


def at_the_mean(patch: pytest.MonkeyPatch, number: signal.Signals) -> None:
    patch.setattr(mean, "_keep", before(mean._keep, number))


def at_the_result(label: str) -> Callable[[pytest.MonkeyPatch, signal.Signals], None]:
    finish = store.finish

    def stop(patch: pytest.MonkeyPatch, number: signal.Signals) -> None:
        def finish_and_send(run: Run, record: dict[str, Any]) -> None:
            if run.label == label:
                send(number)
            finish(run, record)

        patch.setattr(store, "finish", finish_and_send)

    return stop


@pytest.mark.parametrize(
    ("moment", "number", "status", "finished"),
    [
        (at_import, signal.SIGTERM, 75, []),
        (at_resolving, signal.SIGHUP, 75, []),
        (at_the_mean, signal.SIGUSR1, 75, []),
        (at_the_result("baseB"), signal.SIGINT, 75, ["baseB"]),  # between two runs
        (at_the_result("B2B"), signal.SIGTERM, 0, ["B2B", "baseB"]),
    ],
    ids=["import", "resolving", "mean", "between", "result"],
)
def test_a_command_stopped_at_any_moment_says_whether_it_is_done(
    place: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    moment: Callable[[pytest.MonkeyPatch, signal.Signals], None],
    number: signal.Signals,
    status: int,
    finished: list[str],
):
    import transferlab.training.run  # noqa: F401

    monkeypatch.setenv("TRANSFERLAB_STORE", str(place / "store"))
    monkeypatch.setenv("TRANSFERLAB_CACHE", str(place / "cache"))
    with monkeypatch.context() as patch:
        moment(patch, number)

        assert signals.process(lambda: main(LINE)) == status
    errors = capsys.readouterr().err
    assert ("run the command again to resume" in errors) == (status == 75)
    assert "Traceback" not in errors
    results = (place / "store").glob("*/result.json")
    assert sorted(path.parent.name.split("-")[0] for path in results) == finished
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
    assert signals.process(lambda: main(LINE)) == 0
