"""How long it takes to plan 1,000, 10,000 and 100,000 runs, and whether that grows linearly.

    python tests/benchmarks/plan.py [--check] [--json]

A study on the digits with more and more split seeds: expanded, resolved, ordered, cut into packs
that fit into memory and into waves, and written down; then compared with a filled store, whose
records are read and checked (`read`), and once more (`again`). Expected of a shared core: 23
microseconds a run to plan it, 105 to read its record, 13 to see that it has not changed, and the
last ratio about 10. --check fails above 30 s. Half a minute to five, most of it to fill the store.
"""

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from support.stores import record

from transferlab.experiment import compose, plan, study
from transferlab.experiment.cost.memory import Room
from transferlab.experiment.cost.networks import network_of
from transferlab.experiment.launcher import build_launcher
from transferlab.experiment.run import Run
from transferlab.launch import dispatch
from transferlab.models.facts import Footprint, NetworkFacts, StageFacts
from transferlab.store import kept
from transferlab.store.manifest import Manifest

SIZES = (1_000, 10_000, 100_000)
RUNS_OF_A_SPLIT = 58  # of random_splits: 2 bases, 8 variants of 7 cuts
LIMIT_S = 30.0  # for the largest
# A network of which four or five make a pack in MEMORY bytes, so that every pack has to be cut
STAGES = (StageFacts("any", 5_000_000, 1, *[Footprint(50_000, 10_000, 50_000)] * 2),) * 8
MEMORY = 4_000_000_000


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--check", action="store_true", help=f"fail above {LIMIT_S:.0f} s")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    reports = []
    for size in (1, *SIZES):  # the first warms up
        with tempfile.TemporaryDirectory() as folder:
            os.environ[kept.CACHE] = f"{folder}/cache"
            runs, times = measure(size, Path(folder))
        reports.append({"runs": runs, "s": sum(times.values()), "parts_s": times})
    del reports[0]
    last_s, before_s = reports[-1]["s"], reports[-2]["s"]
    if arguments.json:
        print(json.dumps({"reports": reports, "machine": platform.machine()}))
    else:
        for report in reports:
            us = {part: 1e6 * s / report["runs"] for part, s in report["parts_s"].items()}
            parts = ", ".join(f"{part} {value:.1f}" for part, value in us.items())
            print(f"{report['runs']:>7,} runs: {report['s']:6.2f} s, "
                  f"{sum(us.values()):.1f} us a run ({parts})")  # fmt: skip
        print(f"{SIZES[-1]:,} against {SIZES[-2]:,}: {last_s / before_s:.1f} times as long "
              f"(linear: {reports[-1]['runs'] / reports[-2]['runs']:.1f})")  # fmt: skip
    if arguments.check and last_s >= LIMIT_S:
        print(f"{SIZES[-1]:,} runs take {last_s:.1f} s: {LIMIT_S:.0f} at most", file=sys.stderr)
        return 1
    return 0


def measure(
    runs: int, folder: Path, clock: Callable[[], float] = time.perf_counter
) -> tuple[int, dict[str, float]]:
    """How many runs were planned, at least so many, and how long each part of it took, in s."""
    splits = -(-runs // RUNS_OF_A_SPLIT)
    # Seeds that no other size has, so that nothing is remembered of another
    words = [f"split.seed=range({runs},{runs + splits})", f"runtime.store={folder}/runs"]
    launcher = build_launcher(compose.compose("sweep", [])["launcher"])
    marks = [clock()]

    configs = study.expand(study.load("random_splits"), words)
    marks.append(clock())
    planned = dispatch.resolved(configs, launcher)
    marks.append(clock())
    order = dispatch.order("random_splits", planned, launcher, pack=None)
    marks.append(clock())
    facts = NetworkFacts(STAGES, None, None, None)
    room = Room({network_of(run): facts for run in order.runs}, MEMORY)
    order = replace(order, room=room)
    plan.waves(order.packs)
    marks.append(clock())
    assert Manifest.of(order.runs).json
    marks.append(clock())

    parts = ("expand", "resolve", "order", "packs", "write")
    times = {part: marks[i + 1] - marks[i] for i, part in enumerate(parts)}
    assert order.todo == order.runs
    fill(order.runs)
    for part in ("read", "again"):
        started = clock()
        assert dispatch.order("random_splits", planned, launcher, pack=None).todo == ()
        times[part] = clock() - started
    return len(order.runs), times


def fill(runs: tuple[Run, ...]) -> None:
    """Make folders with a record for all runs."""
    for run in runs:
        run.folder.mkdir(parents=True)
        run.result_file.write_text(json.dumps(record(run.config, 0.5), indent=1))


if __name__ == "__main__":
    sys.exit(main())
