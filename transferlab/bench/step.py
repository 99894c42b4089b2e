"""Our training step against float32 eager, and real data against a batch that is there already.

A base network; ours with bfloat16 where the device computes it itself, in channels_last and with
whatever is compiled; eager is a plain loop over the same network in float32 with nothing compiled.
Both step on one batch of bytes that stays on the device; the third side reads real batches ahead.
"""

import itertools
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from transferlab.bench import report, trials
from transferlab.bench.bare import stepper
from transferlab.bench.report import Report
from transferlab.bench.stopwatch import Stopwatch, wait_for
from transferlab.bench.trials import Trial
from transferlab.bench.turns import Comparison, Side
from transferlab.data.datasets.images import ImageSet
from transferlab.data.half import Half
from transferlab.data.loader import Batch, Stream, auto_workers, loader
from transferlab.data.transforms import Views
from transferlab.experiment.config import RunConfig
from transferlab.runtime import devices, signals
from transferlab.training import build, inputs
from transferlab.training import trainer as trainers
from transferlab.training.build import Subject
from transferlab.training.checkpoints import State

SKIPPED = 5  # steps at the start of a window: memory, choice of kernels, compiling
LEAST_REAL, LEAST_OURS = 0.95, 3.0  # on a GPU, full-size
REAL, RESIDENT, EAGER = "ours, real data", "ours, resident batch", "float32 eager"


@dataclass(frozen=True)
class Stage:
    """What the sides share: the run, its images, where it is computed, and how many steps."""

    subject: Subject
    images: ImageSet
    target: Half
    device: torch.device
    steps: int
    workers: int


def measure(trial: Trial, *, workers: int, repetitions: int) -> Report:
    """Three sides, each over the same number of steps. Raises: UserError without the device."""
    torch.set_num_threads(1)
    full = trial.device == "gpu" and trial.model == "alexnet"
    with TemporaryDirectory() as folder, signals.watch() as stop:
        stage = set_up(trial, Path(folder), workers)
        batch = resident(stage)
        work: dict[str, Callable[[], float]] = {
            REAL: lambda: ours(stage, stop, read(stage)),
            RESIDENT: lambda: ours(stage, stop, itertools.repeat(batch, SKIPPED + stage.steps)),
            EAGER: lambda: eager(stage, batch),
        }
        train = stage.subject.config.train
        return report.measure(
            "step",
            f"a base network, {trial.words}; ours in {train.precision}, channels_last",
            [Side(name, side, trial.steps * trial.batch, "images") for name, side in work.items()],
            [
                Comparison(REAL, RESIDENT, "speed", LEAST_REAL if full else None),
                Comparison(RESIDENT, EAGER, "speed", LEAST_OURS if full else None),
            ],
            repetitions=repetitions,
        )


def set_up(trial: Trial, place: Path, workers: int) -> Stage:
    """The run with its images. Raises: UserError."""
    longer = replace(trial, steps=SKIPPED + trial.steps)

    def composed(*more: str) -> RunConfig:
        (config,) = trials.configs(longer, place, {"transfer.variant": ["baseA"]}, more)
        return config

    config = composed("train.channels_last=true")
    device = trainers.build(config, [], intervals=1).strategy.root_device
    if devices.has_bfloat16(device):
        config = composed(*trials.FAST)
    images = inputs.load_images(config)
    target = inputs.half(config, images, "A")
    readers = workers and auto_workers(target.train, workers + 1)
    return Stage(build.subject(config), images, target, device, trial.steps, readers)


def read(stage: Stage) -> Iterable[Batch]:
    """The batches of all steps, as in every training."""
    config = stage.subject.config
    stream = Stream(
        count=len(stage.target.train),
        seed=config.seed,
        start_step=0,
        total_steps=SKIPPED + stage.steps,
        batch_size=config.train.batch_size,
        reshuffle=config.train.reshuffle,
        slack=config.data.size - config.data.crop,
        mirror=config.train.mirror,
        rank=0,
        world_size=1,
    )
    return loader(stage.target.train, stream, crop=config.data.crop, workers=stage.workers,
                  device=stage.device)  # fmt: skip


def resident(stage: Stage) -> Batch:
    """The first of the batches, in memory of its own on the device."""
    for batch in read(stage):
        return {
            key: value.to(stage.device, copy=True) if torch.is_tensor(value) else value
            for key, value in batch.items()
        }
    raise AssertionError("a stream has batches")


def ours(stage: Stage, stop: signals.StopRequest, batches: Iterable[Batch]) -> float:
    """Our step, through the Trainer, in s."""
    total = SKIPPED + stage.steps
    fresh = State(0, build.fresh(stage.subject).state_dict(), {}, (0.0, 0.0, 0.0), (), (), 0.0)
    module = build.pack_module(
        [stage.subject], [fresh], stage.images, total_steps=total, workers=stage.workers
    )
    watch = Stopwatch(skipped=SKIPPED, steps=stage.steps)
    trainer = trainers.build(stage.subject.config, [watch], intervals=1)
    with trainers.interruptible(stop):
        trainer.fit(module, train_dataloaders=batches)
    assert watch.elapsed_s is not None
    return watch.elapsed_s


def eager(stage: Stage, batch: Batch) -> float:
    """A plain step in float32, nothing compiled, in s."""
    config, network = stage.subject.config, build.fresh(stage.subject).to(stage.device)
    optimizer = build.make_optimizer(config)([network])
    mean = inputs.mean_image(config, stage.images, "A", workers=stage.workers)
    views = Views({"A": mean}, scale=config.data.scale, mirror=config.train.mirror,
                  channels_last=False).to(stage.device)  # fmt: skip
    make = stepper(network, optimizer, build.schedule(config, SKIPPED + stage.steps), views)
    started = 0.0
    with torch.compiler.set_stance("force_eager"):
        for step in range(SKIPPED + stage.steps):
            if step == SKIPPED:
                wait_for(stage.device)
                started = time.perf_counter()
            make(step, batch)
    wait_for(stage.device)
    return time.perf_counter() - started
