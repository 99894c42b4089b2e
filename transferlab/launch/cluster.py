"""SLURM through its commands: submit, query, cancel, requeue. Knows nothing about runs.

Commands are lists of arguments, never a line for a shell. `sacct` is optional.
"""

import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import IO, Protocol

from transferlab.errors import UserError
from transferlab.runtime import commands

TIMEOUT_S = 120
RETRY_S = (1, 2, 4, 8)  # a controller that is restarting responds soon
MAX_ARRAY = 1001  # SLURM's default
FORMAT = "%i|%T|%U|%u|%j|%r"
BATCH = 1000  # jobs of one query
UNKNOWN = "Invalid job id specified"  # of squeue, if it is asked for one job that has left
NO_ANSWER = "no answer"
UNREACHABLE = re.compile(
    f"{NO_ANSWER}|Unable to contact slurm controller|timed out|Connection refused", re.I
)
SCRUBBED = ("SLURM_", "SQUEUE_", "SACCT_", "SCANCEL_")


@dataclass(frozen=True)
class Queued:
    """An entry of the queue: a task of an array. `reason` is why it is pending, `uid` and `user`
    are the number and the name of the one who submitted it."""

    id: str
    state: str
    uid: int
    user: str
    name: str
    reason: str

    @property
    def job(self) -> str:
        """The id of the whole array."""
        return self.id.partition("_")[0]

    @property
    def task(self) -> int:
        return int(self.id.partition("_")[2] or 0)

    @property
    def pending(self) -> bool:
        return self.state == "PENDING"


class Refused(UserError):
    """SLURM rejected the job: none of its tasks are in the queue."""


class Cluster(Protocol):
    """The interface to SLURM that a launcher needs; tests have an implementation in memory."""

    def submit(self, options: Sequence[str], script: str, command: Sequence[str], *,
               hold: IO[bytes]) -> str: ...  # fmt: skip

    def queue(self, jobs: Sequence[str], names: Sequence[str]) -> tuple[Queued, ...]: ...

    def identities(self, names: Sequence[str]) -> dict[str, str]: ...

    def max_array(self) -> int: ...

    def cancel(self, ids: Sequence[str]) -> None: ...

    def requeue(self, identity: str) -> None: ...

    def endings(self, jobs: Sequence[str]) -> dict[str, str]: ...


