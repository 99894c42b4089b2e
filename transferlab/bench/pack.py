"""Runs trained in the planner's packs against the same runs one after another.

Both sides go the way of every run, `launch.inline.train`, from its folder to its record, in a warm
process; the base networks that they start from are trained beforehand.
"""

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from transferlab import store
from transferlab.bench import report, trials, turns
from transferlab.bench.report import Check, Report
from transferlab.bench.trials import Trial
from transferlab.bench.turns import Comparison, Side
from transferlab.experiment import compose, plan
from transferlab.experiment.launcher import build_launcher
from transferlab.experiment.plan import Pack
from transferlab.launch import dispatch, inline
from transferlab.runtime import signals

FROZEN, ALL = ("AnB", "BnB"), ("AnB", "BnB", "AnB+", "BnB+")
CUTS = tuple(range(1, 8))
# What is asked of the frozen runs, small and full-size, and of all runs
LEAST, LEAST_FULL, LEAST_ALL = 1.7, 1.45, 1.08


def measure(trial: Trial, *, all_runs: bool, repetitions: int) -> Report:
    """The runs packed and alone, and whether they end with the same bits."""
    torch.set_num_threads(1)
    with TemporaryDirectory() as folder, signals.watch() as stop:
        packs = planned(trial, Path(folder), ALL if all_runs else FROZEN, stop)
        single = plan.packs((node for pack in packs for node in pack.nodes), 1)
        ends: dict[str, dict[str, str]] = {}

        def side(name: str, some: Sequence[Pack]) -> Side:
            def measured() -> float:
                elapsed_s = turns.timed(lambda: train(some, stop))
                ends[name] = taken_away(some)
                return elapsed_s

            return Side(name, measured, len(single), "runs")

        found = report.measure(
            "pack",
            f"{len(single)} runs, {trial.words}; {len(packs)} packs",
            [side("packed", packs), side("one after another", single)],
            [Comparison("packed", "one after another", "speed", _target(trial, all_runs))],
            repetitions=repetitions,
        )
    precision = single[0].nodes[0].config.train.precision
    check = same_bits(
        ends["packed"], ends["one after another"], precision, promised=trial.device == "cpu"
    )
    return replace(found, checks=(check,))


def planned(
    trial: Trial, place: Path, variants: Sequence[str], stop: signals.StopRequest
) -> tuple[Pack, ...]:
    """The planner's packs of these variants at every cut; their base networks are trained."""
    grid = {"transfer.variant": variants, "transfer.n": CUTS}
    wanted = trials.configs(trial, place, grid, trials.FAST if trial.device == "gpu" else ())
    launcher = build_launcher(compose.compose("sweep", [])["launcher"])
    order = dispatch.order("bench", wanted, launcher, pack=None)
    for node in order.nodes:
        if node.config.variant.n == 0:
            inline.train([node.config], stop)
    return dispatch.order("bench", wanted, launcher, pack=None).packs


def train(packs: Sequence[Pack], stop: signals.StopRequest) -> None:
    for pack in packs:
        inline.train([node.config for node in pack.nodes], stop)


def taken_away(packs: Sequence[Pack]) -> dict[str, str]:
    """The digest of the weights that each run ended with; its folder is deleted."""
    digests = {}
    for node in (node for pack in packs for node in pack.nodes):
        place = store.locate(node.config)
        result = store.read_result(place)
        assert result is not None, "a run that was trained has a record"
        digests[node.label] = result["weights_sha256"]
        shutil.rmtree(place.folder)
    return digests


def same_bits(
    packed: dict[str, str], alone: dict[str, str], precision: str, *, promised: bool
) -> Check:
    """How many runs ended alike, by the sha256 of their weights; promised on CPU only."""
    same = sum(alone[label] == digest for label, digest in packed.items())
    passed = same == len(alone) if promised else None
    return Check(f"weights bit-identical in {precision}", passed, f"{same} of {len(alone)} runs")


def _target(trial: Trial, all_runs: bool) -> float | None:
    if all_runs:
        return LEAST_ALL
    return LEAST_FULL if trial.model == "alexnet" else LEAST
