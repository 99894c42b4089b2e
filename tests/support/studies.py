"""Small studies, launchers and hand-made stores for the tests of `launch` and `status`."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from support.records import made
from support.stores import record

from transferlab import store
from transferlab.experiment import plan
from transferlab.experiment.launcher import ROLES, LocalSettings, SlurmSettings, build_launcher
from transferlab.experiment.run import Run, make_run
from transferlab.store import sweeps
from transferlab.store.sweeps import Sweep

NOTHING = dict.fromkeys(
    ("partition", "account", "qos", "time", "gres", "cpus", "memory", "constraint", "throttle",
     "extra")
)  # fmt: skip
# The runs of `make_runs`: two bases and their dependents
LABELS = ("A1B", "A2B", "B1B")


def make_runs(place: Path, labels: Sequence[str] = LABELS, **changes: Any) -> tuple[Run, ...]:
    """The plan of runs by their labels (`A3B+`, `baseA`), bases first, in the store `place`.

    changes: leaves of the config, with `__` for the dot.
    """
    leaves = {"runtime.store": str(place), **{k.replace("__", "."): v for k, v in changes.items()}}
    return plan.order(make_run(made(leaves, variant=name, n=None, target=None)) for name in labels)


def make_local(**changes: Any) -> LocalSettings:
    raw = {"name": "local", "jobs": 1, "threads": 1, "gpus": None, "fail_fast": False,
           "changed_code": "warn"}  # fmt: skip
    launcher = build_launcher({**raw, **changes})
    assert isinstance(launcher, LocalSettings)
    return launcher


def make_slurm(**changes: Any) -> SlurmSettings:
    """A launcher that requests only an hour; `base=dict(...)` and so on change a role."""
    raw = {**NOTHING, "name": "slurm", "time": "1:00:00", "extra": [], "threads": 1,
           "signal_s": 120, "requeues": 2, "template": None, "changed_code": "warn"}  # fmt: skip
    roles = {role: {**NOTHING, **changes.pop(role, {})} for role in ROLES}
    launcher = build_launcher({**raw, **changes, **roles})
    assert isinstance(launcher, SlurmSettings)
    return launcher


def start(
    runs: Sequence[Run], launcher: LocalSettings | SlurmSettings | None = None, **how: Any
) -> Sweep:
    """A sweep of the runs in their store. how: `study`, `pack`."""
    place = Path(runs[0].config.runtime.store)
    chosen = {"study": "quick", "pack": 1} | how
    return sweeps.start(place, chosen["study"], runs, launcher or make_slurm(), chosen["pack"])


def finish(*runs: Run) -> None:
    """Make the runs finished."""
    for run in runs:
        store.create(run)
        store.finish(run, record(run.config, 0.5))


def by_label(runs: Sequence[Run]) -> dict[str, Run]:
    return {run.label: run for run in runs}


def on_devices(runs: Sequence[Run], devices: int) -> tuple[Run, ...]:
    """The same runs, each on so many devices."""
    return tuple(
        replace(run, config=replace(
            run.config, runtime=replace(run.config.runtime, devices=devices)
        ))
        for run in runs
    )  # fmt: skip
