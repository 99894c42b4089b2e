"""What Lightning costs: steps of a run through the Trainer against a bare loop.

Both sides train a base network on the digits as `train=quick` does, from the same state, on the
same batches. Bookkeeping, callbacks and the look at the clock for checkpoints are the Trainer's.
"""

import shutil
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from transferlab import store
from transferlab.bench import report, trials
from transferlab.bench.bare import stepper
from transferlab.bench.report import Report
from transferlab.bench.stopwatch import Stopwatch
from transferlab.bench.trials import Trial
from transferlab.bench.turns import Comparison, Side
from transferlab.data.loader import Stream, loader
from transferlab.data.transforms import Views
from transferlab.experiment.config import RunConfig
from transferlab.runtime import signals
from transferlab.training import build, inputs, run

MOST = 1.05


def measure(*, steps: int, repetitions: int) -> Report:
    """The Trainer's steps and the loop's."""
    torch.set_num_threads(1)
    trial = Trial("alexnet_small", 32, steps, "cpu", None)
    with TemporaryDirectory() as folder, signals.watch() as stop:
        (config,) = trials.configs(trial, Path(folder), {"transfer.variant": ["baseA"]})
        sides = (
            Side("Trainer", lambda: through_trainer(config, steps, stop), steps, "steps"),
            Side("bare loop", lambda: bare(config, steps), steps, "steps"),
        )
        comparison = Comparison("Trainer", "bare loop", "time", MOST)
        return report.measure(
            "trainer", f"a base network, {trial.words}", sides, [comparison],
            repetitions=repetitions,
        )  # fmt: skip


def through_trainer(config: RunConfig, steps: int, stop: signals.StopRequest) -> float:
    """The product's own path, timed from before the first step to the end of the last, in s."""
    watch = Stopwatch(skipped=0, steps=steps)
    run.train([config], stop, [watch])
    shutil.rmtree(store.locate(config).folder)
    assert watch.elapsed_s is not None
    return watch.elapsed_s


def bare(config: RunConfig, steps: int) -> float:
    """A plain loop: the same images, network, loss and update, and nothing else. In s."""
    train = config.train
    target = inputs.half(config, inputs.load_images(config), config.variant.target)
    network = build.fresh(build.subject(config))
    optimizer = build.make_optimizer(config)([network])
    mean = inputs.mean_image(config, inputs.load_images(config), "A", workers=0)
    views = Views({"A": mean}, scale=config.data.scale, mirror=train.mirror, channels_last=False)
    make = stepper(network, optimizer, build.schedule(config, steps), views)
    stream = Stream(
        count=len(target.train),
        seed=config.seed,
        start_step=0,
        total_steps=steps,
        batch_size=train.batch_size,
        reshuffle=train.reshuffle,
        slack=0,
        mirror=train.mirror,
        rank=0,
        world_size=1,
    )
    device = torch.device("cpu")
    batches = iter(loader(target.train, stream, crop=config.data.crop, workers=0, device=device))
    started = time.perf_counter()
    for step in range(steps):
        make(step, next(batches))
    return time.perf_counter() - started
