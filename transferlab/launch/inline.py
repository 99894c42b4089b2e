"""Trains the runs of a plan in this process, skipping what is finished.

Takes no torch until something has to be trained: a second call of a command returns at once.
"""

import logging
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from transferlab import plan, signals, store
from transferlab.config import RunConfig
from transferlab.errors import Interrupted, RunFailed, UserError
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
    runs = plan.order(wanted)
    before = {store.locate(config): store.read_result(store.locate(config)) for config in runs}
    _announce(runs, before)
    todo = [config for config in runs if before[store.locate(config)] is None]
    if todo:
        _train(todo)
    outcomes = []
    for config in runs:
        place = store.locate(config)
        result = before[place] or store.read_result(place)
        assert result is not None, "a run that was trained has a record"
        outcomes.append(Outcome(config, place, result, reused=before[place] is not None))
    return tuple(outcomes)


def _train(todo: list[RunConfig]) -> None:
    with signals.watch() as stop:
        from transferlab import run  # torch and lightning: seconds

        run.check(todo)
        for pack in plan.packs(todo):
            if stop.number is not None:
                raise Interrupted("stopped between two runs")
            with ExitStack() as owned:
                for config in pack:
                    place = store.locate(config)
                    owned.enter_context(store.owned(place, _waiter(place)))
                # Whoever had the run until now may have finished it
                left = [c for c in pack if store.read_result(store.locate(c)) is None]
                if left:
                    _train_pack(left, stop)


def _train_pack(pack: list[RunConfig], stop: signals.StopRequest) -> None:
    from transferlab import run

    try:
        run.train(pack, stop)
    except (UserError, RunFailed) as error:
        for place in map(store.locate, pack):
            if not place.result.exists():  # others of the pack may be done
                store.note_failure(place, str(error))
        raise


def _announce(runs: tuple[RunConfig, ...], known: dict[Run, dict[str, Any] | None]) -> None:
    for config in runs:
        place = store.locate(config)
        if known[place] is not None:
            log.info("%s  reused  %s", place.label, place.folder)
        elif place.checkpoint.exists():
            log.info("%s  goes on from its checkpoint  %s", place.label, place.folder)
        else:
            log.info("%s  to be trained  %s", place.label, place.folder)


def _waiter(place: Run):  # type: ignore[no-untyped-def]
    def tell(owner: str) -> None:
        log.info("%s  waiting: %s is training it", place.label, owner)

    return tell
