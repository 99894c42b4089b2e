"""What Lightning costs: steps of a run through the Trainer against a bare loop.

Both sides train a base network on the digits as `train=quick` does, from the same state, on the
same batches. Bookkeeping, callbacks and the timing of checkpoints count for the Trainer.
"""

import shutil
from argparse import ArgumentParser, Namespace
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from transferlab.bench import flags, harness, loops, trials
from transferlab.bench.harness import Comparison, Report, Side
from transferlab.bench.trials import Trial
from transferlab.runtime import signals
from transferlab.training.run import train_pack

REPETITIONS = 9
MOST = 1.05


def add_flags(parser: ArgumentParser) -> None:
    parser.add_argument("--steps", type=flags.positive, default=60, metavar="N",
                        help="training steps (default: %(default)s)")  # fmt: skip


def measure(selected: Namespace) -> Report:
    torch.set_num_threads(1)
    steps = selected.steps
    trial = Trial("alexnet_small", 32, steps, "cpu", None)
    with TemporaryDirectory() as folder, signals.watch() as stop:
        (run,) = trials.runs(trial, Path(folder), {"transfer.variant": ["baseA"]})
        data = loops.load(run, steps=steps)

        def through_trainer() -> float:
            """The product's own path, from before the first step to the end of the last."""
            watch = loops.Stopwatch(skipped=0, steps=steps)
            train_pack([run], stop, [watch])
            shutil.rmtree(run.folder)
            assert watch.elapsed_s is not None
            return watch.elapsed_s

        def in_loop() -> float:
            return loops.bare(run, data, loops.read(data), torch.device("cpu"), skipped=0)

        return harness.measure(
            "trainer",
            f"a base network, {trial}",
            [
                Side("Trainer", through_trainer, steps, "steps"),
                Side("bare loop", in_loop, steps, "steps"),
            ],
            [Comparison("Trainer", "bare loop", "time", MOST)],
            repetitions=selected.repetitions,
        )
