"""What became of every run that was asked for, from the store and the queue.

The store says what is finished, who trains what, and what failed of what; the queue what waits; and
`sacct`, where there is one, how jobs ended that could not say so themselves.
"""

import os
import re
import socket
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from transferlab import config as configs
from transferlab import plan, store
from transferlab.errors import Interrupted, UserError
from transferlab.launch import slurm, sweeps
from transferlab.launch.cluster import Cluster, Queued
from transferlab.launch.supervisor import Ending
from transferlab.launch.sweeps import Job, Sweep
from transferlab.plan import Node
from transferlab.store import Run

STATES = ("done", "running", "queued", "failed", "stale", "interrupted", "blocked", "missing")
STALE_S = 600  # a heartbeat is due every 20 s, but a validation may lie in between
HOPELESS = "DependencyNeverSatisfied"


@dataclass(frozen=True)
class State:
    """One run: `state` is one of STATES, `words` why, in one line.

    `job` is its id in the queue, `log` where its output went; `step` to `left_s` (in s) are there
    while it is trained.
    """

    id: str
    label: str
    split: str
    state: str
    words: str = ""
    job: str | None = None
    log: str | None = None
    code: int | None = None
    folder: str = ""
    step: int | None = None
    total_steps: int | None = None
    left_s: float | None = None


@dataclass(frozen=True)
class Known:
    """A run that was asked for: its node, its place, and the latest sweep and job that have it."""

    node: Node
    run: Run
    sweep: Sweep | None
    job: Job | None
    task: int


def known(place: Path, study: str | None = None) -> tuple[Known, ...]:
    """The runs of a study, or all that the store knows, bases first.

    Raises: UserError if a record is damaged, or the store or the study is not there.
    """
    if not place.is_dir():
        raise UserError(
            f"{place} is not a store: name one with --store DIR, or fill it with "
            "python -m transferlab sweep +study=quick"
        )
    found: dict[str, Known] = {}
    for sweep in sweeps.find(place, study):
        jobs = {
            run: (job, task)
            for job in sweeps.jobs(sweep)
            for task, pack in enumerate(job.packs)
            for run in pack
        }
        for node in sweep.nodes():
            job, task = jobs.get(node.id, (None, 0))
            earlier = found.get(node.id)
            if job is None and earlier is not None:
                job, task = earlier.job, earlier.task
            run = store.locate(node.config, node.id)
            found[node.id] = Known(node, run, sweep, job, task)
    if study is None:
        found |= {run.node.id: run for run in _single(place, found)}
    return tuple(sorted(found.values(), key=lambda run: run.node.base is not None))


def states(runs: Sequence[Known], cluster: Cluster | None) -> tuple[State, ...]:
    """The state of each run; without a cluster, as far as the store says.

    Raises: UserError if the queue cannot be asked.
    """
    place = None if not runs else runs[0].run.folder.parent
    active: Mapping[str, Queued] = {}
    if cluster is not None and place is not None:
        active = slurm.in_queue(place, cluster)
    there = frozenset() if place is None else store.folders(place)
    endings = _endings(runs, active, there, cluster)
    found: dict[str, State] = {}
    for run in runs:
        base = found.get(run.node.base or "")
        found[run.node.id] = _state(run, active.get(run.node.id), base, there, endings)
    return tuple(found.values())


def count(found: Iterable[State]) -> dict[str, int]:
    """How many runs are in each state, all states named."""
    counted = Counter(state.state for state in found)
    return {state: counted[state] for state in STATES}


def as_record(state: State) -> dict[str, Any]:
    """The state as a JSON object."""
    return asdict(state)


def _state(
    known: Known,
    entry: Queued | None,
    base: State | None,
    there: frozenset[str],
    endings: Mapping[str, str],
) -> State:
    run, node = known.run, known.node
    common: dict[str, Any] = {
        "id": node.id,
        "label": node.label,
        "split": node.config.split_label,
        "folder": str(run.folder),
        "job": None if entry is None else entry.id,
        "log": None if known.job is None else str(known.job.log(known.task)),
    }
    here = run.folder.name in there
    if here and run.result.exists():
        return State(state="done", **common)
    owner = store.peek(run.owner) if here else {}
    progress: dict[str, Any] = {name: owner.get(name) for name in ("step", "total_steps", "left_s")}
    if here and store.is_owned(run):
        if entry is None and _age_s(owner) > STALE_S and not _alive(owner):
            words = f"no heartbeat of process {_who(owner)} since {owner.get('heartbeat')}"
            return State(state="stale", words=words, **common, **progress)
        return State(state="running", words=_doing(owner), **common, **progress)
    if entry is not None:
        if not entry.pending:
            return State(state="running", words="starting", **common)
        if entry.reason == HOPELESS:
            return State(state="blocked", words="its base's job failed", **common)
        return State(state="queued", words=entry.reason, **common)
    if owner:
        words = f"process {_who(owner)} is gone without a word"
        return State(state="stale", words=words, **common, **progress)
    if base is not None and base.state in ("failed", "stale", "blocked", "missing", "interrupted"):
        why = f": {base.words}" if base.words else ""
        return State(state="blocked", words=f"{base.label} is {base.state}{why}", **common)
    return _ended(known, common, here, endings)


