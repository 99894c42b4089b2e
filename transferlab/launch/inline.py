"""Trains the runs of a plan in this process, skipping what is finished.

Imports no torch until a run has to be trained: a repeated command returns immediately.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from transferlab import store
from transferlab.errors import Interrupted, RunFailed, UserError
from transferlab.experiment import fit, plan, views
from transferlab.experiment.resolve import summarise_data
from transferlab.experiment.reuse import require_same_images
from transferlab.experiment.run import Run
from transferlab.runtime import processes, reading, signals

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class FinishedRun:
    """A run with its record; `reused`: it was finished before."""

    run: Run
    result: dict[str, Any]
    reused: bool


def carry_out(runs: Iterable[Run]) -> tuple[FinishedRun, ...]:
    """Train resolved runs and their bases, bases first; all of them, in that order.

    Waits for a run that another process trains.

    Raises: UserError, RunFailed; Interrupted when a signal came, with everything saved.
    """
    ordered = plan.order(runs)
    images = views.data_sets(run.config for run in ordered)
    for line in dict.fromkeys(map(summarise_data, images)):
        log.info("data: %s", line)
    adopt(ordered)
    before = {run.id: store.read_result(run) for run in ordered}
    for run in ordered:
        if (result := before[run.id]) is not None:
            require_same_images(run, result["skipped"], run.folder)
        _announce(run, reused=result is not None)
    todo = [run for run in ordered if before[run.id] is None]
    for run in todo:
        fit.check_network(run.config)
    if todo:
        _train_all(todo)
    return tuple(finished(run, reused=before[run.id] is not None) for run in ordered)


def adopt(runs: Iterable[Run]) -> None:
    """Bring the networks that were trained elsewhere into the store. Raises: UserError."""
    given = [run for run in runs if run.config.is_pretrained]
    for run in store.unfinished(given):
        from transferlab.training.adopt import adopt  # torch: seconds

        adopt(run)


def _train_all(runs: Sequence[Run]) -> None:
    """Train the runs, bases first. A stop that is requested when all are finished is too late."""
    try:
        with signals.watch() as stop:
            with stop.deferred():  # an import that is cut short leaves half a module
                from transferlab.training.run import check  # torch and lightning: seconds
            stop.check()
            check(runs)
            for pack in plan.packs(runs):
                stop.check()
                train(pack.runs, stop)
    except Interrupted:
        if store.unfinished(runs):
            raise


def finished(run: Run, *, reused: bool) -> FinishedRun:
    """The run, which is finished, with its record."""
    result = store.read_result(run)
    assert result is not None, "a run that was trained has a record"
    return FinishedRun(run, result, reused)


def train(runs: Sequence[Run], stop: signals.StopRequest) -> None:
    """Own the runs of a pack, waiting for other owners, and train those that are not finished.

    A failure is recorded in the folders of the runs that are not finished.

    Raises: UserError, RunFailed, Interrupted.
    """
    with stop.deferred():
        from transferlab.training.run import train_pack
    stop.check()
    with ExitStack() as owned:
        # All processes lock in the same order, so that no two packs wait for each other
        ordered, group = sorted(runs, key=lambda run: run.id), processes.group()
        for run in ordered if processes.rank() == 0 else ():
            owned.enter_context(store.owned(run, _waiter(run), group=group))
        if processes.rank() > 0 and group is not None:
            store.wait_for(ordered, group)
        # The previous owner of a run may have finished it
        left = [run for run in runs if store.read_result(run) is None]
        if not left:
            return
        try:
            train_pack(left, stop)
        except Exception as error:
            for run in left:
                # Of several processes the first to fail knows the reason
                recorded = processes.size() > 1 and reading.exists(run.failure_file)
                if not reading.exists(run.result_file) and not recorded:
                    store.note_failure(run, _message(error))
            raise


def _message(error: Exception) -> str:
    """The error's message, with its type where that is not one of ours."""
    if isinstance(error, UserError | RunFailed):
        return str(error)
    return f"{type(error).__name__}: {error}"


def _announce(run: Run, *, reused: bool) -> None:
    if reused:
        log.info("%s  reused  %s", run.label, run.folder)
    elif reading.exists(run.checkpoint_file):
        log.info("%s  resumes from its checkpoint  %s", run.label, run.folder)
    else:
        log.info("%s  to be trained  %s", run.label, run.folder)


def _waiter(run: Run) -> Callable[[str], None]:
    def report(owner: str) -> None:
        log.info("%s  waiting: %s is training it", run.label, owner)

    return report
