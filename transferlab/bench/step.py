"""Our training step against float32 eager, and real data against a batch that is in memory.

A base network; ours with bfloat16 where the device computes it itself, in channels_last and with
whatever is compiled; eager is a plain loop over the same network in float32 with nothing compiled.
Both step on one batch of bytes that stays on the device; the third side reads real batches ahead.
"""

import itertools
from argparse import ArgumentParser, Namespace
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from transferlab.bench import flags, harness, loops, trials
from transferlab.bench.harness import Comparison, Report, Side
from transferlab.data.loader import Batch
from transferlab.runtime import devices, signals

REPETITIONS = 5
SKIPPED = 5  # steps at the start of a window: memory, choice of kernels, compiling
LEAST_REAL, LEAST_OURS = 0.95, 3.0  # on a GPU, full-size
REAL, RESIDENT, EAGER = "ours, real data", "ours, resident batch", "float32 eager"


def add_flags(parser: ArgumentParser) -> None:
    trials.add_flags(parser, batch=128, steps=30)
    parser.add_argument("--workers", type=flags.positive, default=0, metavar="N",
                        help="worker processes that read image files (default: 0)")  # fmt: skip


def measure(selected: Namespace) -> Report:
    """Three sides, each over the same number of steps. Raises: UserError without the device."""
    torch.set_num_threads(1)
    trial, total = trials.trial(selected), SKIPPED + selected.steps
    device = devices.best("auto" if trial.device == "gpu" else "cpu")
    recipe = trials.FAST if devices.has_bfloat16(device) else ("train.channels_last=true",)
    full = trial.device == "gpu" and trial.model == "alexnet"
    with TemporaryDirectory() as folder, signals.watch() as stop:
        base = {"transfer.variant": ["baseA"]}
        longer = replace(trial, steps=total)
        (run,) = trials.runs(longer, Path(folder), base, recipe)
        (plain,) = trials.runs(longer, Path(folder), base)
        data = loops.load(run, steps=total, workers=selected.workers)
        plain_data = loops.load(plain, steps=total)
        batch = _resident(next(loops.read(data)), device)
        repeated = partial(itertools.repeat, batch, total)
        sides = {
            REAL: lambda: loops.fit(run, data, None, stop, skipped=SKIPPED),
            RESIDENT: lambda: loops.fit(run, data, repeated(), stop, skipped=SKIPPED),
            EAGER: lambda: loops.bare(plain, plain_data, repeated(), device, skipped=SKIPPED),
        }
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


def _resident(batch: Batch, device: torch.device) -> Batch:
    """The batch in memory of its own on the device."""
    return {
        key: value.to(device, copy=True) if torch.is_tensor(value) else value
        for key, value in batch.items()
    }
