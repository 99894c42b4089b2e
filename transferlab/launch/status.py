"""What became of every run that was asked for, from the store and the queue.

The store says what is finished, who trains what, and what failed of what; the queue what waits; and
`sacct`, where there is one, how jobs ended that could not say so themselves.
"""

import os
import socket
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from transferlab import store
from transferlab.errors import Interrupted
from transferlab.launch import slurm
from transferlab.launch.cluster import Cluster, Queued
from transferlab.launch.supervisor import Ending
from transferlab.runtime import files
from transferlab.store import sweeps
from transferlab.store.inventory import KnownRun

STATES = ("done", "running", "queued", "failed", "stale", "interrupted", "blocked", "missing")
STALE_S = 600  # a heartbeat is due every 20 s, but a validation may lie in between
# Endings of a job that its process could not tell of
ABNORMAL = ("TIMEOUT", "OUT_OF_MEMORY", "NODE_FAIL", "BOOT_FAIL", "DEADLINE", "PREEMPTED")
HOLDING = ("failed", "stale", "interrupted", "blocked")  # a base in such a state is not coming


@dataclass(frozen=True)
class RunStatus:
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
class _Seen:
    """What was looked at once for all runs: the store's folders, the queue by run id, how tasks
    that are over ended, and the jobs of local launchers that are at work."""

    there: frozenset[str]
    active: Mapping[str, Queued]
    endings: Mapping[str, str]
    carried_out: frozenset[Path]


def statuses(known: Sequence[KnownRun], cluster: Cluster | None) -> tuple[RunStatus, ...]:
    """The status of each run; without a cluster, as far as the store says.

    The cluster is asked only about stores of which something was submitted.

    Raises: UserError if the queue cannot be asked.
    """
    if not known:
        return ()
    place = known[0].run.folder.parent
    there = store.folder_names(place)
    active = {} if cluster is None else slurm.in_queue(place, cluster)
    endings = {} if cluster is None else _endings(known, active, there, cluster)
    jobs = {entry.job.folder: entry.job for entry in known if entry.job is not None}
    local = {path: job for path, job in jobs.items() if job.role == sweeps.LOCAL}
    carried_out = frozenset(path for path, job in local.items() if sweeps.is_carried_out(job))
    seen = _Seen(there, active, endings, carried_out)
    found: dict[str, RunStatus] = {}
    for entry in known:
        found[entry.run.id] = _status(entry, found.get(entry.run.base_id or ""), seen)
    return tuple(found.values())


def count(found: Iterable[RunStatus]) -> dict[str, int]:
    """How many runs are in each state, all states named."""
    counted = Counter(status.state for status in found)
    return {state: counted[state] for state in STATES}


def as_record(status: RunStatus) -> dict[str, Any]:
    """The status as a JSON object."""
    return asdict(status)


def _status(known: KnownRun, base: RunStatus | None, seen: _Seen) -> RunStatus:
    run, entry = known.run, seen.active.get(known.run.id)
    here = run.folder_name in seen.there
    common: dict[str, Any] = {
        "id": run.id,
        "label": run.label,
        "split": run.config.split_label,
        "folder": str(run.folder),
        "job": None if entry is None else entry.id,
        "log": _log(known, here),
    }
    if here and run.result_file.exists():
        return RunStatus(state="done", **common)
    if here and store.is_owned(run):
        return _owned(files.peek(run.owner_file), entry, common)
    if entry is not None and not entry.pending:
        return RunStatus(state="running", words="starting", **common)
    if base is not None and base.state in HOLDING:
        failed = base.state == "failed"
        why = f"failed: {base.words}" if failed else f"is {base.state}"
        return RunStatus(state="blocked", words=f"{base.label} {why}", **common)
    if entry is not None:
        return RunStatus(state="queued", words=_reason(entry, base), **common)
    note = {} if known.job is None else files.peek(known.job.task(known.task))
    if known.job is not None and known.job.folder in seen.carried_out and not note.get("ended"):
        if note.get("started"):
            return RunStatus(state="running", words="starting", **common)
        return RunStatus(state="queued", words="waits for a worker process", **common)
    said = seen.endings.get(note.get("queued_as") or _identity(known) or "", "")
    return _ended(known, note, said, here, common)


