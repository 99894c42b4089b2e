"""Common fixtures of `launch`: workers that train nothing."""

import json
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from transferlab.launch import job, local, queue, supervisor
from transferlab.runtime import signals

Deeds = Callable[..., None]


@pytest.fixture
def workers(monkeypatch: pytest.MonkeyPatch, forked_processes: None) -> Deeds:
    """Workers are those of `fake_worker`; to be called with what they do, by label."""
    monkeypatch.setattr(supervisor, "MODULE", "support.fake_worker")
    monkeypatch.setattr(local, "PRELOADED", ())
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))
    for module in (job, local):
        monkeypatch.setattr(module, "POLL_S", 0.01)

    def do(**deeds: str) -> None:
        monkeypatch.setenv("FAKE_WORKER", json.dumps({"": "", **deeds}))

    do()
    return do


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A job whose submission was not answered is looked for in a moment, not in a minute."""
    monkeypatch.setattr(queue, "ASK_S", 0.05)
    monkeypatch.setattr(queue, "PAUSE_S", 0.01)


@pytest.fixture
def own_signals() -> Iterator[None]:
    """Restores the signal handlers that a test has installed, and the signals it holds back."""
    old = {number: signal.getsignal(number) for number in signals.WATCHED}
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    yield
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    for number, handler in old.items():
        signal.signal(number, handler)
