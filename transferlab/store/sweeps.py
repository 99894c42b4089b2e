"""The sweeps of a store, and the jobs that carry them out.

`<store>/.sweeps/STUDY-DIGEST/` holds the fixed configs of all runs and how they are launched, and
below `jobs/` a folder for each job: which packs its tasks train, and how they ended. A job is
recorded before it is submitted, so that nothing is submitted twice.
"""

import contextlib
import logging
import os
import re
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import IO, Any

from transferlab.errors import UserError
from transferlab.experiment.launcher import Launcher, launcher_dict, recorded_launcher
from transferlab.experiment.plan import Pack
from transferlab.experiment.run import Run
from transferlab.runtime import files, locks, provenance, reading
from transferlab.runtime.reading import Damaged, Unreadable
from transferlab.store import reader, schemas, trust
from transferlab.store.manifest import Manifest
from transferlab.store.schemas import FORMAT

log = logging.getLogger(__name__)
FOLDER = ".sweeps"
LOCK = "lock"
JOBS = "jobs"
RECORD, RUNS, JOB_RECORD = "sweep.json", "runs.json", "job.json"
LOCAL = "local"  # the role of a job of the local launcher, which SLURM does not know
EDITED = ".edited.json"
NAME_LENGTH = 60  # characters of a study's name in the names of folders and jobs


@dataclass(frozen=True)
class Sweep:
    """A study that was started: its folder, how it is launched, and the user id of the owner of
    the record that says so."""

    folder: Path
    study: str
    launcher: Launcher
    pack: int | None
    owner: int

    @property
    def store(self) -> Path:
        return self.folder.parent.parent

    @cached_property
    def manifest(self) -> Manifest:
        return Manifest.read(self.folder / RUNS)

    def runs(self) -> tuple[Run, ...]:
        """All its runs, bases first, with the configs of that time."""
        return self.manifest.runs(store=self.store)


@dataclass(frozen=True)
class Job:
    """One call of `sbatch`, or of the local launcher: task k trains the runs `packs[k]`.

    `role` is that of the packs, or LOCAL. `id` is SLURM's, None until it is known. `superseded`: it
    was submitted without an answer, and its runs again in another job; it must not train. `code` is
    what ran when it was submitted, as `provenance.code`; empty if that is not known.
    """

    folder: Path
    packs: tuple[tuple[str, ...], ...]
    role: str
    submitted: str
    options: tuple[str, ...]
    id: str | None
    owner: int  # the user id of the owner of its record
    superseded: bool = False
    code: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Its unique name in the queue."""
        return self.folder.name

    def log(self, task: int) -> Path:
        return self.folder / f"{task}.log"

    def edited(self, task: int) -> Path:
        """The file that says how the code of a task differs from the submitted one, if it does."""
        return self.folder / f"{task}{EDITED}"

    def task(self, task: int) -> Path:
        """The file in which a task records its id in the queue, and how it ended."""
        return self.folder / f"{task}.json"


def start(
    store: Path, study: str, runs: Sequence[Run], launcher: Launcher, pack: int | None
) -> Sweep:
    """Record a sweep; the same runs in the same store are one sweep.

    Raises: UserError if the store cannot be written.
    """
    manifest = Manifest.of(runs)
    name = re.sub(r"[^\w.+-]+", "_", study).lstrip(".")[:NAME_LENGTH] or "study"
    folder = store / FOLDER / f"{name}-{manifest.digest}"
    files.make_folder(folder)
    if not _holds(folder / RUNS, manifest):
        files.write(folder / RUNS, lambda file: file.write(manifest.json.encode()))
    raw = {"study": study, "pack": pack, "launcher": launcher_dict(launcher)}
    files.write_json(folder / RECORD, {"format": FORMAT, **raw})
    sweep = Sweep(folder, study, launcher, pack, os.geteuid())
    sweep.__dict__["manifest"] = manifest  # the same as in the file, without reading it
    return sweep


def read(folder: Path) -> Sweep:
    """The sweep in a folder. Raises: Damaged, Unreadable."""
    path = folder / RECORD
    record = reader.require(path, schemas.SWEEP)
    raw = record.values
    try:
        launcher = recorded_launcher(raw["launcher"])
    except UserError as error:
        raise reader.damaged(path, error, schemas.SWEEP) from error
    return Sweep(folder, raw["study"], launcher, raw["pack"], record.owner)


def prepare(sweep: Sweep, packs: Sequence[Pack], role: str) -> Job:
    """A job of these packs, under a unique name; not yet recorded."""
    key = secrets.token_hex(4)
    folder = sweep.folder / JOBS / f"{sweep.folder.name.rpartition('-')[0]}-{role}-{key}"
    files.make_folder(folder)
    now = datetime.now().astimezone().isoformat()
    ids = tuple(tuple(run.id for run in pack.runs) for pack in packs)
    code = provenance.code(name for pack in packs for run in pack.runs for name in run.plugins)
    return Job(folder, ids, role, now, (), None, os.geteuid(), code=code)


def record(job: Job) -> Job:
    """Write the job's record: before it is submitted, and again with its id."""
    record = {
        "packs": job.packs,
        "role": job.role,
        "submitted": job.submitted,
        "options": job.options,
        "id": job.id,
        "superseded": job.superseded,
        "code": dict(job.code),
    }
    files.write_json(job.folder / JOB_RECORD, {"format": FORMAT, **record})
    return job