class SlurmCluster:
    """The cluster of the SLURM commands on the PATH."""

    def submit(
        self, options: Sequence[str], script: str, command: Sequence[str], *, hold: IO[bytes]
    ) -> str:
        """Call `sbatch`; the new job's id.

        `hold` stays open until sbatch has ended, even if this process dies.

        Raises: Refused with sbatch's message; UserError if sbatch did not report the outcome.
        """
        command = ["sbatch", "--parsable", *options, script, *command]
        done = self._call(command, keep=(hold.fileno(),))
        last_line = done.stdout.strip().rpartition("\n")[2]  # `123;cluster`; a site may print more
        identity = re.match(r"\d+(?=;|$)", last_line)
        if done.returncode == 0 and identity:
            return identity[0]
        if done.returncode and not UNREACHABLE.search(done.stderr):
            raise Refused(f"sbatch refused the job: {_error(done)}")
        raise UserError(f"sbatch did not report whether it accepted the job ({_error(done)})")

    def queue(self, jobs: Sequence[str], names: Sequence[str]) -> tuple[Queued, ...]:
        """The jobs with these ids or names that have not ended, one entry per task, of whichever
        user. Raises: UserError."""
        selections = [f"--jobs={','.join(batch)}" for batch in _batches(jobs)]
        selections += [f"--name={','.join(batch)}" for batch in _batches(names)]
        entries: dict[str, Queued] = {}
        for selection in selections:
            command = ["squeue", selection, "--noheader", "--array", f"--format={FORMAT}"]
            for line in self._query(command, missing=UNKNOWN).splitlines():
                identity, *others = line.strip().split("|", 5)
                if len(others) == 5 and others[1].isdigit():
                    state, uid, user, name, reason = others
                    entries[identity] = Queued(identity, state, int(uid), user, name, reason)
        return tuple(entries.values())

    def identities(self, names: Sequence[str]) -> dict[str, str]:
        """The ids of the jobs with these names that SLURM knows, queued or ended, by name.

        Raises: UserError.
        """
        known = {entry.name: entry.job for entry in self.queue([], names)}
        for batch in _batches([name for name in names if name not in known]):
            command = ["sacct", "-X", "-n", "-P", "-o", "JobID,JobName", "-S", "now-30days",
                       f"--name={','.join(batch)}"]  # fmt: skip
            done = self._call(command, missing_ok=True)
            for line in done.stdout.splitlines() if done.returncode == 0 else ():
                identity, _, name = line.partition("|")
                known[name] = identity.partition("_")[0]
        return {name: known[name] for name in names if name in known}

    def max_array(self) -> int:
        """The maximum number of tasks in an array."""
        match = re.search(r"^MaxArraySize\s*=\s*(\d+)", self._query(["scontrol", "show", "config"]),
                          re.MULTILINE)  # fmt: skip
        return int(match[1]) if match else MAX_ARRAY

    def cancel(self, ids: Sequence[str]) -> None:
        """Cancel jobs or tasks. Raises: UserError."""
        for start in range(0, len(ids), 200):
            # quiet: some may have just ended
            self._query(["scancel", "--quiet", *ids[start : start + 200]])

    def requeue(self, identity: str) -> None:
        """Requeue a running job under its id. Raises: UserError."""
        self._query(["scontrol", "requeue", identity])

    def endings(self, jobs: Sequence[str]) -> dict[str, str]:
        """How the tasks of arrays ended, by task, as far as SLURM still knows.

        `TIMEOUT`, `FAILED 1:0` (exit status and signal). Some may not have ended: `RUNNING`.
        """
        endings: dict[str, str] = {}
        for start in range(0, len(jobs), 200):
            selected = ",".join(jobs[start : start + 200])
            command = ["sacct", "-X", "-n", "-P", "-o", "JobID,State,ExitCode", "-j", selected]
            done = self._call(command, missing_ok=True)
            if done.returncode:
                break
            for line in done.stdout.splitlines():
                if line.count("|") == 2:
                    identity, state, code = line.split("|")
                    job, _, tasks = identity.partition("_")
                    endings |= dict.fromkeys(_each(job, tasks.strip("[]")), _ending(state, code))
        return endings or self._recent_endings(jobs)

    def _recent_endings(self, jobs: Sequence[str]) -> dict[str, str]:
        """The same without `sacct`: the controller keeps a job for some minutes."""
        endings: dict[str, str] = {}
        for job in jobs:
            done = self._call(["scontrol", "show", "job", "-o", job], missing_ok=True)
            if NO_ANSWER in done.stderr:
                break
            for line in done.stdout.splitlines():
                fields = dict(re.findall(r"(\w+)=(\S*)", line))
                ending = _ending(fields.get("JobState", ""), fields.get("ExitCode", ""))
                endings |= dict.fromkeys(_each(job, fields.get("ArrayTaskId", "")), ending)
        return endings

    def _query(self, command: Sequence[str], *, missing: str | None = None) -> str:
        """The output of a command that may be repeated; empty for an error with the text `missing`,
        which says that what it asks for does not exist."""
        for pause_s in (*RETRY_S, None):
            done = self._call(command)
            if done.returncode == 0:
                return done.stdout
            if missing is not None and missing in done.stderr:
                return ""
            if pause_s is None or NO_ANSWER in done.stderr or not UNREACHABLE.search(done.stderr):
                break
            time.sleep(pause_s)
        raise UserError(f"{command[0]}: {_error(done)}")

    def _call(
        self, command: Sequence[str], *, keep: Iterable[int] = (), missing_ok: bool = False
    ) -> subprocess.CompletedProcess[str]:
        try:
            return subprocess.run(
                command,
                capture_output=True,
                encoding="utf-8",
                errors="replace",
                check=False,
                stdin=subprocess.DEVNULL,
                env=clean_environment(),
                pass_fds=tuple(keep),
                timeout=TIMEOUT_S,
            )
        except FileNotFoundError as error:
            if missing_ok:
                return subprocess.CompletedProcess(command, 127, "", "not found")
            raise Refused(_missing(command[0])) from error
        except subprocess.TimeoutExpired:
            return subprocess.CompletedProcess(command, 124, "", f"{NO_ANSWER} in {TIMEOUT_S} s")


def require() -> None:
    """Raises: UserError if jobs cannot be submitted from this machine."""
    if shutil.which("sbatch") is None:
        raise Refused(_missing("sbatch"))


def clean_environment() -> dict[str, str]:
    """The environment without the variables of a surrounding SLURM job, which sbatch would take for
    options of the new job, and without those that filter squeue. The path of the cluster's
    configuration and the user's SBATCH_ variables stay."""
    return {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(SCRUBBED) or key in ("SLURM_CONF", "SLURM_CLUSTERS")
    }


def _batches(texts: Sequence[str]) -> list[Sequence[str]]:
    return [texts[start : start + BATCH] for start in range(0, len(texts), BATCH)]


def _missing(command: str) -> str:
    return (
        f"{command} is not on the PATH: launcher=slurm needs a machine that can submit jobs; "
        f"{commands.setting('launcher', 'local')} runs on this one"
    )


def _each(job: str, tasks: str) -> Iterator[str]:
    """The tasks in `3`, or in `0-2,5-9:2%4`, SLURM's notation for pending tasks."""
    for part in tasks.partition("%")[0].split(","):
        if match := re.fullmatch(r"(\d+)(?:-(\d+)(?::(\d+))?)?", part):
            first, last, step = (int(number) if number else None for number in match.groups())
            assert first is not None
            for task in range(first, (first if last is None else last) + 1, step or 1):
                yield f"{job}_{task}"


def _ending(state: str, code: str) -> str:
    word = state.partition(" ")[0]  # `CANCELLED by 0`
    return word if code in ("0:0", "") else f"{word} {code}"


def _error(done: subprocess.CompletedProcess[str]) -> str:
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    return "; ".join(lines[-2:]) if lines else f"exit status {done.returncode}"
