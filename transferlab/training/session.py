"""One training session: runs of a pack at the same step, from checkpoint to checkpoint."""

import logging
import math
from collections.abc import Mapping, Sequence
from functools import cached_property, partial

import torch
from pytorch_lightning import Callback

from transferlab import store
from transferlab.data.datasets.images import ImageSet
from transferlab.data.half import Half
from transferlab.data.loader import auto_workers
from transferlab.data.mean import Mean
from transferlab.errors import Interrupted, RunFailed
from transferlab.experiment import metrics, views
from transferlab.experiment.config import cache_folder, total_steps
from transferlab.experiment.cost.estimate import MEAN_BYTES, RECORD_BYTES
from transferlab.experiment.cost.memory import GB
from transferlab.experiment.cost.networks import network_of
from transferlab.models import kinds, transfer
from transferlab.models.facts import Facts
from transferlab.runtime import compiled, devices, logs, machine, processes
from transferlab.runtime.signals import StopRequest
from transferlab.training import build, checkpoints, cost, inference, packs
from transferlab.training.build import Subject
from transferlab.training.callbacks.pack import pack_callbacks
from transferlab.training.checkpoints import TrainingState
from transferlab.training.features import Features, Limit
from transferlab.training.inputs import mean_letter
from transferlab.training.result import make_record
from transferlab.training.trainer import build_trainer, interruptible

log = logging.getLogger(__name__)


