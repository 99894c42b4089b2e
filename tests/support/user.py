"""A user of the local cluster, who runs commands and inspects their results.

Runs are trained on digits that a test can have read slowly: `pace` in the folder where the user
stands is the time in s that a batch takes, and `reads` gets a line for every batch.
"""

import json
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from support import commandline
from support.cluster import Cluster

import transferlab

STEPS = 40
BATCH = 32
RECIPE = (
    "data.name=slowly:digits", "data.size=16", "data.crop=16", "runtime.accelerator=cpu",
    "runtime.threads=1", f"train.batch_size={BATCH}", "train.epochs=null",
    f"train.total_steps={STEPS}", "train.val_every=20",
)  # fmt: skip
# No GPUs and little memory: as many jobs at a time as there are
SMALL_JOBS = (
    "launcher=slurm", "launcher.gres=null", "launcher.cpus=1", "launcher.memory=500M",
)  # fmt: skip
BASE = "[{split: random, transfer.variant: [base], transfer.target: [B]}]"
PAIR = "[{split: random, transfer.variant: [BnB+], transfer.n: [2]}]"  # and its base, baseB
FOUR = "[{split: random, transfer.variant: [AnB, BnB+], transfer.n: [1, 3]}]"  # and two bases
STUDIES = {"base": BASE, "pair": PAIR, "four": FOUR, "all": f"{PAIR[:-1]}, {FOUR[1:]}"}
Essence = dict[str, tuple[Any, ...]]
SLOWLY = f"""
import dataclasses, os, pathlib, time
from transferlab.data.datasets import digits as fast

@dataclasses.dataclass(frozen=True)
class Slow:
    subset: object
    in_memory: bool = True

    @property
    def labels(self):
        return self.subset.labels

    @property
    def size(self):
        return self.subset.size

    def read(self, positions, out, crops):
        if len(positions) <= {BATCH}:
            with open("reads", "a") as file:
                file.write(f"{{os.getpid()}}\\n")
            pace = pathlib.Path("pace")
            time.sleep(float(pace.read_text() or 0) if pace.exists() else 0)
        return self.subset.read(positions, out, crops)

    @property
    def scaled(self):
        return self.subset.scaled

    def picture(self, position, side):
        return self.subset.picture(position, side)

    def name(self, position):
        return self.subset.name(position)

def digits(*, root, val, holdout, size, resize):
    images = fast.load(holdout=holdout, size=size)
    return dataclasses.replace(images, train=Slow(images.train))
"""


