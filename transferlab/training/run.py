"""A pack of runs, from configs to results: the only place where the parts meet.

A training goes from checkpoint to checkpoint: it is set up from the last one, or from fresh
networks, and what it leaves behind is again a checkpoint, from which the record is made. So a run
that was killed at any moment, and one that was not, take the same way.
"""

import logging
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack

import pytorch_lightning as lightning
import torch

from transferlab import store
from transferlab.data.loader import end_workers
from transferlab.errors import RunFailed, UserError
from transferlab.experiment.run import Run
from transferlab.runtime import devices, logs, processes
from transferlab.runtime.signals import StopRequest
from transferlab.training import build, inputs, packs, trainer
from transferlab.training.build import Subject
from transferlab.training.packs import Group
from transferlab.training.session import Session

log = logging.getLogger(__name__)


def check(runs: Iterable[Run]) -> None:
    """Build the networks of all runs without memory, before anything is trained.

    Raises: UserError for a cut point, an image size, a number of outputs or a device that does
    not fit.
    """
    for run in runs:
        with torch.device("meta"):
            build.network(run)
        trainer.build(run.config, [], intervals=1)


def train(
    runs: Sequence[Run],
    stop: StopRequest,
    watchers: Sequence[lightning.Callback] = (),
) -> None:
    """Train a pack and record it: runs with one target, data set, recipe and seed.

    Runs that do not fit into the device's memory together are trained one part after another. The
    caller owns the runs; their bases are finished. On return every run has its `result.json`.
    `watchers` are called after our own callbacks: by who measures.

    Raises: UserError, RunFailed, or Interrupted after everything was saved.
    """
    first = runs[0]
    if (threads := first.config.runtime.threads) is not None:
        torch.set_num_threads(threads)
    with ExitStack() as stack:
        stack.callback(end_workers)
        for run in runs if processes.rank() == 0 else ():
            store.create(run)
            store.clean(run)
            stack.enter_context(logs.to_file(run.log_file))
            log.info("%s  %s  %s", run.label, run.id, run.folder, extra=logs.FOR_FILES)
        stack.push(_log_error)
        subjects = build.subjects(runs)
        images = inputs.load_images(first.config)
        target = inputs.half(first, images, first.config.variant.target)
        failures: list[str] = []
        todo = deque(part for group in packs.by_step(subjects) for part in packs.fitting(group))
        while todo:
            smaller, failed = _finish(
                todo.popleft(), lambda members: Session(members, images, target, stop, watchers)
            )
            todo.extendleft(reversed(smaller))
            failures += failed  # the others go on; this is told at the end
        if failures:
            raise RunFailed("; ".join(failures))


def _finish(
    part: Group, training: Callable[[Sequence[Subject]], "Session"]
) -> tuple[list[Group], list[str]]:
    """Train a part of a pack: in which smaller ones to go on if memory is full, and what failed.

    Raises: RunFailed, which is of all its runs, if another process that trains them has ended, or
    the memory of one of several is full: the others cannot be told to go on in smaller parts.
    """
    members, states = zip(*part, strict=True)
    try:
        training(members).finish(states)
        return [], []
    except (RuntimeError, MemoryError) as error:
        if devices.is_out_of_memory(error):
            full = str(error)  # and no more of it, which holds on to what is in memory
        elif isinstance(error, RunFailed):
            return [], [str(error)]
        elif processes.lost(error):
            raise trainer.reason(error) from error
        else:
            raise
    if len(members) == 1:
        return [], [packs.too_large(members[0], full)]
    if processes.size() > 1:
        raise RunFailed(packs.too_many(members, full))
    return packs.halves(members), []


def _log_error(kind: type | None, error: BaseException | None, trace: object) -> None:
    """Put into the log files why a training ended: one line, with the trace if it is a defect."""
    if isinstance(error, UserError | RunFailed | KeyboardInterrupt):
        log.error("%s", error, extra=logs.ONLY_FILES)
    elif error is not None:
        log.error("ended by a defect", exc_info=error, extra=logs.ONLY_FILES)
