"""Trains a pack of runs and records the results.

Training goes from checkpoint to checkpoint: a session starts from the last one, or from fresh
networks, and ends with one, from which the record is made. So a resumed run takes the same path as
an uninterrupted one.
"""

import logging
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack

import torch
from pytorch_lightning import Callback

from transferlab import store
from transferlab.errors import RunFailed, UserError
from transferlab.experiment import views
from transferlab.experiment.resolve import summarise_data
from transferlab.experiment.run import Run
from transferlab.runtime import devices, logs, processes
from transferlab.runtime.signals import StopRequest
from transferlab.training import build, inputs, packs
from transferlab.training.build import Subject
from transferlab.training.packs import Group
from transferlab.training.session import Session
from transferlab.training.trainer import reason

log = logging.getLogger(__name__)


def check(runs: Iterable[Run]) -> None:
    """Build the networks of all runs without memory, before anything is trained.

    Raises: UserError for a cut point, an image size, a number of outputs, a device or a batch that
    does not fit.
    """
    for run in runs:
        packs.require_memory(run)


def train_pack(
    runs: Sequence[Run],
    stop: StopRequest,
    watchers: Sequence[Callback] = (),
) -> None:
    """Train a pack and record it: runs with one target, data set, recipe and seed.

    Runs that do not fit into the device's memory together are trained one part after another. The
    caller owns the runs; their bases are finished. On return every run has its `result.json`.
    `watchers` are callbacks, called after our own, that measure.

    Raises: UserError, RunFailed, or Interrupted after everything was saved.
    """
    first = runs[0]
    if (threads := first.config.runtime.threads) is not None:
        torch.set_num_threads(threads)
    with ExitStack() as stack:
        for run in runs if processes.rank() == 0 else ():
            store.create(run)
            store.clean(run)
            stack.enter_context(logs.to_file(run.log_file))
            summary = summarise_data(views.inputs(run.config))
            log.info("%s  %s  data: %s", run.label, run.folder, summary, extra=logs.FOR_FILES)
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
            failures += failed  # the other parts are trained first
        if failures:
            raise RunFailed("; ".join(failures))


def _finish(
    part: Group, training: Callable[[Sequence[Subject]], "Session"]
) -> tuple[list[Group], list[str]]:
    """Train a part of a pack.

    Returns the smaller parts in which it has to be continued if memory is full, and the messages
    of runs that failed.

    Raises: RunFailed for all its runs, if they are trained by several processes and one of these
        died or is out of memory: the others could not agree on smaller parts.
    """
    members, states = zip(*part, strict=True)
    try:
        training(members).finish(states)
        return [], []
    except RunFailed as error:
        return [], [str(error)]
    except (RuntimeError, MemoryError) as error:
        if devices.is_out_of_memory(error):
            message = str(error)  # the error itself keeps the networks in memory
        elif processes.lost(error):
            raise reason(error) from error
        else:
            raise
    if len(members) == 1:
        return [], [packs.too_large(members[0], message)]
    if processes.size() > 1:
        raise RunFailed(packs.too_many(members, message))
    return packs.halves(members), []


def _log_error(kind: type | None, error: BaseException | None, trace: object) -> None:
    """Log to the files why training ended: one line, and the trace if it is a bug."""
    if isinstance(error, UserError | RunFailed | KeyboardInterrupt):
        log.error("%s", error, extra=logs.ONLY_FILES)
    elif error is not None:
        log.error("training ended by a bug", exc_info=error, extra=logs.ONLY_FILES)
