"""SLURM through its own commands: submit, ask, cancel, requeue. Knows nothing of runs.

Everything is a list of arguments, never a line for a shell. Works without `sacct`.
"""

import os
import re
import subprocess
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import IO, Protocol

from transferlab.errors import UserError

TIMEOUT_S = 120
ASK_AGAIN_S = (1, 2, 4, 8)  # a controller that is being restarted answers again soon
MAX_ARRAY = 1001  # SLURM's default
FORMAT = "%i|%T|%j|%r"
UNREACHABLE = re.compile("Unable to contact slurm controller|timed out|Connection refused", re.I)


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


class Cluster(Protocol):
    """What a launcher asks of SLURM; the tests have one of their own."""

    def submit(self, options: Sequence[str], script: str, command: Sequence[str], *,
               hold: IO[bytes]) -> str: ...  # fmt: skip

    def queue(self) -> tuple[Queued, ...]: ...

    def max_array(self) -> int: ...

    def cancel(self, ids: Sequence[str]) -> None: ...

    def requeue(self, identity: str) -> None: ...

    def endings(self, ids: Sequence[str]) -> dict[str, str]: ...


class Slurm:
    """The cluster that the commands on the path belong to."""

    def submit(
        self, options: Sequence[str], script: str, command: Sequence[str], *, hold: IO[bytes]
    ) -> str:
        """Call `sbatch`; the new job's id.

        `hold` stays open until sbatch is through, also if this process does not.

        Raises: UserError with sbatch's own words.
        """
        words = ["sbatch", "--parsable", *options, script, *command]
        done = self._call(words, keep=(hold.fileno(),))
        if done.returncode:
            raise UserError(f"sbatch refused the job: {_last_words(done)}")
        return done.stdout.strip().splitlines()[-1].partition(";")[0]

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
            done = self._call(["scancel", *ids[start : start + 200]])
            if done.returncode:
                raise UserError(f"scancel: {_last_words(done)}")

    def requeue(self, identity: str) -> None:
        """Have a running job start again under its id. Raises: UserError."""
        done = self._call(["scontrol", "requeue", identity])
        if done.returncode:
            raise UserError(f"scontrol requeue {identity}: {_last_words(done)}")

    def endings(self, ids: Sequence[str]) -> dict[str, str]:
        """How jobs that are over ended, as far as SLURM still says: `TIMEOUT`, `FAILED 1:0`."""
        if not ids:
            return {}
        words = ["sacct", "-X", "-n", "-P", "-o", "JobID,State,ExitCode", "-j", ",".join(ids)]
        done = self._call(words, missing_ok=True)
        if done.returncode == 0 and done.stdout.strip():
            rows = (line.split("|") for line in done.stdout.splitlines() if line.count("|") == 2)
            return {row[0]: _ending(row[1], row[2]) for row in rows}
        found = {}
        for identity in ids[:50]:  # SLURM itself remembers for some minutes
            done = self._call(["scontrol", "show", "job", "-o", identity], missing_ok=True)
            state = re.search(r"JobState=(\S+)", done.stdout)
            code = re.search(r"ExitCode=(\S+)", done.stdout)
            if done.returncode == 0 and state and code:
                found[identity] = _ending(state[1], code[1])
        return found

    def _ask(self, words: Sequence[str]) -> str:
        """The answer to a question, which may be asked again."""
        for pause_s in (*ASK_AGAIN_S, None):
            done = self._call(words)
            if done.returncode == 0:
                return done.stdout
            if pause_s is None or not UNREACHABLE.search(done.stderr):
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
                check=False,
                stdin=subprocess.DEVNULL,
                env=clean_environment(),
                pass_fds=tuple(keep),
                timeout=TIMEOUT_S,
            )
        except FileNotFoundError as error:
            if missing_ok:
                return subprocess.CompletedProcess(words, 127, "", "not found")
            raise UserError(
                f"{words[0]} is not on the path: launcher=slurm needs a machine from which jobs "
                "can be submitted; launcher=local runs here"
            ) from error
        except subprocess.TimeoutExpired:
            return subprocess.CompletedProcess(words, 124, "", f"timed out after {TIMEOUT_S} s")


def clean_environment() -> dict[str, str]:
    """The environment without what SLURM tells the job that this may run in: sbatch would take it
    for options of the new job. Where the cluster's configuration is stays."""
    return {
        key: value
        for key, value in os.environ.items()
        if not key.startswith("SLURM_") or key in ("SLURM_CONF", "SLURM_CLUSTERS")
    }


def _ending(state: str, code: str) -> str:
    word = state.split()[0]  # `CANCELLED by 0`
    return word if code in ("0:0", "") else f"{word} {code}"


def _last_words(done: subprocess.CompletedProcess[str]) -> str:
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    return "; ".join(lines[-2:]) if lines else f"exit status {done.returncode}"
