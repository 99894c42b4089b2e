"""Runs trained in the planner's packs against the same runs one after another.

Both sides train by `launch.inline.train`, as every run does, from its folder to its record, in a
warm process; their base networks are trained beforehand.
"""

import shutil
from argparse import ArgumentParser, Namespace
from collections.abc import Iterable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from transferlab import store
from transferlab.bench import harness, trials
from transferlab.bench.harness import Check, Comparison, Report, Side
from transferlab.bench.trials import Trial
from transferlab.experiment import compose, plan
from transferlab.experiment.launcher import build_launcher
from transferlab.experiment.plan import Pack
from transferlab.launch import dispatch, inline
from transferlab.runtime import signals

REPETITIONS = 5
FROZEN, ALL = ("AnB", "BnB"), ("AnB", "BnB", "AnB+", "BnB+")
CUTS = tuple(range(1, 8))
# Targets of the frozen runs, small and full-size, and of all runs
LEAST, LEAST_FULL, LEAST_ALL = 1.7, 1.45, 1.08
PACKED, ALONE = "packed", "one after another"
COMPUTED = "runtime.features_gb=0"  # what packs save of features that are kept: `bench features`


def add_flags(parser: ArgumentParser) -> None:
    trials.add_flags(parser, batch=32, steps=100)
    parser.add_argument("--all", action="store_true", help="also the fine-tuned runs: 28, not 14")


def measure(selected: Namespace) -> Report:
    """Times the runs packed and alone, and compares their final weights bit by bit."""
    trial = trials.trial(selected)
    target = LEAST_FULL if trial.model == "alexnet" else LEAST
    with TemporaryDirectory() as folder, signals.watch() as stop:
        variants = ALL if selected.all else FROZEN
        packs = planned(trial, Path(folder), variants, stop, cuts=CUTS, more=[COMPUTED])
        single = plan.packs((run for pack in packs for run in pack.runs), 1)
        precision = single[0].runs[0].config.train.precision
        digests: dict[str, dict[str, str]] = {}

        def side(name: str, packs: Sequence[Pack]) -> Side:
            def trained() -> float:
                elapsed_s = harness.timed(lambda: train(packs, stop))
                digests[name] = taken_away(packs)
                return elapsed_s

            return Side(name, trained, len(single), "runs")

        return harness.measure(
            "pack",
            f"{len(single)} runs, {trial}; {len(packs)} packs",
            [side(PACKED, packs), side(ALONE, single)],
            [Comparison(PACKED, ALONE, "speed", LEAST_ALL if selected.all else target)],
            repetitions=selected.repetitions,
            checks=lambda: [
                same_bits(digests[PACKED], digests[ALONE], precision,
                          promised=trial.device == "cpu")
            ],
        )  # fmt: skip


def planned(
    trial: Trial,
    folder: Path,
    variants: Sequence[str],
    stop: signals.StopRequest,
    *,
    cuts: Sequence[int],
    more: Sequence[str],
) -> tuple[Pack, ...]:
    """The planner's packs of these variants at every cut; their base networks are trained."""
    grid = {"transfer.variant": variants, "transfer.n": cuts}
    fast = trials.FAST if trial.device == "gpu" else ()
    runs = trials.runs(trial, folder, grid, (*fast, *more))
    launcher = build_launcher(compose.compose("sweep", [])["launcher"])
    packs = dispatch.order("bench", runs, launcher, pack=None).packs
    train((pack for pack in packs if pack.role == "base"), stop)
    return dispatch.order("bench", runs, launcher, pack=None).packs


def train(packs: Iterable[Pack], stop: signals.StopRequest) -> None:
    for pack in packs:
        inline.train(pack.runs, stop)


def taken_away(packs: Sequence[Pack]) -> dict[str, str]:
    """The digest of the weights that each run ended with; its folder is deleted."""
    digests = {}
    for run in (run for pack in packs for run in pack.runs):
        result = store.read_result(run)
        assert result is not None, "a run that was trained has a record"
        digests[run.label] = result["weights_sha256"]
        shutil.rmtree(run.folder)
    return digests


def same_bits(
    packed: dict[str, str], alone: dict[str, str], precision: str, *, promised: bool
) -> Check:
    """How many runs have bit-identical weights, by sha256; guaranteed on CPU only."""
    identical = sum(alone[label] == digest for label, digest in packed.items())
    passed = identical == len(alone) if promised else None
    return Check(
        f"weights bit-identical in {precision}", passed, f"{identical} of {len(alone)} runs"
    )
