"""One training: runs of a pack that are at the same step, from checkpoint to checkpoint."""

import logging
import math
from collections.abc import Sequence

import pytorch_lightning as lightning

from transferlab import store
from transferlab.data.datasets.images import ImageSet
from transferlab.data.half import Half
from transferlab.data.loader import auto_workers
from transferlab.errors import Interrupted, RunFailed
from transferlab.experiment.config import total_steps
from transferlab.models import transfer
from transferlab.runtime import devices, logs, machine, processes
from transferlab.runtime.signals import StopRequest
from transferlab.training import build, checkpoints, packs
from transferlab.training import result as record
from transferlab.training import trainer as trainers
from transferlab.training.build import Subject
from transferlab.training.callbacks.pack import pack_callbacks
from transferlab.training.checkpoints import TrainingState

log = logging.getLogger(__name__)


class Session:
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
        self.config = subjects[0].run.config  # for what all have in common
        self.steps_per_epoch = len(target.train) / self.config.train.batch_size
        self.total_steps = total_steps(self.config, len(target.train))
        workers = self.config.runtime.workers
        if workers is None:
            workers = auto_workers(target.train, machine.cores())
        self.workers = workers
        self.device = "unknown: the run was complete when it was interrupted"

    def finish(self, states: Sequence[TrainingState]) -> None:
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
            processes.meet()  # what rank 0 has saved is there
            states = [packs.state_of(subject) for subject in self.subjects]
            processes.meet()  # and is taken away by no one before all have read it
            moved = not states or states[0].step > step or states[0].validated
            assert moved, "a training that goes nowhere"
        if processes.rank() == 0:
            for subject, state in zip(self.subjects, states, strict=True):
                self._record(subject, state)
        if failed:
            raise RunFailed("; ".join(failed.values()))

    def _complete(self, state: TrainingState) -> bool:
        return state.step >= self.total_steps and state.validated

    def _advance(self, states: Sequence[TrainingState]) -> dict[str, str]:
        """From the states to the next ones on disk: the end, or where training was stopped.

        Returns the runs that failed meanwhile, and why. Raises: Interrupted.
        """
        train, runtime, step = self.config.train, self.config.runtime, states[0].step
        val_every = train.val_every or math.ceil(self.steps_per_epoch)
        module = build.pack_module(self.subjects, states, total_steps=self.total_steps)
        callbacks = pack_callbacks(
            [subject.run for subject in self.subjects],
            states,
            self.stop,
            steps_per_epoch=self.steps_per_epoch,
            val_batches=math.ceil(len(self.target.val) // runtime.devices / train.val_batch_size),
        )
        # To Lightning an epoch is the way to the next validation: see data.module
        intervals = math.ceil(self.total_steps / val_every) - step // val_every
        trainer = trainers.build(self.config, [*callbacks.ordered, *self.watchers], intervals)
        device = trainer.strategy.root_device
        self.device = devices.name(device)
        if train.precision == "bfloat16" and not devices.has_bfloat16(device):
            log.warning(
                "%s computes bfloat16 slowly: train.precision=float32 is another run, but faster",
                self.device,
            )
        stream = build.pack_data(
            self.subjects,
            self.images,
            self.target,
            start_step=step,
            total_steps=self.total_steps,
            val_every=val_every,
            workers=self.workers,
        )
        due = step == self.total_steps or (step > 0 and step % val_every == 0)
        with trainers.interruptible(self.stop):
            if due and not states[0].validated:  # stopped just before this validation
                trainer.validate(module, datamodule=stream, verbose=False)
            else:
                trainer.fit(module, datamodule=stream)
        return callbacks.nan.failed

    def _record(self, subject: Subject, state: TrainingState) -> None:
        """Write the weights and then, last, `result.json`."""
        result = record.result(
            subject.run,
            state,
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


def _prefix_unchanged(subject: Subject, state: TrainingState) -> bool | None:
    """Whether the frozen stages are bit for bit as they were copied or drawn; None if none are."""
    variant = subject.run.config.variant
    if not variant.frozen:
        return None
    network, n = build.fresh(subject), variant.n
    before = {k: v.clone() for k, v in transfer.stage_weights(network, n).items()}
    network.load_state_dict(state.weights)
    unchanged = transfer.same_bits(before, transfer.stage_weights(network, n))
    if not unchanged:
        log.error("%s: the frozen stages have changed: a defect", subject.run.label)
    return unchanged


def _require_space(subjects: Sequence[Subject], states: Sequence[TrainingState]) -> None:
    """Room for a checkpoint with momentum, its successor, and the weights, for each run."""
    for subject, state in zip(subjects, states, strict=True):
        weights = sum(value.numel() * value.element_size() for value in state.weights.values())
        store.require_space(subject.run.folder, 5 * weights * len(subjects) + 1_000_000)
