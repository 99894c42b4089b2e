"""SLURM through its own commands: submit, ask, cancel, requeue. Knows nothing of runs.

Everything is a list of arguments, never a line for a shell. Works without `sacct`.
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

TIMEOUT_S = 120
ASK_AGAIN_S = (1, 2, 4, 8)  # a controller that is being restarted answers again soon
MAX_ARRAY = 1001  # SLURM's default
FORMAT = "%i|%T|%j|%r"
NO_ANSWER = "no answer"
UNREACHABLE = re.compile(
    f"{NO_ANSWER}|Unable to contact slurm controller|timed out|Connection refused", re.I
)
SCRUBBED = ("SLURM_", "SQUEUE_", "SACCT_", "SCANCEL_")


@dataclass(frozen=True)
class Queued:
    """An entry of the queue: a task of an array. `reason` is why it waits."""

    id: str
    state: str
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
    """A job that was not taken, for certain: nothing of it is in the queue."""


class Cluster(Protocol):
    """What a launcher asks of SLURM; the tests have one of their own."""

    def submit(self, options: Sequence[str], script: str, command: Sequence[str], *,
               hold: IO[bytes]) -> str: ...  # fmt: skip

    def queue(self) -> tuple[Queued, ...]: ...

    def max_array(self) -> int: ...

    def cancel(self, ids: Sequence[str]) -> None: ...

    def requeue(self, identity: str) -> None: ...

    def endings(self, jobs: Sequence[str]) -> dict[str, str]: ...


class SlurmCluster:
    """The cluster that the commands on the path belong to."""

    def submit(
        self, options: Sequence[str], script: str, command: Sequence[str], *, hold: IO[bytes]
    ) -> str:
        """Call `sbatch`; the new job's id.

        `hold` stays open until sbatch is through, also if this process does not.

        Raises: Refused with sbatch's own words; UserError if it did not say what became of the job.
        """
        words = ["sbatch", "--parsable", *options, script, *command]
        done = self._call(words, keep=(hold.fileno(),))
        last_line = done.stdout.strip().rpartition("\n")[2]  # `123;cluster`; a site may say more
        identity = re.match(r"\d+(?=;|$)", last_line)
        if done.returncode == 0 and identity:
            return identity[0]
        if done.returncode and not UNREACHABLE.search(done.stderr):
            raise Refused(f"sbatch refused the job: {_last_words(done)}")
        raise UserError(
            f"sbatch does not say whether it took the job ({_last_words(done)}): give the same "
            "command again, nothing is submitted twice"
        )

    def queue(self) -> tuple[Queued, ...]:
        """This user's jobs that are not over, a task each. Raises: UserError."""
        words = ["squeue", "--me", "--noheader", "--array", f"--format={FORMAT}"]
        entries = []
        for line in self._ask(words).splitlines():
            parts = line.strip().split("|", 3)
            if len(parts) == 4:
                entries.append(Queued(*parts))
        return tuple(entries)

    def max_array(self) -> int:
        """The number of tasks that an array may have."""
        found = re.search(r"^MaxArraySize\s*=\s*(\d+)", self._ask(["scontrol", "show", "config"]),
                          re.MULTILINE)  # fmt: skip
        return int(found[1]) if found else MAX_ARRAY

    def cancel(self, ids: Sequence[str]) -> None:
        """Cancel jobs or tasks. Raises: UserError."""
        for start in range(0, len(ids), 200):
            self._ask(["scancel", "--quiet", *ids[start : start + 200]])  # some may just be over

    def requeue(self, identity: str) -> None:
        """Have a running job start again under its id. Raises: UserError."""
        self._ask(["scontrol", "requeue", identity])

    def endings(self, jobs: Sequence[str]) -> dict[str, str]:
        """How the tasks of arrays ended, by task, as far as SLURM still says.

        `TIMEOUT`, `FAILED 1:0` (exit status and signal). Some may not be over: `RUNNING`.
        """
        found: dict[str, str] = {}
        for start in range(0, len(jobs), 200):
            chosen = ",".join(jobs[start : start + 200])
            words = ["sacct", "-X", "-n", "-P", "-o", "JobID,State,ExitCode", "-j", chosen]
            done = self._call(words, missing_ok=True)
            if done.returncode:
                break
            for line in done.stdout.splitlines():
                if line.count("|") == 2:
                    identity, state, code = line.split("|")
                    job, _, tasks = identity.partition("_")
                    found |= dict.fromkeys(_each(job, tasks.strip("[]")), _ending(state, code))
        return found or self._remembered(jobs)

    def _remembered(self, jobs: Sequence[str]) -> dict[str, str]:
        """The same without `sacct`: for some minutes SLURM itself remembers a job."""
        found: dict[str, str] = {}
        for job in jobs:
            done = self._call(["scontrol", "show", "job", "-o", job], missing_ok=True)
            if NO_ANSWER in done.stderr:
                break
            for line in done.stdout.splitlines():
                told = dict(re.findall(r"(\w+)=(\S*)", line))
                ending = _ending(told.get("JobState", ""), told.get("ExitCode", ""))
                found |= dict.fromkeys(_each(job, told.get("ArrayTaskId", "")), ending)
        return found

    def _ask(self, words: Sequence[str]) -> str:
        """The answer to a question, which may be asked again."""
        for pause_s in (*ASK_AGAIN_S, None):
            done = self._call(words)
            if done.returncode == 0:
                return done.stdout
            if pause_s is None or NO_ANSWER in done.stderr or not UNREACHABLE.search(done.stderr):
                break
            time.sleep(pause_s)
        raise UserError(f"{words[0]}: {_last_words(done)}")

    def _call(
        self, words: Sequence[str], *, keep: Iterable[int] = (), missing_ok: bool = False
    ) -> subprocess.CompletedProcess[str]:
        try:
            return subprocess.run(
                words,
                capture_output=True,
                text=True,
                errors="replace",
                check=False,
                stdin=subprocess.DEVNULL,
                env=clean_environment(),
                pass_fds=tuple(keep),
                timeout=TIMEOUT_S,
            )
        except FileNotFoundError as error:
            if missing_ok:
                return subprocess.CompletedProcess(words, 127, "", "not found")
            raise Refused(_not_there(words[0])) from error
        except subprocess.TimeoutExpired:
            return subprocess.CompletedProcess(words, 124, "", f"{NO_ANSWER} in {TIMEOUT_S} s")