def jobs(sweep: Sweep) -> tuple[Job, ...]:
    """The sweep's jobs, the latest last. Raises: Damaged, Unreadable."""
    parent = sweep.folder / JOBS
    folders = (parent / name for name in reading.names(parent))
    return in_order(read_job(path) for path in folders if reading.exists(path / JOB_RECORD))


def in_order(jobs: Iterable[Job]) -> tuple[Job, ...]:
    """Jobs by the time of their submission, the latest last."""
    return tuple(sorted(jobs, key=lambda job: (job.submitted, job.name)))


def read_job(folder: Path) -> Job:
    """The job in a folder. Raises: Damaged, Unreadable."""
    record = reader.require(folder / JOB_RECORD, schemas.JOB)
    raw = record.values
    packs = tuple(map(tuple, raw["packs"]))
    options = tuple(raw["options"])
    return Job(folder, packs, raw["role"], raw["submitted"], options, raw["id"], record.owner,
               raw.get("superseded", False), raw.get("code") or {})  # fmt: skip


def sweep_of(job: Job) -> Sweep:
    """The sweep that a job belongs to."""
    return read(job.folder.parent.parent)


def require_trusted(sweep: Sweep, runs: Iterable[Run]) -> None:
    """Raises: UserError if another user wrote the sweep, and it names code that its launcher or
    these runs would run."""
    code = trust.of_launcher(sweep.launcher)
    trust.require(sweep.folder / RECORD, sweep.owner, code, folder=sweep.store)
    _require_trusted_runs(sweep, runs)


def _require_trusted_runs(sweep: Sweep, runs: Iterable[Run]) -> None:
    code = trust.of_configs(run.config for run in runs)
    trust.require(sweep.folder / RUNS, sweep.manifest.owner, code, folder=sweep.store)


def runs_of(job: Job, task: int) -> tuple[Run, ...]:
    """The runs of one task of a job, to be trained.

    Raises: UserError if the job has no such task, or another user's sweep names code.
    """
    if not 0 <= task < len(job.packs):
        raise UserError(f"{job.folder} has no task {task}: choose 0..{len(job.packs) - 1}")
    sweep = sweep_of(job)
    if unknown := [run for run in job.packs[task] if run not in sweep.manifest.rows]:
        reason = f"its sweep has no run {unknown[0]}"
        raise reader.damaged(job.folder / JOB_RECORD, reason, schemas.JOB)
    runs = tuple(sweep.manifest.run(run, store=sweep.store) for run in job.packs[task])
    _require_trusted_runs(sweep, runs)
    return runs


def note_edited(job: Job, task: int, difference: str) -> None:
    """Record how the code with which a task starts differs from the submitted one."""
    with contextlib.suppress(UserError):
        files.write_json(job.edited(task), {"format": FORMAT, "difference": difference})


def edited(job: Job) -> dict[int, str]:
    """How the code of its tasks differs from the submitted one, for those of which it does."""
    found: dict[int, str] = {}
    try:
        names = reading.names(job.folder)
    except Unreadable:  # the status of its runs says so
        return found
    for name in names:
        number = name.removesuffix(EDITED)
        if number != name and number.isdecimal():
            record = reader.peek(job.folder / name, schemas.EDITED)
            if "difference" in record:
                found[int(number)] = record["difference"]
    return found


def read_note(job: Job, task: int) -> dict[str, Any]:
    """How a task was started, and how it ended; empty if it was not.

    Raises: Damaged, Unreadable.
    """
    return reader.read(job.task(task), schemas.NOTE) or {}


def note(job: Job, task: int, **values: Any) -> None:
    """Add values to a task's note. Ignores a full disk, since nothing depends on the note."""
    assert values.keys() <= schemas.Note.__annotations__.keys(), "a value that nothing reads"
    path = job.task(task)
    with contextlib.suppress(UserError):
        earlier = reader.peek(path, schemas.NOTE)
        files.write_json(path, {"format": FORMAT, **earlier, **values})


@contextlib.contextmanager
def submitting(store: Path) -> Iterator[IO[bytes]]:
    """Hold the lock on the store's submissions, waiting for another command that submits.

    Yields the open lock file. `sbatch` inherits it, so that others wait for a submission under way
    even if its `sweep` was killed.
    """
    with _held(store / FOLDER / LOCK) as hold:
        yield hold.file


@contextlib.contextmanager
def carrying_out(job: Job) -> Iterator[None]:
    """Hold a lock that shows `status` that a local launcher carries out the job."""
    with _held(job.folder / LOCK):
        yield


def is_carried_out(job: Job) -> bool:
    """Whether a local launcher carries out the job."""
    return locks.is_held(job.folder / LOCK)


def _holds(path: Path, manifest: Manifest) -> bool:
    """Whether the file is that of the manifest, and this user's. Another is replaced: the name of
    its folder is a digest, and what is in it will be trained."""
    try:
        content = reading.read(path, limit=schemas.MANIFEST.limit)
    except (Damaged, Unreadable):
        return False
    own = content is not None and content.owner == os.geteuid()
    return own and content is not None and content.data == manifest.json.encode()


def _held(path: Path) -> AbstractContextManager[locks.Hold]:
    return locks.held(path, lambda: log.info("waiting for another command that submits: %s", path))
