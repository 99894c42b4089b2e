"""What Lightning costs: steps of a pack through the Trainer against a bare loop on one network.

    python tests/benchmarks/trainer_step.py [--repetitions 9] [--steps 60] [--json]

Both sides train a base network on the digits as `train=quick` does, in one process and one thread,
in turn (A B A B ...), each repetition from the same state; the ratio of their times is printed with
its spread. Expected: about 1.01; the limit is 1.05. Half a minute to two minutes.
"""

import argparse
import json
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F

from transferlab import assembly, compose, groups, logs, optimiser, run, signals, store
from transferlab import config as configs
from transferlab.checkpoints import State
from transferlab.config import RunConfig
from transferlab.data.loader import Stream, loader
from transferlab.data.views import Views
from transferlab.resolve import resolve

LIMIT = 1.05


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--repetitions", type=int, default=9)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    logs.to_stderr()
    with tempfile.TemporaryDirectory() as folder:
        config = quick(Path(folder), arguments.steps)
        sides = {"trainer": trainer(config), "bare": bare(config)}
        times: dict[str, list[float]] = {name: [] for name in sides}
        for repetition in range(arguments.repetitions + 1):
            for name, side in sides.items():
                elapsed_s = side()
                if repetition:  # the first one warms up
                    times[name].append(elapsed_s / arguments.steps)
    ratios = [a / b for a, b in zip(times["trainer"], times["bare"], strict=True)]
    report = {
        "ratio": statistics.median(ratios),
        "ratio_range": [min(ratios), max(ratios)],
        "trainer_ms": 1000 * statistics.median(times["trainer"]),
        "bare_ms": 1000 * statistics.median(times["bare"]),
        "repetitions": arguments.repetitions,
        "machine": f"{platform.machine()}, 1 thread",
        "torch": torch.__version__,
    }
    if arguments.json:
        print(json.dumps(report))
    else:
        print(
            f"Trainer step / bare step: {report['ratio']:.3f} "
            f"({min(ratios):.3f} to {max(ratios):.3f}, {arguments.repetitions} repetitions; "
            f"{report['trainer_ms']:.1f} and {report['bare_ms']:.1f} ms; limit {LIMIT})"
        )


def quick(folder: Path, steps: int) -> RunConfig:
    """baseA on the digits, `steps` steps, no validation on the way."""
    overrides = [
        "+split=random",
        "transfer.variant=baseA",
        "train.epochs=null",
        f"train.total_steps={steps}",
        f"train.val_every={steps}",
        f"runtime.store={folder}/runs",
        f"runtime.cache={folder}/cache",
    ]
    return resolve(configs.build(compose.compose("config", overrides)))


def trainer(config: RunConfig) -> Callable[[], float]:
    """The product's own path, timed from the first step's start to the last one's end."""
    place = store.locate(config)
    store.create(place, config)
    images = assembly.load_images(config)
    target = assembly.half(config, images, "A")

    def measure() -> float:
        place.checkpoint.unlink(missing_ok=True)
        marks: list[float] = []
        original = run.Keeper.on_train_start, run.Keeper.on_validation_start

        def start(self, trainer, module):  # type: ignore[no-untyped-def]
            original[0](self, trainer, module)
            marks.append(time.perf_counter())

        def stop(self, trainer, module):  # type: ignore[no-untyped-def]
            marks.append(time.perf_counter())
            original[1](self, trainer, module)

        run.Keeper.on_train_start, run.Keeper.on_validation_start = start, stop
        try:
            subject = assembly.subject(config)
            training = run._Training([subject], images, target, signals.StopRequest())
            training._advance([groups.state_of(subject)])
        finally:
            run.Keeper.on_train_start, run.Keeper.on_validation_start = original
        return marks[1] - marks[0]

    return measure


def bare(config: RunConfig) -> Callable[[], float]:
    """A plain loop: the same images, network, loss and update, and nothing else."""
    train = config.train
    assert train.total_steps is not None
    images = assembly.load_images(config)
    target = assembly.half(config, images, "A")
    mean = assembly.mean_image(config, images, "A", workers=0)
    views = Views(
        {"A": mean},
        crop=config.data.crop,
        scale=config.data.scale,
        random=False,
        channels_last=train.channels_last,
    )
    schedule = assembly.schedule(config, train.total_steps)

    def measure() -> float:
        network = assembly.fresh(assembly.subject(config))
        state = State(0, network.state_dict(), {}, (0.0, 0.0, 0.0), (), (), 0.0)
        network.load_state_dict(state.weights)
        optimizer = assembly.make_optimizer(config)([network])
        stream = Stream(
            count=len(target.train),
            seed=config.seed,
            start_step=0,
            total_steps=train.total_steps,  # type: ignore[arg-type]
            batch_size=train.batch_size,
            reshuffle=train.reshuffle,
            slack=0,
            mirror=train.mirror,
            rank=0,
            world_size=1,
        )
        batches = iter(loader(target.train, stream, workers=0, pin_memory=False))
        started = time.perf_counter()
        for step in range(train.total_steps):  # type: ignore[arg-type]
            batch = next(batches)
            optimiser.set_rate(optimizer, schedule(step + 1), rescale_from=None)
            network.set_step(step)
            loss = F.cross_entropy(network(views(batch)["A"]), batch["labels"])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return time.perf_counter() - started

    return measure


if __name__ == "__main__":
    main()
