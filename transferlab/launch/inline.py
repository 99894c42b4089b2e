"""Trains the runs of a plan in this process, skipping what is finished.

Takes no torch until something has to be trained: a second call of a command returns at once.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from transferlab import store
from transferlab.errors import Interrupted, RunFailed, UserError
from transferlab.experiment import plan
from transferlab.experiment.config import RunConfig
from transferlab.runtime import processes, signals
from transferlab.store import Run

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outcome:
    """A finished run of a plan, and whether it was finished before."""

    config: RunConfig
    run: Run
    result: dict[str, Any]
    reused: bool


def carry_out(wanted: Iterable[RunConfig]) -> tuple[Outcome, ...]:
    """Train the wanted runs and their bases, bases first; all outcomes in that order.

    A run that another process trains is waited for. Resolved configs only.

    Raises: UserError, RunFailed; Interrupted when a signal came, with everything saved.
    """
    nodes = plan.order(wanted)
    places = {node.id: store.locate(node.config, node.id) for node in nodes}
    before = {node.id: store.read_result(places[node.id]) for node in nodes}
    for node in nodes:
        _announce(places[node.id], reused=before[node.id] is not None)
    todo = [node for node in nodes if before[node.id] is None]
    if todo:
        with signals.watch() as stop:
            from transferlab.training import run as run_module  # torch and lightning: seconds

            run_module.check([node.config for node in todo])
            for pack in plan.packs(todo):
                if stop.number is not None:
                    raise Interrupted("stopped between two runs")
                train([node.config for node in pack.nodes], stop)
    return tuple(
        outcome(node.config, places[node.id], reused=before[node.id] is not None) for node in nodes
    )


def outcome(config: RunConfig, place: Run, *, reused: bool) -> Outcome:
    """The outcome of a run that is finished."""
    result = store.read_result(place)
    assert result is not None, "a run that was trained has a record"
    return Outcome(config, place, result, reused)


def train(pack: Sequence[RunConfig], stop: signals.StopRequest) -> None:
    """Own the runs of a pack, waiting for whoever owns them, and train what is not finished.

    What went wrong is noted in the folders of the runs that are not finished.

    Raises: UserError, RunFailed, Interrupted.
    """
    from transferlab.training import run as run_module

    places = {config: store.locate(config) for config in pack}
    with ExitStack() as owned:
        # In one order for everybody, so that no two packs wait for one another
        ordered, group = sorted(places.values(), key=lambda place: place.id), processes.group()
        for place in ordered if processes.rank() == 0 else ():
            owned.enter_context(store.owned(place, _waiter(place), group=group))
        if processes.rank() > 0 and group is not None:
            store.wait_for(ordered, group)
        # Whoever had a run until now may have finished it
        left = [config for config in pack if store.read_result(places[config]) is None]
        if not left:
            return
        try:
            run_module.train(left, stop)
        except Exception as error:
            for place in (places[config] for config in left):
                # Of several processes the first to fail knows why; the others miss it
                told = processes.size() > 1 and place.failure.exists()
                if not place.result.exists() and not told:
                    store.note_failure(place, _in_words(error))
            raise


def _in_words(error: Exception) -> str:
    """The error's message, with its kind where it is none of ours."""
    if isinstance(error, UserError | RunFailed):
        return str(error)
    return f"{type(error).__name__}: {error}"


def _announce(place: Run, *, reused: bool) -> None:
    if reused:
        log.info("%s  reused  %s", place.label, place.folder)
    elif place.checkpoint.exists():
        log.info("%s  goes on from its checkpoint  %s", place.label, place.folder)
    else:
        log.info("%s  to be trained  %s", place.label, place.folder)


def _waiter(place: Run) -> Callable[[str], None]:
    def tell(owner: str) -> None:
        log.info("%s  waiting: %s is training it", place.label, owner)

    return tell