@dataclass(frozen=True)
class Answer:
    """The output of a command and its exit status."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class User:
    """Works in the folder `place`, which has the studies `base.yaml`, `pair.yaml` and
    `four.yaml`."""

    place: Path
    cluster: Cluster
    cache: Path
    more: dict[str, str] = field(default_factory=dict)  # environment

    @property
    def store(self) -> Path:
        return self.place / "store"

    # --- commands

    def start(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "transferlab", *words],
            cwd=self.place,
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def call(self, *words: str) -> Answer:
        process = self.start(*words)
        out, err = process.communicate(timeout=400)
        return Answer(process.returncode, out, err)

    def ordered(self, *words: str) -> Answer:
        """The answer of a command that must succeed."""
        answer = self.call(*words)
        assert answer.code == 0, answer.err
        return answer

    def sweep(self, study: str, *words: str) -> Answer:
        """Submit a study with the recipe of these tests, in small jobs."""
        return self.ordered(*self.line(study, *words))

    def line(self, study: str, *words: str) -> tuple[str, ...]:
        """The arguments of the command that submits a study."""
        return ("sweep", f"+study={study}.yaml", *RECIPE, *SMALL_JOBS, *words)

    # --- what came of them

    def states(self, *flags: str) -> dict[str, dict[str, Any]]:
        """By label, the record of each run in `status --json`."""
        return {run["label"]: run for run in self.runs(*flags)}

    def runs(self, *flags: str) -> list[dict[str, Any]]:
        """The record of each run in `status --json`."""
        found: list[dict[str, Any]] = json.loads(self.ordered("status", "--json", *flags).out)[
            "runs"
        ]
        return found

    def summary(self) -> dict[str, str]:
        """By label, the state of each run."""
        return {label: run["state"] for label, run in self.states().items()}

    def wait_until(self, predicate: Callable[[], object], what: str, timeout_s: float = 90) -> None:
        """Raises: AssertionError with the state of runs and queue if it does not become true."""
        try:
            self.cluster.wait_for(predicate, timeout_s, what)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.ordered('status').out}\n{self.logs()}") from None

    def wait_until_done(self, count: int, timeout_s: float = 90) -> None:
        """Until so many runs are finished and the queue has no job of the store."""
        self.wait_until(lambda: len(self.results()) == count, f"{count} results", timeout_s)
        self.wait_until(lambda: not self.queue(), "the jobs have left the queue", 30)

    def wait_until_trained(self, batches: int, timeout_s: float = 90) -> None:
        """Until so many batches have been read, by all runs together.

        Those after them take longer: whatever a test does then, it comes before the run's end.
        """
        self.wait_until(lambda: len(self.reads()) >= batches, f"{batches} batches read", timeout_s)
        if (self.place / "pace").exists():
            self.slow_down(1)

    def results(self) -> dict[str, dict[str, Any]]:
        """By label, the record of each finished run."""
        return {record["label"]: record for record in self.records()}

    def records(self) -> list[dict[str, Any]]:
        """The record of each finished run."""
        return [json.loads(path.read_text()) for path in self.store.glob("*/result.json")]

    def folder(self, label: str) -> Path:
        (found,) = (p for p in self.store.glob(f"{label}-*") if p.is_dir())
        return found

    def reads(self) -> list[int]:
        """The pids that have read batches, one for each batch."""
        path = self.place / "reads"
        return [int(line) for line in path.read_text().splitlines()] if path.exists() else []

    def reads_by_process(self) -> list[int]:
        """How many batches each process has read, in the order of their beginning."""
        return list(Counter(self.reads()).values())

    def jobs(self) -> list[dict[str, Any]]:
        """The records of the jobs that were submitted, in that order."""
        paths = self.store.glob(".sweeps/*/jobs/*/job.json")
        return sorted((json.loads(p.read_text()) for p in paths), key=lambda job: job["submitted"])

    def runs_in_jobs(self) -> Counter[str]:
        """For each run, the number of accepted tasks that contain it."""
        taken = [job for job in self.jobs() if job["id"] is not None]
        return Counter(run for job in taken for pack in job["packs"] for run in pack)

    def queue(self) -> list[str]:
        """The tasks of the store's jobs in the queue, as `7_0`."""
        names = {path.name for path in self.store.glob(".sweeps/*/jobs/*")}
        lines = self.cluster.run("squeue", "--noheader", "--array", "--format=%i %j").splitlines()
        return [line.split()[0] for line in lines if line.split()[1] in names]

    def logs(self) -> str:
        return "\n".join(
            f"--- {path}\n{path.read_text()}" for path in self.store.glob(".sweeps/*/jobs/*/*.log")
        )

    # --- how fast

    def slow_down(self, pace_s: float) -> None:
        """Make every batch from now on take so long."""
        (self.place / "pace").write_text(str(pace_s))

    def hurry(self) -> None:
        (self.place / "pace").unlink(missing_ok=True)

    def _environment(self) -> dict[str, str]:
        dropped = ("SLURM", "SBATCH", "SRUN")
        kept = commandline.environment(self.place, TRANSFERLAB_STORE=str(self.store))
        kept = {key: value for key, value in kept.items() if not key.startswith(dropped)}
        own = {"TRANSFERLAB_CACHE": str(self.cache), "OMP_NUM_THREADS": "1"}
        return {**kept, **self.cluster.environment, **own, **self.more}


def arrive(place: Path, cluster: Cluster, cache: Path, **more: str) -> User:
    """A user who comes to a new folder."""
    place.mkdir(parents=True)
    (place / "slowly.py").write_text(SLOWLY)
    for name, text in STUDIES.items():
        (place / f"{name}.yaml").write_text(text)
    return User(place, cluster, cache, more)


def arrive_with_source(place: Path, cluster: Cluster, cache: Path) -> User:
    """A user whose folder has a copy of the source, which `python -m` takes, to be edited."""
    arrive(place, cluster, cache)
    tree = Path(transferlab.__file__).parents[1]
    for name in ("transferlab", "conf", "slurm"):
        shutil.copytree(tree / name, place / name)
    return User(place, cluster, cache, {"PYTHONPATH": ""})


def essence(results: dict[str, dict[str, Any]]) -> Essence:
    """Id, metrics and weights of each run, which must not depend on how it was carried out."""
    return {
        label: (record["id"], record["metrics"], record["weights_sha256"])
        for label, record in results.items()
    }


def pids_of(names: Sequence[str], environment: str) -> list[int]:
    """The processes with one of these in their command line and this in their environment."""
    from support.cluster import processes

    return [
        pid
        for pid, _, command, env in processes()
        if environment in env and any(name in command for name in names)
    ]
