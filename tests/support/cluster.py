"""A real SLURM for tests: `slurm/local-cluster` as an object that can also break things.

Every command has a time limit; SLURM's own waiting is not used, since it polls slowly.
"""

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import SystemRandom

SCRIPTS = Path(__file__).parents[2] / "slurm" / "local-cluster"
DAEMONS = {"munged", "mariadbd", "slurmdbd", "slurmctld", "slurmd", "slurmstepd"}
PATH = f"{os.environ['PATH']}:/usr/sbin:/sbin"
UP_S = 400  # the packages, at the first time, come from the network


@dataclass(frozen=True)
class Cluster:
    """A running cluster. `environment` has the variables that its clients need."""

    state: Path
    environment: dict[str, str]

    def run(self, *command: str, timeout_s: float = 30) -> str:
        """What a command prints on stdout; it must succeed."""
        done = call(*command, environment=self.environment, place=self.state, timeout_s=timeout_s)
        assert done.returncode == 0, f"{command}: exit status {done.returncode}: {done.stderr}"
        return done.stdout

    # --- jobs

    def submit(self, *arguments: str) -> str:
        """The id of a new job: `sbatch ARGUMENTS`. Its output is written in the state folder."""
        return self.run("sbatch", "--parsable", *arguments).strip()

    def squeue(self) -> str:
        """A line for every job that waits or runs: id (array tasks apart), state, reason."""
        return self.run("squeue", "--noheader", "--array", "--format=%i %T %r")

    def job(self, job: str) -> dict[str, str]:
        """The fields of `scontrol show job`, also of one that ended in the last minutes."""
        text = self.run("scontrol", "show", "job", "--oneliner", job)
        return dict(re.findall(r"(\S+?)=(\S*)", text))

    def wait_for(self, predicate: Callable[[], object], timeout_s: float, what: str) -> None:
        """Wait until the predicate is true. Raises: AssertionError with `what` and the queue."""
        end = time.monotonic() + timeout_s
        while not predicate():
            if time.monotonic() > end:
                nodes = self.run("sinfo", "-N", "--noheader", "--partition=gpu", "-o", "%N %T %E")
                raise AssertionError(
                    f"not in {timeout_s} s: {what}\nqueue:\n{self.squeue()}nodes:\n{nodes}"
                )
            time.sleep(0.1)

    def wait_for_state(self, job: str, state: str, timeout_s: float = 30) -> None:
        self.wait_for(lambda: self.job(job)["JobState"] == state, timeout_s, f"{job} {state}")

    def kill_job_processes(self, job: str, how: signal.Signals = signal.SIGKILL) -> int:
        """Signal the processes of a job's script; how many. job: as squeue prints it, 7 or 7_1."""
        whole, _, task = job.partition("_")
        wanted = {f"SLURM_CONF={self.environment['SLURM_CONF']}"}
        if task:
            wanted |= {f"SLURM_ARRAY_JOB_ID={whole}", f"SLURM_ARRAY_TASK_ID={task}"}
        else:
            wanted |= {f"SLURM_JOB_ID={whole}"}
        found = [p for p, name, _, env in processes() if name not in DAEMONS and wanted <= env]
        for pid in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, how)
        return len(found)

    # --- daemons

    def pid(self, daemon: str) -> int:
        """The pid of `slurmctld`, `slurmd-n1`, ... from its pid file."""
        return int((self.state / f"{daemon}.pid").read_text())

    def daemons(self) -> list[str]:
        """The names of the live processes that belong to this cluster."""
        folder = f"{self.state}/"
        return sorted(
            name
            for pid, name, command, env in processes()
            if name in DAEMONS
            and (folder in command or any(folder in e for e in env) or works_in(pid, folder))
        )

    def kill_slurmd(self, node: str) -> None:
        """Kill it with SIGKILL. Its jobs continue until SLURM notices or a slurmd restarts."""
        self._end(f"slurmd-{node}", signal.SIGKILL)

    def start_slurmd(self, node: str) -> None:
        self.run("slurmd", "-f", self.environment["SLURM_CONF"], "-N", node)
        self.wait_for(lambda: self._alive(f"slurmd-{node}"), 20, f"slurmd of {node}")

    def restart_slurmctld(self, how: signal.Signals = signal.SIGTERM) -> None:
        """By SIGKILL, not SIGTERM, so that it cannot save the events of the last seconds."""
        self._end("slurmctld", how)
        self.run("slurmctld", "-f", self.environment["SLURM_CONF"])
        self.wait_for(self._controller_answers, 30, "slurmctld answers")

    def set_down(self, node: str) -> None:
        """Simulate a failed node: its jobs end immediately. It comes back by itself."""
        self.run("scontrol", "update", f"nodename={node}", "state=down", "reason=test")

    def clear(self) -> None:
        """Cancel all jobs, restart missing daemons, and wait until every node is idle."""
        up(self.state)
        self.run("scancel", "--quiet", f"--user={os.getuid()}")
        self.wait_for(lambda: not self.squeue(), 60, "an empty queue")
        nodes = ("sinfo", "-N", "--noheader", "--partition=gpu", "-o", "%T")
        self.wait_for(lambda: set(self.run(*nodes).split()) == {"idle"}, 60, "idle nodes")

    def _end(self, daemon: str, how: signal.Signals) -> None:
        pid = self.pid(daemon)
        os.kill(pid, how)
        end = time.monotonic() + 20
        while any(other == pid for other, *_ in processes()):
            assert time.monotonic() < end, f"{daemon} ({pid}) does not end"
            time.sleep(0.05)

    def _alive(self, daemon: str) -> bool:
        with contextlib.suppress(FileNotFoundError, ValueError):
            pid = self.pid(daemon)
            return any(other == pid for other, *_ in processes())
        return False

    def _controller_answers(self) -> bool:
        ping = call("scontrol", "ping", environment=self.environment, place=self.state)
        return ping.returncode == 0


