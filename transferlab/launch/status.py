"""The status of every run of a store, from the store and the queue.

The store knows which runs are finished, which process trains a run, and why one failed; the queue
knows which jobs are queued; and `sacct`, where it works, knows how jobs ended that could not record
it.
"""

import contextlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from transferlab import store
from transferlab.errors import Interrupted
from transferlab.experiment.run import LOG, Run
from transferlab.launch import ending, owners, queue
from transferlab.launch.cluster import Cluster, Queued
from transferlab.runtime import reading
from transferlab.runtime.garbage import uncollected
from transferlab.runtime.reading import Damaged, Unreadable
from transferlab.store import schemas, sweeps
from transferlab.store.inventory import Inventory, KnownRun
from transferlab.store.kept import FinishedRuns

STATES = (
    "done", "running", "queued", "failed", "stale", "interrupted", "blocked", "missing", "damaged",
    "unreadable",
)  # fmt: skip
STALE_S = 600  # a heartbeat is due every 20 s, but not during a validation
CLOCKS_S = 1  # by which those of a node and of the file server may differ
# States in which a base blocks its dependents
HOLDING = ("failed", "stale", "blocked", "damaged", "unreadable")


@dataclass(frozen=True)
class RunStatus:
    """One run: `state` is one of STATES, `words` the reason, in one line.

    `job` is its id in the queue, `log` the file of its output; `step` to `left_s` (in s) are known
    while it is trained. `edited` is how its code differs from that with which it was submitted.
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
    edited: str | None = None


@dataclass(frozen=True)
class _Snapshot:
    """What is read once for all runs: the store, which of its runs are finished, the queue by run
    id, how finished tasks ended, the folders of jobs that a local launcher is carrying out, and by
    folder of a job the tasks whose code was edited."""

    store: str
    finished: FinishedRuns
    active: Mapping[str, Queued]
    endings: Mapping[str, str]
    carried_out: frozenset[Path]
    edited: Mapping[Path, Mapping[int, str]]


@uncollected()
def statuses(inventory: Inventory, cluster: Cluster | None) -> tuple[RunStatus, ...]:
    """The status of each run of a store; without a cluster, as far as the store knows it.

    The cluster is queried only if jobs of the store were submitted.

    Raises: UserError if the queue cannot be queried.
    """
    if not (known := inventory.runs):
        return ()
    root = known[0].run.folder.parent
    finished = FinishedRuns(root)
    active = {} if cluster is None else queue.queued_runs_of(inventory.jobs, cluster)
    endings = {} if cluster is None else _endings(known, active, finished, cluster)
    jobs = {entry.job.folder: entry.job for entry in known if entry.job is not None}
    local = {path: job for path, job in jobs.items() if job.role == sweeps.LOCAL}
    carried_out = frozenset(path for path, job in local.items() if sweeps.is_carried_out(job))
    edited = {path: sweeps.edited(job) for path, job in jobs.items()}
    snapshot = _Snapshot(str(root), finished, active, endings, carried_out, edited)
    by_id: dict[str, RunStatus] = {}
    for entry in known:
        by_id[entry.run.id] = _status(entry, by_id.get(entry.run.base_id or ""), snapshot)
    finished.keep()
    return tuple(by_id.values())


def count(statuses: Iterable[RunStatus]) -> dict[str, int]:
    """The number of runs in each state, also where that is 0."""
    counted = Counter(status.state for status in statuses)
    return {state: counted[state] for state in STATES}


def as_record(status: RunStatus) -> dict[str, Any]:
    """The status as a JSON object."""
    return asdict(status)


def _status(known: KnownRun, base: RunStatus | None, snapshot: _Snapshot) -> RunStatus:
    """The status of a run; a record of it that cannot be used is one, too."""
    run, entry = known.run, snapshot.active.get(known.run.id)
    name = run.folder_name
    folder, exists = f"{snapshot.store}/{name}", name in snapshot.finished.folders
    common: dict[str, Any] = {
        "id": run.id,
        "label": run.label,
        "split": run.config.split_label,
        "folder": folder,
        "job": None if entry is None else entry.id,
        "log": _log(known, folder, exists),
    }
    if known.job is not None:
        common["edited"] = snapshot.edited[known.job.folder].get(known.task)
    try:
        return _of_records(known, base, snapshot, exists, common)
    except Damaged as error:
        return RunStatus(state="damaged", words=str(error), **common)
    except Unreadable as error:
        return RunStatus(state="unreadable", words=str(error), **common)


def _of_records(
    known: KnownRun,
    base: RunStatus | None,
    snapshot: _Snapshot,
    exists: bool,
    common: Mapping[str, Any],
) -> RunStatus:
    """The status of a run by its records and the queue. Raises: Damaged, Unreadable."""
    run, entry = known.run, snapshot.active.get(known.run.id)
    if snapshot.finished.has(run):
        return RunStatus(state="done", **common)
    if exists and store.is_owned(run):
        return _owned(store.peek(run.owner_file, schemas.OWNER), entry, common)
    if entry is not None and not entry.pending:
        return RunStatus(state="running", words="starting", **common)
    if base is not None and base.state in HOLDING:
        failed = base.state == "failed"
        reason = f"failed: {base.words}" if failed else f"is {base.state}"
        return RunStatus(state="blocked", words=f"{base.label} {reason}", **common)
    if entry is not None:
        return RunStatus(state="queued", words=_reason(entry, base), **common)
    note = {} if known.job is None else sweeps.read_note(known.job, known.task)
    if known.job is not None and known.job.folder in snapshot.carried_out and not note.get("ended"):
        if note.get("started"):
            return RunStatus(state="running", words="starting", **common)
        return RunStatus(state="queued", words="waiting for a worker process", **common)
    report = snapshot.endings.get(note.get("queued_as") or _identity(known) or "", "")
    ended = _ended(known, note, report, exists, common)
    if ended.state == "missing" and base is not None and base.state == "interrupted":
        waits = f"waits for {base.label}, which is interrupted"
        return replace(ended, words=", ".join(filter(None, (ended.words, waits))))
    return ended


def _owned(owner: Mapping[str, Any], entry: Queued | None, common: Mapping[str, Any]) -> RunStatus:
    """The status of a run whose lock is held."""
    progress: dict[str, Any] = {name: owner.get(name) for name in ("step", "total_steps", "left_s")}
    if entry is None and owners.age_s(owner) > STALE_S and not owners.is_alive(owner):
        words = f"no heartbeat from {owners.who(owner)} since {owner.get('heartbeat')}"
        return RunStatus(state="stale", words=words, **common, **progress)
    return RunStatus(state="running", words=owners.who(owner), **common, **progress)


def _ended(
    known: KnownRun, note: Mapping[str, Any], report: str, exists: bool, common: Mapping[str, Any]
) -> RunStatus:
    """The status of a run that is neither done, running nor queued.

    `report` is how its job ended by SLURM's account, if it had one; `exists`: it has a folder.
    """
    identity, code = note.get("queued_as") or _identity(known), note.get("code")
    common = {**common, "job": identity, "code": code}
    saved = exists and reading.exists(known.run.checkpoint_file)
    cause = ending.cause(note, report)
    reasons = _reasons(known, note, report, exists)
    if cause == ending.OUT_OF_TIME and not saved:  # the next attempt would get no further
        reasons.append(f"SLURM reports {report}")
    if reasons:
        return RunStatus(state="failed", words=", ".join(dict.fromkeys(reasons)), **common)
    owner = store.peek(known.run.owner_file, schemas.OWNER) if exists else {}
    progress: dict[str, Any] = {name: owner.get(name) for name in ("step", "total_steps")}
    started = bool(note.get("started") or owner)
    if cause is not None and (saved or started):
        words = _interrupted(cause, saved=saved, in_time=_in_time(known.run, note))
        return RunStatus(state="interrupted", words=words, **common, **progress)
    if owner:
        words = f"{owners.who(owner)} died without reporting a result"
        return RunStatus(state="stale", words=words, **common, **progress)
    if saved:
        return RunStatus(state="interrupted", words="resumes from its checkpoint", **common)
    if started and code is None and cause is None:
        words = "its process died without reporting a result"
        return RunStatus(state="stale", words=words, **common)
    return RunStatus(state="missing", words=cause or "", **common)


def _in_time(run: Run, note: Mapping[str, Any]) -> bool:
    """Whether a run saved after it was asked to stop: it reported so, or its checkpoint is younger,
    although SLURM killed its process before that had exited."""
    if note.get("code") == Interrupted.exit_code:
        return True
    asked = note.get("asked")
    with contextlib.suppress(OSError):
        saved = run.checkpoint_file.stat().st_mtime
        return isinstance(asked, int | float) and saved >= asked - CLOCKS_S
    return False


def _interrupted(cause: str, *, saved: bool, in_time: bool) -> str:
    """What is left of a run that was asked to stop; `in_time`: it saved because of that."""
    if not saved:
        return f"{cause} before its first checkpoint"
    if cause == ending.STOPPED:
        return "resumes from its checkpoint"
    return f"{cause}, saved" if in_time else f"{cause}, resumes from its checkpoint"


def _reason(entry: Queued, base: RunStatus | None) -> str:
    """Why a job is pending; in its first seconds SLURM reports None."""
    if entry.reason != "None":
        return entry.reason
    return "Dependency" if base is not None and base.state != "done" else ""


def _reasons(known: KnownRun, note: Mapping[str, Any], report: str, exists: bool) -> list[str]:
    """Why a run failed: its error, SLURM's report where that adds to it, else its exit status."""
    failure = store.read_failure(known.run) if exists else None
    own = [] if failure is None else failure.splitlines()[:1]
    return [*own, *ending.failures(note, report, explained=bool(own))]


def _endings(
    known: Sequence[KnownRun],
    active: Mapping[str, Queued],
    finished: FinishedRuns,
    cluster: Cluster,
) -> dict[str, str]:
    """SLURM's report of the ended tasks whose runs are not finished."""
    jobs: dict[str, None] = {}
    for entry in known:
        if entry.job is None or entry.job.id is None or entry.run.id in active:
            continue
        if not _is_done(entry.run, finished):
            jobs[entry.job.id] = None
    return cluster.endings(list(jobs)) if jobs else {}


def _is_done(run: Run, finished: FinishedRuns) -> bool:
    try:
        return finished.has(run)
    except (Damaged, Unreadable):
        return True  # however its job ended, that is what there is to be said


def _identity(known: KnownRun) -> str | None:
    if known.job is None or known.job.id is None:
        return None
    return f"{known.job.id}_{known.task}"


def _log(known: KnownRun, folder: str, exists: bool) -> str | None:
    """The file of its output: that of its job, else of its own process."""
    if known.job is not None:
        return str(known.job.log(known.task))
    return f"{folder}/{LOG}" if exists else None
