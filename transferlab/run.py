"""A pack of runs, from configs to results: the only place where the parts meet.

A training goes from checkpoint to checkpoint: it is set up from the last one, or from fresh
networks, and what it leaves behind is again a checkpoint, from which the record is made. So a run
that was killed at any moment, and one that was not, take the same way.
"""

import logging
import math
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack

import pytorch_lightning as lightning
import torch

from transferlab import (
    assembly,
    checkpoints,
    device,
    groups,
    logs,
    machine,
    ranks,
    record,
    store,
    transfer,
)  # fmt: skip
from transferlab import trainer as trainers
from transferlab.assembly import Subject
from transferlab.callbacks import Keeper, Task
from transferlab.checkpoints import State
from transferlab.config import RunConfig, total_steps
from transferlab.data.half import Half
from transferlab.data.images import ImageSet
from transferlab.data.loader import auto_workers, end_workers
from transferlab.data.module import PackData
from transferlab.data.views import Views
from transferlab.errors import Interrupted, RunFailed, UserError
from transferlab.groups import Group
from transferlab.module import PackModule
from transferlab.progress import Bars
from transferlab.signals import StopRequest

log = logging.getLogger(__name__)


def check(configs: Iterable[RunConfig]) -> None:
    """Build the networks of all configs without memory, before anything is trained.

    Raises: UserError for a cut point, an image size, a number of outputs or a device that does
    not fit.
    """
    for config in configs:
        with torch.device("meta"):
            assembly.network(config)
        trainers.build(config, [], intervals=1)


def train(
    configs: Sequence[RunConfig],
    stop: StopRequest,
    watchers: Sequence[lightning.Callback] = (),
) -> None:
    """Train a pack and record it: runs with one target, data set, recipe and seed.

    Runs that do not fit into the device's memory together are trained one part after another. The
    caller owns the runs; their bases are finished. On return every run has its `result.json`.
    `watchers` are called after our own callbacks: by who measures.

    Raises: UserError, RunFailed, or Interrupted after everything was saved.
    """
    first = configs[0]
    if first.runtime.threads is not None:
        torch.set_num_threads(first.runtime.threads)
    with ExitStack() as stack:
        stack.callback(end_workers)
        for config in configs if ranks.rank() == 0 else ():
            run = store.locate(config)
            store.create(run, config)
            store.clean(run)
            stack.enter_context(logs.to_file(run.log))
            log.info("%s  %s  %s", run.label, run.id, run.folder, extra=logs.FOR_FILES)
        stack.push(_log_error)
        subjects = assembly.subjects(configs)
        images = assembly.load_images(first)
        target = assembly.half(first, images, first.variant.target)
        failures: list[str] = []
        todo = deque(part for group in groups.by_step(subjects) for part in groups.fitting(group))
        while todo:
            smaller, failed = _finish(
                todo.popleft(), lambda members: _Training(members, images, target, stop, watchers)
            )
            todo.extendleft(reversed(smaller))
            failures += failed  # the others go on; this is told at the end
        if failures:
            raise RunFailed("; ".join(failures))


