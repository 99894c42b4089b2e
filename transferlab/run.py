"""A pack of runs, from configs to results: the only place where the parts meet.

A training goes from checkpoint to checkpoint: it is set up from the last one, or from fresh
networks, and what it leaves behind is again a checkpoint, from which the record is made. So a run
that was killed at any moment, and one that was not, take the same way.
"""

import hashlib
import logging
import math
import os
import warnings
from collections.abc import Iterable, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pytorch_lightning as lightning
import torch
from pytorch_lightning.strategies import DDPStrategy
from torch import Tensor

from transferlab import (
    checkpoints, data, logs, models, optimiser, plan, record, store, transfer, variants
)  # fmt: skip
from transferlab.callbacks import Keeper, Stopped, Task
from transferlab.checkpoints import State
from transferlab.config import RunConfig
from transferlab.data import half as halves
from transferlab.data import mean as means
from transferlab.data.half import Half
from transferlab.data.images import ImageSet
from transferlab.data.loader import auto_workers
from transferlab.data.module import PackData
from transferlab.data.views import Views
from transferlab.errors import Interrupted, RunFailed
from transferlab.models.stages import StagedNetwork
from transferlab.module import Member, PackModule
from transferlab.progress import Bars
from transferlab.resolve import split_of
from transferlab.signals import StopRequest
from transferlab.store import Run

log = logging.getLogger(__name__)
NO_MEAN = "none"


@dataclass(frozen=True)
class Subject:
    """One run of a pack: its config, its place, and the base it starts from."""

    config: RunConfig
    run: Run
    base: Run | None
    base_weights: dict[str, Tensor] | None


def check(configs: Iterable[RunConfig]) -> None:
    """Build the networks of all configs without memory, before anything is trained.

    Raises: UserError for a cut point, an image size or a number of outputs that does not fit.
    """
    for config in configs:
        split = split_of(config)
        with torch.device("meta"):
            network = _network(config, len(split.half(config.variant.target)))
        transfer.check_cut(
            len(network), config.variant.n, keep=config.transfer.keep, model=config.model.name
        )


def train(configs: Sequence[RunConfig], stop: StopRequest) -> None:
    """Train a pack and record it: runs with one target, data set, recipe and seed.

    The caller owns the runs; their bases are finished. On return every run has its `result.json`.

    Raises: UserError, RunFailed, or Interrupted after everything was saved.
    """
    first = configs[0]
    if first.runtime.threads is not None:
        torch.set_num_threads(first.runtime.threads)
    with ExitStack() as stack:
        subjects = []
        for config in configs:
            run = store.locate(config)
            store.create(run, config)
            store.clean(run)
            stack.enter_context(logs.to_file(run.log))
            subjects.append(_subject(config, run))
        for subject in subjects:
            log.info("%s  %s  %s", subject.run.label, subject.run.id, subject.run.folder)
        images = data.load(
            first.data.name,
            root=first.data.root,
            val=first.data.val,
            holdout=first.data.holdout,
            size=first.data.size,
            resize=first.data.resize,
            cache=cache_folder(first),
        )
        target = _half(first, images, first.variant.target)
        failed = None
        for group in _by_step(subjects):
            try:
                _Training(group, images, target, stop).finish()
            except RunFailed as error:
                failed = failed or error
        if failed is not None:
            raise failed


def cache_folder(config: RunConfig) -> Path:
    """Where mean images and downloads are kept."""
    return Path(config.runtime.cache).expanduser()