def up(state: Path, **knobs: int) -> Cluster:
    """Start a cluster, or complete it. knobs: `nodes=3` for CLUSTER_NODES=3, and so on."""
    done = script("up", str(state), **knobs)
    assert done.returncode == 0, done.stderr
    name, _, value = done.stdout.strip().removeprefix("export ").partition("=")
    return Cluster(state, {name: value, "PATH": PATH})


def down(state: Path) -> None:
    done = script("down", str(state))
    assert done.returncode == 0, done.stderr


def script(name: str, *arguments: str, **knobs: int) -> subprocess.CompletedProcess[str]:
    """Run `up` or `down` without the user's own CLUSTER_... variables."""
    own = {f"CLUSTER_{knob.upper()}": str(value) for knob, value in knobs.items()}
    return call(str(SCRIPTS / name), *arguments, environment=own, timeout_s=UP_S)


@contextlib.contextmanager
def started(**knobs: int) -> Iterator[Cluster]:
    """A cluster in a folder and on ports of its own, removed completely afterwards."""
    state = Path(tempfile.mkdtemp(prefix="tl-", dir="/tmp"))  # sockets need a short path
    try:
        cluster = up(state, port=free_ports(2 + knobs.get("nodes", 2)), **knobs)
        yield cluster
    finally:
        down(state)
    assert cluster.daemons() == [], f"left after down; their logs are in {state}"
    shutil.rmtree(state)


def call(
    *command: str, environment: dict[str, str], place: Path | None = None, timeout_s: float = 30
) -> subprocess.CompletedProcess[str]:
    dropped = ("SLURM", "SBATCH", "SRUN", "TRANSFERLAB", "CLUSTER")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(dropped)}
    kept |= {k: v for k, v in os.environ.items() if k == "CLUSTER_EDIT_HOSTS"}
    return subprocess.run(
        command,
        env=kept | {"PATH": PATH} | environment,
        cwd=place,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout_s,
    )


def free_ports(count: int) -> int:
    """The first of `count` ports in a row on which nobody listens."""
    for _ in range(100):
        first = SystemRandom().randrange(20_000, 30_000)
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
            for port in range(first, first + count):
                stack.enter_context(socket.socket()).bind(("127.0.0.1", port))
            return first
    raise AssertionError("no free ports")


def processes() -> Iterator[tuple[int, str, str, set[str]]]:
    """pid, name, command line and environment of every live process; not of zombies."""
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ")
            if command:  # neither a zombie nor a kernel thread
                name = (folder / "comm").read_text().strip()
                environment = (folder / "environ").read_bytes().split(b"\0")
                yield int(folder.name), name, os.fsdecode(command), {*map(os.fsdecode, environment)}


def works_in(pid: int, folder: str) -> bool:
    with contextlib.suppress(OSError):
        return f"{os.readlink(f'/proc/{pid}/cwd')}/".startswith(folder)
    return False
