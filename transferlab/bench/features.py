"""Frozen runs whose features are kept against the same runs that compute them in every epoch.

Both sides train the planner's packs as `bench pack` does, with their base networks trained
beforehand. What is saved grows with the cut, so that it is measured for all of them in packs, and
for the deepest alone.
"""

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from transferlab.bench import harness, pack, trials
from transferlab.bench.harness import Comparison, Report, Side
from transferlab.experiment.plan import Pack
from transferlab.runtime import signals

REPETITIONS = 5
LEAST, LEAST_DEEPEST = 1.1, 1.5
KEPT, COMPUTED, DEEPEST = "kept", "computed", "deepest cut"


def add_flags(parser: ArgumentParser) -> None:
    trials.add_flags(parser, batch=32, steps=300)


def measure(selected: Namespace) -> Report:
    """Times the runs with kept and with computed features, and compares their final weights."""
    trial = trials.trial(selected)
    deepest = pack.CUTS[-1:]
    with TemporaryDirectory() as folder, signals.watch() as stop:
        digests: dict[str, dict[str, str]] = {}

        def side(name: str, cuts: Sequence[int], *more: str) -> Side:
            packs = pack.planned(trial, Path(folder), pack.FROZEN, stop, cuts=cuts, more=more)
            return Side(name, lambda: trained(name, packs), len(runs_of(packs)), "runs")

        def trained(name: str, packs: Sequence[Pack]) -> float:
            elapsed_s = harness.timed(lambda: pack.train(packs, stop))
            digests[name] = pack.taken_away(packs)
            return elapsed_s

        sides = [
            side(KEPT, pack.CUTS),
            side(COMPUTED, pack.CUTS, pack.COMPUTED),
            side(f"{KEPT}, {DEEPEST}", deepest),
            side(f"{COMPUTED}, {DEEPEST}", deepest, pack.COMPUTED),
        ]
        return harness.measure(
            "features",
            f"AnB and BnB, {trial}",
            sides,
            [
                Comparison(sides[0].name, sides[1].name, "speed", LEAST),
                Comparison(sides[2].name, sides[3].name, "speed", LEAST_DEEPEST),
            ],
            repetitions=selected.repetitions,
            checks=lambda: [
                pack.same_bits(digests[KEPT], digests[COMPUTED], "float32",
                               promised=trial.device == "cpu")
            ],
        )  # fmt: skip


def runs_of(packs: Sequence[Pack]) -> list[object]:
    return [run for each in packs for run in each.runs]
