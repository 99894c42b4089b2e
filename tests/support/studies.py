"""Small studies, launchers and hand-made stores for the tests of `launch` and `status`."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from support.records import made

from transferlab import store
from transferlab.experiment import plan
from transferlab.experiment.launcher import ROLES, LocalSettings, SlurmSettings, build_launcher
from transferlab.experiment.plan import Node
from transferlab.store import sweeps
from transferlab.store.sweeps import Sweep

RESULT = {"weights_sha256": "0" * 64, "metrics": {"top1_final": 0.5}}
NOTHING = dict.fromkeys(
    ("partition", "account", "qos", "time", "gres", "cpus", "memory", "constraint", "throttle",
     "extra")
)  # fmt: skip
# The runs of `make_runs`: two bases and what starts from them
LABELS = ("A1B", "A2B", "B1B")


def make_runs(place: Path, labels: Sequence[str] = LABELS, **changes: Any) -> tuple[Node, ...]:
    """The plan of runs by their labels (`A3B+`, `baseA`), bases first, in the store `place`.

    changes: leaves of the config, with `__` for the dot.
    """
    leaves = {"runtime.store": str(place), **{k.replace("__", "."): v for k, v in changes.items()}}
    return plan.order(made(leaves, variant=name, n=None, target=None) for name in labels)


def make_local(**changes: Any) -> LocalSettings:
    raw = {"name": "local", "jobs": 1, "threads": 1, "gpus": None, "fail_fast": False}
    launcher = build_launcher({**raw, **changes})
    assert isinstance(launcher, LocalSettings)
    return launcher


def make_slurm(**changes: Any) -> SlurmSettings:
    """A launcher that asks for nothing but an hour; `base=dict(...)` and so on change a role."""
    raw = {**NOTHING, "name": "slurm", "time": "1:00:00", "extra": [], "threads": 1,
           "signal_s": 120, "requeues": 2, "template": None}  # fmt: skip
    roles = {role: {**NOTHING, **changes.pop(role, {})} for role in ROLES}
    launcher = build_launcher({**raw, **changes, **roles})
    assert isinstance(launcher, SlurmSettings)
    return launcher


def start(
    nodes: Sequence[Node], launcher: LocalSettings | SlurmSettings | None = None, **how: Any
) -> Sweep:
    """A sweep of the runs in their store. how: `study`, `pack`."""
    place = Path(nodes[0].config.runtime.store)
    chosen = {"study": "quick", "pack": 1} | how
    return sweeps.start(place, chosen["study"], nodes, launcher or make_slurm(), chosen["pack"])


def finish(*nodes: Node) -> None:
    """Make the runs finished."""
    for node in nodes:
        run = store.locate(node.config, node.id)
        run.folder.mkdir(parents=True, exist_ok=True)
        store.create(run, node.config)
        store.finish(run, RESULT)


def by_label(nodes: Sequence[Node]) -> dict[str, Node]:
    return {node.label: node for node in nodes}


def on_devices(nodes: Sequence[Node], devices: int) -> tuple[Node, ...]:
    """The same runs, each on so many devices."""
    return tuple(
        replace(node, config=replace(
            node.config, runtime=replace(node.config.runtime, devices=devices)
        ))
        for node in nodes
    )  # fmt: skip