def _finish(
    part: Group, training: Callable[[Sequence[Subject]], "_Training"]
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
        if device.is_full(error):
            full = str(error)  # and no more of it, which holds on to what is in memory
        elif isinstance(error, RunFailed):
            return [], [str(error)]
        elif ranks.lost(error):
            raise trainers.reason(error) from error
        else:
            raise
    if len(members) == 1:
        return [], [groups.too_large(members[0], full)]
    if ranks.size() > 1:
        raise RunFailed(groups.too_many(members, full))
    return groups.halves(members), []


def pack_module(
    subjects: Sequence[Subject],
    states: Sequence[State],
    images: ImageSet,
    *,
    total_steps: int,
    workers: int,
) -> PackModule:
    """The networks of a pack as the states say, ready for a Trainer.

    `workers` processes read the images for a mean image that is not cached.
    """
    config, members = subjects[0].config, []
    train = config.train
    for subject, state in zip(subjects, states, strict=True):
        network = assembly.fresh(subject)
        network.load_state_dict(state.weights)
        if train.channels_last:
            network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        members.append(assembly.member(subject, network))
    views = Views(
        {
            letter: assembly.mean_image(config, images, letter, workers=workers)
            for letter in sorted({member.view for member in members})
        },
        scale=config.data.scale,
        mirror=train.mirror,
        channels_last=train.channels_last,
    )
    module = PackModule(
        members,
        views=views,
        schedule=assembly.schedule(config, total_steps),
        optimizer=assembly.make_optimizer(config),
        rate_in_velocity=train.rate_in_velocity,
        step=states[0].step,
        velocities=[state.velocity for state in states],
    )
    module.train_sums.copy_(torch.tensor([s.sums for s in states], dtype=torch.float64).T)
    return module


class _Training:
    """Runs of a pack that are at the same step."""

    def __init__(
        self,
        subjects: Sequence[Subject],
        images: ImageSet,
        target: Half,
        stop: StopRequest,
        watchers: Sequence[lightning.Callback],
    ) -> None:
        self.subjects, self.images, self.target, self.stop = subjects, images, target, stop
        self.watchers = watchers
        self.config = subjects[0].config  # for what all have in common
        self.steps_per_epoch = len(target.train) / self.config.train.batch_size
        self.total_steps = total_steps(self.config, len(target.train))
        workers = self.config.runtime.workers
        if workers is None:
            workers = auto_workers(target.train, machine.cores())
        self.workers = workers
        self.device = "unknown: the run was complete when it was interrupted"

    def finish(self, states: Sequence[State]) -> None:
        """Train whatever is missing from the states on and write the records.

        Raises: RunFailed if a member's loss was not finite; the others are recorded first.
        """
        failed: dict[str, str] = {}
        _require_space(self.subjects, states)
        while self.subjects and not self._complete(states[0]):
            step = states[0].step
            if self.stop.number is not None:
                raise Interrupted("stopped while training")
            failed |= self._advance(states)
            self.subjects = [s for s in self.subjects if s.run.label not in failed]
            ranks.meet()  # what rank 0 has saved is there
            states = [groups.state_of(subject) for subject in self.subjects]
            ranks.meet()  # and is taken away by no one before all have read it
            moved = not states or states[0].step > step or states[0].validated
            assert moved, "a training that goes nowhere"
        if ranks.rank() == 0:
            for subject, state in zip(self.subjects, states, strict=True):
                self._record(subject, state)
        if failed:
            raise RunFailed("; ".join(failed.values()))

    def _complete(self, state: State) -> bool:
        return state.step >= self.total_steps and state.validated

    def _advance(self, states: Sequence[State]) -> dict[str, str]:
        """From the states to the next ones on disk: the end, or where training was stopped.

        Returns the runs that failed meanwhile, and why. Raises: Interrupted.
        """
        train, runtime, step = self.config.train, self.config.runtime, states[0].step
        val_every = train.val_every or math.ceil(self.steps_per_epoch)
        module = pack_module(
            self.subjects, states, self.images, total_steps=self.total_steps, workers=self.workers
        )
        runs = [subject.run for subject in self.subjects]
        task = Task(
            total_steps=self.total_steps,
            steps_per_epoch=self.steps_per_epoch,
            batch_size=train.batch_size,
            val_batches=math.ceil(len(self.target.val) // runtime.devices / train.val_batch_size),
            checkpoint_every_s=runtime.checkpoint_every_s,
            checkpoint_least_s=runtime.checkpoint_least_s,
        )
        keeper = Keeper([s.config for s in self.subjects], runs, states, task, self.stop)
        # To Lightning an epoch is the way to the next validation: see data.module
        intervals = math.ceil(self.total_steps / val_every) - step // val_every
        trainer = trainers.build(self.config, [keeper, Bars(keeper), *self.watchers], intervals)
        device = trainer.strategy.root_device
        self.device = record.device(device)
        if train.precision == "bfloat16" and not trainers.has_bfloat16(device):
            log.warning(
                "%s computes bfloat16 slowly: train.precision=float32 is another run, but faster",
                self.device,
            )
        stream = PackData(
            self.target,
            seed=self.config.seed,
            start_step=step,
            total_steps=self.total_steps,
            val_every=val_every,
            batch_size=train.batch_size,
            val_batch_size=train.val_batch_size,
            reshuffle=train.reshuffle,
            crop=self.config.data.crop,
            mirror=train.mirror,
            workers=self.workers,
        )
        due = step == self.total_steps or (step > 0 and step % val_every == 0)
        with trainers.interruptible(self.stop):
            if due and not states[0].validated:  # stopped just before this validation
                trainer.validate(module, datamodule=stream, verbose=False)
            else:
                trainer.fit(module, datamodule=stream)
        return keeper.failed

    def _record(self, subject: Subject, state: State) -> None:
        """Write the weights and then, last, `result.json`."""
        result = record.result(
            subject.config,
            state,
            base_id=None if subject.base is None else subject.base.id,
            prefix_unchanged=_prefix_unchanged(subject, state),
            weights_sha256=checkpoints.save_weights(subject.run, state.weights),
            train_images=len(self.target.train),
            val_images=len(self.target.val),
            pack_size=len(self.subjects),
            device=self.device,
        )
        store.finish(subject.run, result)
        log.info(
            "%s  done  top-1 %.4f  %s",
            subject.run.label,
            result["metrics"]["top1_final"],
            subject.run.folder,
            extra=logs.FOR_FILES,
        )


def _log_error(kind: type | None, error: BaseException | None, trace: object) -> None:
    """Put into the log files why a training ended: one line, with the trace if it is a defect."""
    if isinstance(error, UserError | RunFailed | KeyboardInterrupt):
        log.error("%s", error, extra=logs.ONLY_FILES)
    elif error is not None:
        log.error("ended by a defect", exc_info=error, extra=logs.ONLY_FILES)


def _prefix_unchanged(subject: Subject, state: State) -> bool | None:
    """Whether the frozen stages are bit for bit as they were copied or drawn; None if none are."""
    if not subject.config.variant.frozen:
        return None
    network, n = assembly.fresh(subject), subject.config.variant.n
    before = {k: v.clone() for k, v in transfer.stage_weights(network, n).items()}
    network.load_state_dict(state.weights)
    unchanged = transfer.same_bits(before, transfer.stage_weights(network, n))
    if not unchanged:
        log.error("%s: the frozen stages have changed: a defect", subject.run.label)
    return unchanged


def _require_space(subjects: Sequence[Subject], states: Sequence[State]) -> None:
    """Room for a checkpoint with momentum, its successor, and the weights, for each run."""
    for subject, state in zip(subjects, states, strict=True):
        weights = sum(value.numel() * value.element_size() for value in state.weights.values())
        store.require_space(subject.run.folder, 5 * weights * len(subjects) + 1_000_000)