def _ended(
    known: Known, common: Mapping[str, Any], here: bool, endings: Mapping[str, str]
) -> State:
    """The state of a run that is neither done nor at work nor waiting for anything."""
    failure = store.peek(known.run.failure) if here else {}
    note = {} if known.job is None else store.peek(known.job.task(known.task))
    code, identity = note.get("code"), _identity(known, note)
    said = endings.get(identity or "")
    if isinstance(code, int) and code == Interrupted.exit_code and not failure:
        words = "saved, goes on from there"
        return State(state="interrupted", words=words, code=code, **common)
    if said and said.startswith("CANCELLED") and not failure:
        return State(state="missing", words="cancelled", **{**common, "job": identity})
    parts = [str(failure["error"]).splitlines()[0]] if failure.get("error") else []
    if said and not said.startswith(("COMPLETED", "PENDING", "RUNNING")):
        parts.append(f"SLURM says {said}")
    elif isinstance(code, int) and code not in (0, Interrupted.exit_code):
        parts.append(Ending(code).words)
    elif note.get("started") and code is None and not failure:
        parts.append("its job is gone without a word")
    if parts:
        common = {**common, "job": common["job"] or identity, "code": code}
        return State(state="failed", words=", ".join(dict.fromkeys(parts)), **common)
    words = "goes on from its checkpoint" if here and known.run.checkpoint.exists() else ""
    return State(state="missing", words=words, **common)


def _endings(
    runs: Sequence[Known],
    active: Mapping[str, Queued],
    there: frozenset[str],
    cluster: Cluster | None,
) -> dict[str, str]:
    """What SLURM says of the tasks that are over and whose runs are not finished."""
    if cluster is None:
        return {}
    ids: dict[str, None] = {}
    for run in runs:
        done = run.run.folder.name in there and run.run.result.exists()
        if run.job is None or run.job.id is None or run.node.id in active or done:
            continue
        ids[f"{run.job.id}_{run.task}"] = None
    return cluster.endings(list(ids))


def _identity(known: Known, note: Mapping[str, Any]) -> str | None:
    if note.get("queued_as"):
        return str(note["queued_as"])
    if known.job is None or known.job.id is None:
        return None
    return f"{known.job.id}_{known.task}"


def _single(place: Path, found: Mapping[str, Known]) -> Iterator[Known]:
    """Runs that no sweep has: each was trained by a command of its own."""
    for name in sorted(store.folders(place)):
        identity = name.rpartition("-")[2]
        folder = place / name
        if identity in found or not re.fullmatch(r"[0-9a-f]{12}", identity):
            continue
        record = store.peek(folder / "config.json")
        try:
            config = configs.build(record["config"])
            same = configs.run_id(config) == identity
        except (KeyError, TypeError, UserError, AssertionError):
            continue
        if same:
            config = configs.vary(config, {"runtime.store": str(place)})
            _, _, base = configs.identify(config)
            run = Run(identity, config.label, folder)
            yield Known(plan.Node(identity, base, config), run, None, None, 0)


def _doing(owner: Mapping[str, Any]) -> str:
    return f"process {_who(owner)}"


def _who(owner: Mapping[str, Any]) -> str:
    return f"{owner.get('pid', '?')} on {owner.get('host', '?')}"


def _age_s(owner: Mapping[str, Any]) -> float:
    try:
        beat = datetime.strptime(str(owner.get("heartbeat")), "%Y-%m-%dT%H:%M:%S%z")
    except ValueError:
        return 0.0
    return time.time() - beat.timestamp()


def _alive(owner: Mapping[str, Any]) -> bool:
    """Whether its process lives, if it is one of this machine."""
    if owner.get("host") != socket.gethostname() or not isinstance(owner.get("pid"), int):
        return False
    try:
        os.kill(owner["pid"], 0)
    except OSError:
        return False
    return True