def _owned(owner: Mapping[str, Any], entry: Queued | None, common: Mapping[str, Any]) -> RunStatus:
    """The state of a run whose lock somebody holds."""
    progress: dict[str, Any] = {name: owner.get(name) for name in ("step", "total_steps", "left_s")}
    if entry is None and _age_s(owner) > STALE_S and not _alive(owner):
        words = f"no heartbeat of {_who(owner)} since {owner.get('heartbeat')}"
        return RunStatus(state="stale", words=words, **common, **progress)
    return RunStatus(state="running", words=_who(owner), **common, **progress)


def _ended(
    known: KnownRun, note: Mapping[str, Any], said: str, here: bool, common: Mapping[str, Any]
) -> RunStatus:
    """The state of a run that is neither done nor at work nor waiting for anything.

    `said` is how SLURM says that its job ended, if it was one.
    """
    code = note.get("code")
    identity = note.get("queued_as") or _identity(known)
    common = {**common, "job": identity, "code": code}
    if reasons := _reasons(known, code, said, here):
        return RunStatus(state="failed", words=", ".join(reasons), **common)
    cancelled = ["cancelled"] if said.startswith("CANCELLED") else []
    owner = files.peek(known.run.owner_file) if here else {}
    if owner:
        words = f"{_who(owner)} is gone without a word"
        progress: dict[str, Any] = {name: owner.get(name) for name in ("step", "total_steps")}
        return RunStatus(state="stale", words=", ".join([*cancelled, words]), **common, **progress)
    if here and known.run.checkpoint_file.exists():
        words = ", ".join([*cancelled, "goes on from its checkpoint"])
        return RunStatus(state="interrupted", words=words, **common)
    if code == Interrupted.exit_code:
        words = ", ".join([*cancelled, "before its first checkpoint"])
        return RunStatus(state="interrupted", words=words, **common)
    if note.get("started") and code is None and not cancelled:
        return RunStatus(state="stale", words="its process is gone without a word", **common)
    return RunStatus(state="missing", words=", ".join(cancelled), **common)


def _reason(entry: Queued, base: RunStatus | None) -> str:
    """Why a job waits; in its first seconds SLURM itself does not say."""
    if entry.reason != "None":
        return entry.reason
    return "Dependency" if base is not None and base.state != "done" else ""


def _reasons(known: KnownRun, code: object, said: str, here: bool) -> list[str]:
    """Why a run failed: its own words, SLURM's where they say more, else its exit status."""
    reasons: dict[str, None] = {}
    failure = files.peek(known.run.failure_file) if here else {}
    if failure.get("error"):
        reasons[str(failure["error"]).splitlines()[0]] = None
    if said and said.split()[0] in ABNORMAL:
        reasons[f"SLURM says {said}"] = None
    if isinstance(code, int) and code not in (0, Interrupted.exit_code):
        reasons[Ending(code).words] = None
    elif said.startswith("FAILED") and not reasons and code != Interrupted.exit_code:
        reasons[f"SLURM says {said}"] = None
    return list(reasons)


def _endings(
    known: Sequence[KnownRun], active: Mapping[str, Queued], there: frozenset[str], cluster: Cluster
) -> dict[str, str]:
    """What SLURM says of the tasks that are over and whose runs are not finished."""
    jobs: dict[str, None] = {}
    for entry in known:
        done = entry.run.folder_name in there and entry.run.result_file.exists()
        over = not done and entry.run.id not in active
        if over and entry.job is not None and entry.job.id is not None:
            jobs[entry.job.id] = None
    return cluster.endings(list(jobs)) if jobs else {}


def _identity(known: KnownRun) -> str | None:
    if known.job is None or known.job.id is None:
        return None
    return f"{known.job.id}_{known.task}"


def _log(known: KnownRun, here: bool) -> str | None:
    """Where its output goes: of its job, else of its own process."""
    if known.job is not None:
        return str(known.job.log(known.task))
    return str(known.run.log_file) if here else None


def _who(owner: Mapping[str, Any]) -> str:
    if "pid" not in owner:
        return "a process"
    return f"process {owner['pid']} on {owner.get('host', '?')}"


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
    except ProcessLookupError:
        return False
    except OSError:  # it is somebody else's
        pass
    return True