class _Training:
    """Runs of a pack that are at the same step."""

    def __init__(
        self, subjects: Sequence[Subject], images: ImageSet, target: Half, stop: StopRequest
    ) -> None:
        self.subjects, self.images, self.target, self.stop = subjects, images, target, stop
        self.config = subjects[0].config  # of what all have in common
        train = self.config.train
        self.steps_per_epoch = len(target.train) / train.batch_size
        self.total_steps = train.total_steps or math.ceil(train.epochs * self.steps_per_epoch)  # type: ignore[operator]
        self.workers = self.config.runtime.workers
        if self.workers is None:
            self.workers = auto_workers(target.train, len(os.sched_getaffinity(0)))
        self.device = "none: nothing was left to train"

    def finish(self) -> None:
        """Train whatever is missing and write the records."""
        states = self._states()
        self._require_space(states[0])
        while (step := states[0].step) < self.total_steps or not states[0].validated:
            self._advance(states)
            states = self._states()
            assert states[0].step > step or states[0].validated, "a training that goes nowhere"
        for subject, state in zip(self.subjects, states, strict=True):
            self._record(subject, state)

    def _advance(self, states: Sequence[State]) -> None:
        """From the states to the next ones on disk: the end, or where training was stopped."""
        train, runtime = self.config.train, self.config.runtime
        module, step = self._module(states), states[0].step
        val_every = train.val_every or math.ceil(self.steps_per_epoch)
        task = Task(
            total_steps=self.total_steps,
            steps_per_epoch=self.steps_per_epoch,
            batch_size=train.batch_size,
            checkpoint_every_s=runtime.checkpoint_every_s,
            checkpoint_least_s=runtime.checkpoint_least_s,
        )
        runs = [subject.run for subject in self.subjects]
        keeper = Keeper([s.config for s in self.subjects], runs, states, task, self.stop)
        bars = Bars(runs, total_steps=self.total_steps, batch_size=train.batch_size)
        intervals = math.ceil(self.total_steps / val_every) - step // val_every
        trainer = _trainer(self.config, [keeper, bars], intervals)
        self.device = record.device(trainer.strategy.root_device)
        stream = PackData(
            self.target,
            seed=self.config.seed,
            start_step=step,
            total_steps=self.total_steps,
            val_every=val_every,
            batch_size=train.batch_size,
            val_batch_size=train.val_batch_size,
            reshuffle=train.reshuffle,
            slack=self._slack(),
            mirror=train.mirror,
            workers=self.workers or 0,
            pin_memory=trainer.strategy.root_device.type == "cuda",
        )
        with self._interruptible():
            due = step == self.total_steps or (step > 0 and step % val_every == 0)
            if due and not states[0].validated:  # stopped just before this validation
                trainer.validate(module, datamodule=stream, verbose=False)
            else:
                trainer.fit(module, datamodule=stream)

    @contextmanager
    def _interruptible(self):  # type: ignore[no-untyped-def]
        """Turns every way in which a requested stop comes out of Lightning into one."""
        try:
            with self.stop.deferred(), warnings.catch_warnings():
                warnings.filterwarnings("ignore", category=UserWarning, module="pytorch_lightning")
                warnings.filterwarnings("ignore", message=".*LeafSpec.*")  # Lightning on torch 2.15
                yield
        except (Stopped, SystemExit, torch.multiprocessing.ProcessExitedException) as error:
            if self.stop.number is None:
                raise RunFailed(f"training ended early: {error!r}") from error
            raise Interrupted("stopped while training") from error
        except torch.multiprocessing.ProcessRaisedException as error:
            if self.stop.number is None:
                raise RunFailed(str(error).strip().splitlines()[-1]) from error
            raise Interrupted("stopped while training") from error

    def _module(self, states: Sequence[State]) -> PackModule:
        """The pack's networks as the states say."""
        train, members = self.config.train, []
        for subject, state in zip(self.subjects, states, strict=True):
            network = self._fresh(subject)
            network.load_state_dict(state.weights)
            if train.channels_last:
                network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
            members.append(_member(subject, network))
        letters = {member.view for member in members}
        views = Views(
            {letter: self._mean(letter) for letter in sorted(letters)},
            crop=self.config.data.crop,
            scale=self.config.data.scale,
            random=train.mirror or self._slack() > 0,
            channels_last=train.channels_last,
        )
        module = PackModule(
            members,
            views=views,
            schedule=_schedule(self.config, self.total_steps),
            optimizer=partial(
                optimiser.build,
                momentum=train.momentum,
                nesterov=train.nesterov,
                weight_decay=train.weight_decay,
                bias_lr_factor=train.bias_lr_factor,
                bias_decay_factor=train.bias_decay_factor,
            ),
            rate_in_velocity=train.rate_in_velocity,
            step=states[0].step,
            velocities=[state.velocity for state in states],
        )
        module.train_sums.copy_(torch.tensor([s.sums for s in states], dtype=torch.float64).T)
        return module

    def _states(self) -> list[State]:
        return [
            checkpoints.load(subject.run)
            or State(0, self._fresh(subject).state_dict(), {}, (0.0, 0.0, 0.0), (), (), 0.0)
            for subject in self.subjects
        ]

    def _fresh(self, subject: Subject) -> StagedNetwork:
        """The run's network before its first step: drawn, copied, frozen."""
        config = subject.config
        network = _network(config, len(self.target.classes))
        network.initialise(partial(seed_of, config.seed, subject.run.label, "init"))
        network.key_dropout(partial(seed_of, config.seed, subject.run.label, "dropout"))
        transfer.graft(
            network,
            config.variant,
            keep=config.transfer.keep,
            base=subject.base_weights,
            model=config.model.name,
        )
        return network

    def _record(self, subject: Subject, state: State) -> None:
        """Write the weights and then, last, `result.json`."""
        unchanged = None
        if subject.config.variant.frozen:
            n, network = subject.config.variant.n, self._fresh(subject)
            before = {k: v.clone() for k, v in transfer.stage_weights(network, n).items()}
            network.load_state_dict(state.weights)
            unchanged = transfer.same_bits(before, transfer.stage_weights(network, n))
            if not unchanged:
                log.error("%s: the frozen stages have changed", subject.run.label)
        result = record.result(
            subject.config,
            state,
            base_id=None if subject.base is None else subject.base.id,
            prefix_unchanged=unchanged,
            weights_sha256=checkpoints.save_weights(subject.run, state.weights),
            val_images=len(self.target.val),
            train_images=len(self.target.train),
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

    def _mean(self, letter: str) -> np.ndarray | None:
        """The mean image of half A or B, from the cache or from all its training images."""
        if letter == NO_MEAN:
            return None
        half = _half(self.config, self.images, letter)
        chosen = self.config.data

        def tell(done: int) -> None:
            if done % (20 * means.BATCH) == 0:
                log.info("mean image of half %s: %d of %d images", letter, done, len(half.train))

        return means.mean_image(
            half.train,
            cache=cache_folder(self.config),
            name=means.key(
                self.images.digest,
                half.classes,
                size=chosen.size,
                resize=chosen.resize,
                per_class=chosen.per_class,
            ),
            workers=self.workers or 0,
            on_progress=tell,
        )

    def _slack(self) -> int:
        return self.config.data.size - self.config.data.crop

    def _require_space(self, state: State) -> None:
        """Room for a checkpoint with momentum, its successor, and the weights, for each run."""
        weights = sum(value.numel() * value.element_size() for value in state.weights.values())
        folder = self.subjects[0].run.folder
        store.require_space(folder, 5 * weights * len(self.subjects) + 1_000_000)


def seed_of(seed: int, label: str, purpose: str, stage: str) -> int:
    """A seed for one purpose of one stage of one network, independent of all others."""
    digest = hashlib.sha256(f"{seed}/{label}/{purpose}/{stage}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def _subject(config: RunConfig, run: Run) -> Subject:
    base = plan.base_of(config)
    if base is None:
        return Subject(config, run, None, None)
    place = store.locate(base)
    result = store.read_result(place)
    if result is None:
        raise RunFailed(f"{run.label} needs {place.label}, and {place.folder} is not finished")
    weights = checkpoints.load_weights(store.check_weights(place, result))
    return Subject(config, run, place, weights)


def _member(subject: Subject, network: StagedNetwork) -> Member:
    variant = subject.config.variant
    frozen = variant.n if variant.frozen else 0
    trunk = subject.base.id if subject.base is not None else subject.run.id
    view = _mean_letter(subject.config)
    return Member(
        name=subject.run.label,
        network=network,
        frozen=frozen,
        shared=min(frozen, network.deterministic_stages()),
        trunk=f"{trunk}/{view}",
        view=view,
    )


def _by_step(subjects: Sequence[Subject]) -> list[list[Subject]]:
    """The subjects in groups that can go on together; usually one group."""
    groups: dict[int, list[Subject]] = {}
    for subject in subjects:
        state = checkpoints.load(subject.run)
        groups.setdefault(0 if state is None else state.step, []).append(subject)
    return [groups[step] for step in sorted(groups)]


def _half(config: RunConfig, images: ImageSet, letter: str) -> Half:
    return halves.cut(
        images,
        split_of(config).half(letter),
        per_class=config.data.per_class,
        skip_unreadable=config.data.unreadable == "skip",
    )


def _mean_letter(config: RunConfig) -> str:
    """Whose mean image the run subtracts: the base half's, as the authors did, unless told."""
    if config.data.mean == "none":
        return NO_MEAN
    base, target = config.variant.base, config.variant.target
    return base if config.data.mean == "base" and base in variants.HALVES else target


def _network(config: RunConfig, classes: int) -> StagedNetwork:
    outputs = config.model.num_outputs or classes
    return models.build(config.model.name, num_outputs=outputs, image_size=config.data.crop)


def _schedule(config: RunConfig, total_steps: int) -> optimiser.Schedule:
    train = config.train
    warmup_steps = round(train.warmup * total_steps)
    if train.schedule == "cosine":
        return optimiser.Cosine(train.lr, total_steps, warmup_steps)
    assert train.lr_step is not None and train.lr_factor is not None
    return optimiser.StepDecay(train.lr, train.lr_step, train.lr_factor, warmup_steps)


def _trainer(
    config: RunConfig, callbacks: list[lightning.Callback], intervals: int
) -> lightning.Trainer:
    runtime = config.runtime
    several = runtime.devices > 1
    for name in ("pytorch_lightning", "lightning_fabric"):  # they set INFO when imported
        logging.getLogger(name).setLevel(logging.ERROR)
    return lightning.Trainer(
        accelerator=runtime.accelerator,
        devices=runtime.devices,
        strategy=DDPStrategy(start_method="spawn") if several else "auto",
        precision={"float32": "32-true", "bfloat16": "bf16-mixed"}[config.train.precision],
        callbacks=callbacks,
        max_epochs=intervals,  # see data.module: from one validation to the next
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        default_root_dir=os.fspath(cache_folder(config)),
    )
