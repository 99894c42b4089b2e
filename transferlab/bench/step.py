"""Our training step against float32 eager, and real data against a batch that is in memory.

A base network; ours with bfloat16 where the device computes it itself, in channels_last and with
whatever is compiled; eager is a plain loop over the same network in float32 with nothing compiled.
Both step on one batch of bytes that stays on the device; the third side reads real batches ahead.
"""

import itertools
from argparse import ArgumentParser, Namespace
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from transferlab.bench import flags, harness, loops, trials
from transferlab.bench.harness import Comparison, Report, Side
from transferlab.data.datasets.images import ImageSet
from transferlab.data.loader import Batch, auto_workers
from transferlab.experiment.run import Run
from transferlab.runtime import devices, signals
from transferlab.training import build, inputs, trainer
from transferlab.training.checkpoints import TrainingState

REPETITIONS = 5
SKIPPED = 5  # steps at the start of a window: memory, choice of kernels, compiling
LEAST_REAL, LEAST_OURS = 0.95, 3.0  # on a GPU, full-size
REAL, RESIDENT, EAGER = "ours, real data", "ours, resident batch", "float32 eager"


def add_flags(parser: ArgumentParser) -> None:
    trials.add_flags(parser, batch=128, steps=30)
    parser.add_argument("--workers", type=flags.positive, default=0, metavar="N",
                        help="processes that read images which are files (default: 0)")  # fmt: skip


def measure(selected: Namespace) -> Report:
    """Three sides, each over the same number of steps. Raises: UserError without the device."""
    torch.set_num_threads(1)
    trial, total = trials.trial(selected), SKIPPED + selected.steps
    device = devices.best("auto" if trial.device == "gpu" else "cpu")
    recipe = trials.FAST if devices.has_bfloat16(device) else ("train.channels_last=true",)
    full = trial.device == "gpu" and trial.model == "alexnet"
    with TemporaryDirectory() as folder, signals.watch() as stop:
        (run,) = trials.runs(replace(trial, steps=total), Path(folder),
                             {"transfer.variant": ["baseA"]}, recipe)  # fmt: skip
        images = inputs.load_images(run.config)
        train = inputs.half(run, images, "A").train
        workers = selected.workers and auto_workers(train, selected.workers + 1)
        read = partial(loops.batches, run, images, steps=total, workers=workers, device=device)
        batch = _resident(read(), device)
        ours = partial(_ours, run, images, stop, steps=trial.steps, workers=workers)
        sides = {
            REAL: lambda: ours(batches=read()),
            RESIDENT: lambda: ours(batches=itertools.repeat(batch, total)),
            EAGER: lambda: loops.bare(run, images, itertools.repeat(batch, total),
                                      skipped=SKIPPED, steps=trial.steps, device=device),
        }  # fmt: skip
        return harness.measure(
            "step",
            f"a base network, {trial}; ours in {run.config.train.precision}, channels_last",
            [Side(name, side, trial.steps * trial.batch, "images") for name, side in sides.items()],
            [
                Comparison(REAL, RESIDENT, "speed", LEAST_REAL if full else None),
                Comparison(RESIDENT, EAGER, "speed", LEAST_OURS if full else None),
            ],
            repetitions=selected.repetitions,
        )


def _resident(batches: Iterable[Batch], device: torch.device) -> Batch:
    """The first of the batches, in memory of its own on the device."""
    return {
        key: value.to(device, copy=True) if torch.is_tensor(value) else value
        for key, value in next(iter(batches)).items()
    }


def _ours(
    run: Run,
    images: ImageSet,
    stop: signals.StopRequest,
    *,
    batches: Iterable[Batch],
    steps: int,
    workers: int,
) -> float:
    """Our step, through the Trainer, in s."""
    subject = build.subject(run)
    fresh = TrainingState(0, build.fresh(subject).state_dict(), {}, (0.0, 0.0, 0.0), (), (), 0.0)
    total = SKIPPED + steps
    module = build.pack_module([subject], [fresh], total_steps=total)
    data = build.pack_data(
        [subject], images, inputs.half(run, images, "A"), start_step=0, total_steps=total,
        val_every=total, workers=workers,
    )  # fmt: skip
    watch = loops.Stopwatch(skipped=SKIPPED, steps=steps)
    fitting = trainer.build(run.config, [watch], intervals=1)
    with trainer.interruptible(stop):
        data.views.to(fitting.strategy.root_device)
        prepared = (data.on_after_batch_transfer(batch, 0) for batch in batches)
        fitting.fit(module, train_dataloaders=prepared)
    assert watch.elapsed_s is not None
    return watch.elapsed_s
