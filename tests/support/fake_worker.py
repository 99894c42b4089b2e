"""A worker that trains nothing: `python -m launch.fake_worker FOLDER TASK`, for the tests.

FAKE_WORKER, a JSON object, says by the label of a task's first run what to do: see `DEEDS`.
"""

import json
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from support.studies import finish

from transferlab import store
from transferlab.experiment.run import Run
from transferlab.store import sweeps

Runs = Sequence[Run]


class Stop:
    """A request to stop, which a signal handler may make at any moment: an `Event` whose lock the
    interrupted thread holds would never be set."""

    def __init__(self) -> None:
        self.read, self.write = os.pipe()

    def set(self, *_: object) -> None:
        os.write(self.write, b"x")

    def wait(self, timeout_s: float) -> bool:
        return bool(select.select([self.read], [], [], timeout_s)[0])


stopped = Stop()


def done(runs: Runs) -> int:
    finish(*runs)
    return 0


def fail(runs: Runs) -> int:
    """Fail as a run whose loss is nan."""
    for run in runs:
        store.note_failure(run, f"{run.label}: the loss is nan")
    print("error: the loss is nan", file=sys.stderr)
    return 1


def half(runs: Runs) -> int:
    finish(runs[0])
    return fail(runs[1:])


def defect(runs: Runs) -> int:
    print("before", flush=True)
    raise KeyError("a defect")


def silent(runs: Runs) -> int:
    return 1


def leave(runs: Runs) -> int:
    """Exit with status 0 without a result."""
    return 0


def die(runs: Runs) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return 0


def deaf(runs: Runs) -> int:
    """Act as a worker that is starting and has not installed its signal handlers."""
    for number in (signal.SIGUSR1, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    say("deaf")
    time.sleep(300)
    return 1


def stubborn(runs: Runs) -> int:
    """Never finish saving."""
    say("stubborn")
    assert stopped.wait(300)
    time.sleep(300)
    return 75


def late(runs: Runs) -> int:
    """Finish the run but do not exit yet, with signal handlers already removed."""
    finish(*runs)
    return deaf(runs)


def work(runs: Runs) -> int:
    """Wait for a stop request; then save, which takes a while, and exit."""
    say("working")
    assert stopped.wait(300)
    for run in runs:
        run.folder.mkdir(parents=True, exist_ok=True)
        run.checkpoint_file.write_text("saved")
    say("saved")
    return 75


def wait(runs: Runs) -> int:
    """Wait until the test lets it finish."""
    say("working")
    gate = Path(sys.argv[1]) / "open"
    while not gate.exists() and not stopped.wait(0.01):
        pass
    return 75 if stopped.wait(0) else done(runs)


DEEDS: dict[str, Callable[[Runs], int]] = {
    deed.__name__: deed
    for deed in (
        done,
        fail,
        half,
        defect,
        silent,
        leave,
        die,
        deaf,
        stubborn,
        late,
        work,
        wait,
    )  # fmt: skip
}


def say(word: str) -> None:
    """Write an event and this process's id to a file for the test."""
    (Path(sys.argv[1]) / f"{sys.argv[2]}.{word}").write_text(str(os.getpid()))


def leash() -> None:
    while os.read(0, 1024):
        pass
    stopped.set()


def main() -> int:
    signal.signal(signal.SIGUSR1, stopped.set)
    # A signal just before `select` does not interrupt it, and its handler waits for the end of that
    os.set_blocking(stopped.write, False)
    signal.set_wakeup_fd(stopped.write, warn_on_full_buffer=False)
    job, task = sweeps.read_job(Path(sys.argv[1])), int(sys.argv[2])
    if "TRANSFERLAB_LEASH" in os.environ:
        threading.Thread(target=leash, daemon=True).start()
    names = ("OMP_NUM_THREADS", "TRANSFERLAB_CORES", "CUDA_VISIBLE_DEVICES",
             "TRANSFERLAB_SUBMITTED")  # fmt: skip
    seen = {name: os.environ.get(name) for name in names}
    (job.folder / f"{task}.environment").write_text(json.dumps(seen))
    (job.folder / f"{task}.started").write_text(str(time.monotonic()))
    runs = sweeps.runs_of(job, task)
    deeds = json.loads(os.environ.get("FAKE_WORKER", "{}"))
    code = DEEDS[deeds.get(runs[0].label, "done")](runs)
    if "TRANSFERLAB_RANKS" in os.environ:
        sweeps.note(job, task, worker=code)
    (job.folder / f"{task}.finished").write_text(str(time.monotonic()))
    return code


if __name__ == "__main__":
    sys.exit(main())