def require() -> None:
    """Raises: UserError if jobs cannot be submitted from here."""
    if shutil.which("sbatch") is None:
        raise Refused(_not_there("sbatch"))


def clean_environment() -> dict[str, str]:
    """The environment without what SLURM tells the job that this may run in: sbatch would take it
    for options of the new job. Nor what hides jobs from squeue. Where the cluster's configuration
    is stays, and what a user wishes of sbatch."""
    return {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(SCRUBBED) or key in ("SLURM_CONF", "SLURM_CLUSTERS")
    }


def _not_there(command: str) -> str:
    return (
        f"{command} is not on the path: launcher=slurm needs a machine from which jobs can be "
        "submitted; launcher=local runs here"
    )


def _each(job: str, tasks: str) -> Iterator[str]:
    """The tasks in `3`, or in `0-2,5-9:2%4`, which is how SLURM tells of those that wait."""
    for part in tasks.partition("%")[0].split(","):
        if found := re.fullmatch(r"(\d+)(?:-(\d+)(?::(\d+))?)?", part):
            first, last, step = (int(number) if number else None for number in found.groups())
            assert first is not None
            for task in range(first, (first if last is None else last) + 1, step or 1):
                yield f"{job}_{task}"


def _ending(state: str, code: str) -> str:
    word = state.partition(" ")[0]  # `CANCELLED by 0`
    return word if code in ("0:0", "") else f"{word} {code}"


def _last_words(done: subprocess.CompletedProcess[str]) -> str:
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    return "; ".join(lines[-2:]) if lines else f"exit status {done.returncode}"
