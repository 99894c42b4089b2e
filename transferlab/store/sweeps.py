"""The sweeps of a store, and the jobs that carry them out.

`<store>/.sweeps/STUDY-DIGEST/` holds the fixed configs of all runs and how they are launched, and
below `jobs/` a folder for each job: which packs its tasks train, and how they ended. A job is
recorded before it is submitted, so that nothing is submitted twice.
"""

import contextlib
import logging
import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
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
from transferlab.runtime import files, locks, provenance
from transferlab.store import records
from transferlab.store.manifest import Manifest
from transferlab.store.records import FORMAT

log = logging.getLogger(__name__)
FOLDER = ".sweeps"
LOCK = "lock"
LOCAL = "local"  # the role of a job of the local launcher, which SLURM does not know
EDITED = ".edited.json"
NAME_LENGTH = 60  # characters of a study's name in the names of folders and jobs


@dataclass(frozen=True)
class Sweep:
    """A study that was started: its folder, and how it is launched."""

    folder: Path
    study: str
    launcher: Launcher
    pack: int | None

    @property
    def store(self) -> Path:
        return self.folder.parent.parent

    @cached_property
    def manifest(self) -> Manifest:
        return Manifest.read(self.folder / "runs.json")

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
    if not (folder / "runs.json").exists():
        files.write(folder / "runs.json", lambda file: file.write(manifest.json.encode()))
    raw = {"study": study, "pack": pack, "launcher": launcher_dict(launcher)}
    files.write_json(folder / "sweep.json", {"format": FORMAT, **raw})
    return Sweep(folder, study, launcher, pack)


def read(folder: Path) -> Sweep:
    """The sweep in a folder. Raises: UserError if its record is damaged."""
    path = folder / "sweep.json"
    raw = records.read_json(path)
    try:
        return Sweep(folder, raw["study"], recorded_launcher(raw["launcher"]), raw["pack"])
    except (KeyError, TypeError, AttributeError, UserError) as error:
        raise UserError(
            f"{path} is damaged ({error}): delete its folder and run sweep again"
        ) from error


def find(store: Path, study: str | None = None) -> tuple[Sweep, ...]:
    """The sweeps of a store, of one study or of all; the latest last.

    Raises: UserError if there is none of that study.
    """
    paths = sorted((store / FOLDER).glob("*/sweep.json"), key=lambda path: path.stat().st_mtime)
    sweeps = tuple(read(path.parent) for path in paths)
    if study is None:
        return sweeps
    matches = tuple(sweep for sweep in sweeps if study in (sweep.study, sweep.folder.name))
    if not matches:
        names = ", ".join(sorted({sweep.study for sweep in sweeps})) or "no study"
        raise UserError(f"study={study} was never started in {store}, which has {names}")
    return matches


def prepare(sweep: Sweep, packs: Sequence[Pack], role: str) -> Job:
    """A job of these packs, under a unique name; not yet recorded."""
    key = secrets.token_hex(4)
    folder = sweep.folder / "jobs" / f"{sweep.folder.name.rpartition('-')[0]}-{role}-{key}"
    files.make_folder(folder)
    now = datetime.now().astimezone().isoformat()
    ids = tuple(tuple(run.id for run in pack.runs) for pack in packs)
    code = provenance.code(name for pack in packs for run in pack.runs for name in run.plugins)
    return Job(folder, ids, role, now, (), None, code=code)


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
    files.write_json(job.folder / "job.json", {"format": FORMAT, **record})
    return job


def jobs(sweep: Sweep) -> tuple[Job, ...]:
    """The sweep's jobs, the latest last. Raises: UserError if a record is damaged."""
    jobs = [read_job(path.parent) for path in (sweep.folder / "jobs").glob("*/job.json")]
    return tuple(sorted(jobs, key=lambda job: (job.submitted, job.name)))


def read_job(folder: Path) -> Job:
    """The job in a folder. Raises: UserError if its record is damaged."""
    path = folder / "job.json"
    raw = records.read_json(path)
    try:
        return Job(
            folder,
            tuple(tuple(pack) for pack in raw["packs"]),
            raw["role"],
            raw["submitted"],
            tuple(raw["options"]),
            raw["id"],
            bool(raw.get("superseded")),
            raw.get("code") or {},
        )
    except (KeyError, TypeError) as error:
        raise UserError(f"{path} is damaged ({error!r}): delete its folder") from error


def sweep_of(job: Job) -> Sweep:
    """The sweep that a job belongs to."""
    return read(job.folder.parent.parent)


def runs_of(job: Job, task: int) -> tuple[Run, ...]:
    """The runs of one task of a job. Raises: UserError if the job has no such task."""
    if not 0 <= task < len(job.packs):
        raise UserError(f"{job.folder} has no task {task}: choose 0..{len(job.packs) - 1}")
    sweep = sweep_of(job)
    if unknown := [run for run in job.packs[task] if run not in sweep.manifest.rows]:
        raise UserError(f"{job.folder} is damaged: its sweep has no run {unknown[0]}; sweep again")
    return tuple(sweep.manifest.run(identity, store=sweep.store) for identity in job.packs[task])


def note_edited(job: Job, task: int, difference: str) -> None:
    """Record how the code with which a task starts differs from the submitted one."""
    with contextlib.suppress(UserError):
        files.write_json(job.edited(task), {"format": FORMAT, "difference": difference})


def edited(job: Job) -> dict[int, str]:
    """How the code of its tasks differs from the submitted one, for those of which it does."""
    found = {}
    for path in job.folder.glob(f"*{EDITED}"):
        number = path.name.removesuffix(EDITED)
        if number.isdecimal() and (difference := files.peek(path).get("difference")):
            found[int(number)] = str(difference)
    return found


def note(job: Job, task: int, **values: Any) -> None:
    """Add values to a task's note. Ignores a full disk, since nothing depends on the note."""
    path = job.task(task)
    earlier: Mapping[str, Any] = files.peek(path)
    with contextlib.suppress(UserError):
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


def _held(path: Path) -> AbstractContextManager[locks.Hold]:
    return locks.held(path, lambda: log.info("waiting for another command that submits: %s", path))