class Session:
    """Trains runs of a pack that are at the same step, and records them.

    `watchers` are callbacks that are called after our own.
    """

    def __init__(
        self,
        subjects: Sequence[Subject],
        images: ImageSet,
        target: Half,
        stop: StopRequest,
        watchers: Sequence[Callback],
    ) -> None:
        self.subjects, self.images, self.target, self.stop = subjects, images, target, stop
        self.watchers = watchers
        self.config = subjects[0].run.config  # the settings that all of them share
        self.steps_per_epoch = len(target.train) / self.config.train.batch_size
        self.total_steps = total_steps(self.config, len(target.train))
        workers = self.config.runtime.workers
        if workers is None:
            resized = views.inputs(self.config).scales is not None
            workers = auto_workers(target.train, machine.cores(), resized=resized)
        self.workers = workers
        self.device = "unknown: training was complete when the run was interrupted"

    @cached_property
    def means(self) -> Mapping[str, Mean]:
        """The mean images that the networks subtract, by `inputs.mean_letter`."""
        return build.means(self.subjects, self.images, workers=self.workers)

    def finish(self, states: Sequence[TrainingState]) -> None:
        """Train from the states to the end and write the records.

        Raises: RunFailed if a run diverged, after the others have been recorded; Interrupted.
        """
        failed: dict[str, str] = {}
        _require_space(self.subjects, states)
        while self.subjects and not self._complete(states[0]):
            step = states[0].step
            if self.stop.number is not None:
                raise Interrupted("stopped while training")
            failed |= self._advance(states)
            self.subjects = [s for s in self.subjects if s.run.label not in failed]
            processes.meet()  # rank 0 has saved
            states = [packs.state_of(subject) for subject in self.subjects]
            processes.meet()  # all have read the checkpoint, and it may be removed
            moved = not states or states[0].step > step or states[0].validated
            assert moved, "a session made no progress"
        if processes.rank() == 0:
            with self.stop.deferred():  # what is done is recorded before it stops
                for subject, state in zip(self.subjects, states, strict=True):
                    self._record(subject, state)
        if failed:
            raise RunFailed("; ".join(failed.values()))

    def _complete(self, state: TrainingState) -> bool:
        return state.step >= self.total_steps and state.validated

    def _advance(self, states: Sequence[TrainingState]) -> dict[str, str]:
        """Train from the states until the end, or until training is stopped.

        Returns label -> reason of the runs that diverged. Raises: Interrupted.
        """
        train, runtime, step = self.config.train, self.config.runtime, states[0].step
        val_every = train.val_every or math.ceil(self.steps_per_epoch)
        module = build.pack_module(
            self.subjects, states, total_steps=self.total_steps, features=self._features()
        )
        if runtime.devices > 1 and step == 0 and any(map(kinds.has_statistics, module.networks)):
            log.warning(
                "batch norm that learns has the statistics of each of the %d devices' own images: "
                "with one device the numbers are others",
                runtime.devices,
            )
        callbacks = pack_callbacks(
            [subject.run for subject in self.subjects],
            states,
            self.stop,
            skipped={
                name: sha for mean in self.means.values() for name, sha in mean.skipped.items()
            },
            steps_per_epoch=self.steps_per_epoch,
            val_batches=math.ceil(len(self.target.val) // runtime.devices / train.val_batch_size),
        )
        # To Lightning an epoch is an interval between validations: see `PackData`
        intervals = math.ceil(self.total_steps / val_every) - step // val_every
        trainer = build_trainer(self.config, [*callbacks.ordered, *self.watchers], intervals)
        device = trainer.strategy.root_device
        self.device = devices.name(device)
        if device.type == compiled.DEVICE and runtime.compile:
            compiled.keep_in(cache_folder(self.config))
        if train.precision == "bfloat16" and not devices.has_bfloat16(device):
            log.info("%s has no instructions for bfloat16: no faster than float32", self.device)
        stream = build.pack_data(
            self.subjects,
            self.target,
            self.means,
            start_step=step,
            total_steps=self.total_steps,
            val_every=val_every,
            workers=self.workers,
            check=callbacks.stop.while_waiting,
        )
        validation_due = step == self.total_steps or (step > 0 and step % val_every == 0)
        with interruptible(self.stop), stream:
            if validation_due and not states[0].validated:  # stopped before or in it
                trainer.validate(module, datamodule=stream, verbose=False)
            else:
                trainer.fit(module, datamodule=stream)
        return callbacks.nan.failed

    def _features(self) -> Mapping[str, Features]:
        """What keeps the features of frozen stages: by default in half of the memory that is free
        here, and as long as the other half stays free."""
        seen = views.inputs(self.config)
        runs = [subject.run for subject in self.subjects]
        if not any(run.config.variant.frozen for run in runs):
            return {}
        gigabytes = self.config.runtime.features_gb
        if gigabytes is None:
            alike = self.config.runtime.devices > 1
            space = packs.room(runs, self.root_device, alike=alike)
            free = space.limit(runs[0])
            half = 0 if free is None else max(0, free - space.need(runs)) // 2
            limit = Limit(half, partial(_free_beyond, half, self.root_device, alike=alike))
        else:
            limit = Limit(int(gigabytes * GB))
        return build.features(
            self.target, limit, mirror=self.config.train.mirror, one_view=seen.one_view
        )

    @cached_property
    def root_device(self) -> torch.device:
        """The device of this process."""
        return build_trainer(self.config, [], intervals=1).strategy.root_device

    @cached_property
    def facts(self) -> Facts:
        """The stages of all networks."""
        return packs.facts(subject.run for subject in self.subjects)

    def _record(self, subject: Subject, state: TrainingState) -> None:
        """Write the weights, what their use needs and then, last, `result.json`."""
        run = subject.run
        record = make_record(
            run,
            state,
            prefix_unchanged=_prefix_unchanged(subject, state),
            weights_sha256=checkpoints.save_weights(run, state.weights),
            inference_sha256=inference.save(
                run, self.target.classes, self.means[mean_letter(run.config)].image
            ),
            train_images=len(self.target.train),
            val_labels=self.target.val.labels,
            data_classes=len(self.images.classes),
            data_images=len(self.images.train.labels),
            pack_size=len(self.subjects),
            device=self.device,
            cost=cost.cost(
                subject,
                self.facts[network_of(run)],
                self.target.train.labels,
                self.root_device,
            ),
        )
        store.finish(run, record)
        log.info(
            "%s  done  %s  %s",
            run.label,
            metrics.shown(record["metrics"]),
            run.folder,
            extra=logs.FOR_FILES,
        )


def _free_beyond(kept: int, device: torch.device, *, alike: bool) -> int:
    """The memory that is free on the device now, less `kept`, in bytes; a function, not a closure,
    since the processes that share a batch get it pickled."""
    return (devices.free_memory_bytes(device, alike=alike) or 0) - kept


def _prefix_unchanged(subject: Subject, state: TrainingState) -> bool | None:
    """Whether the frozen stages are bit-identical to the start; None if nothing is frozen."""
    variant = subject.run.config.variant
    if not variant.frozen:
        return None
    network, n = build.fresh(subject), variant.n
    before = {k: v.clone() for k, v in transfer.stage_weights(network, n).items()}
    network.load_state_dict(state.weights)
    unchanged = transfer.same_bits(before, transfer.stage_weights(network, n))
    if not unchanged:
        log.error("%s: frozen stages have changed, which is a bug", subject.run.label)
    return unchanged


def _require_space(subjects: Sequence[Subject], states: Sequence[TrainingState]) -> None:
    """Raises: UserError unless the disk has room for two checkpoints and the files of each run.

    A checkpoint has weights and momentum; the old one is replaced after the new one is written.
    """
    for subject, state in zip(subjects, states, strict=True):
        weights = sum(value.numel() * value.element_size() for value in state.weights.values())
        others = MEAN_BYTES * views.inputs(subject.run.config).size ** 2 + RECORD_BYTES
        store.require_space(subject.run.folder, (5 * weights + others) * len(subjects))
