"""Plans in worker processes on this machine; the workers here train nothing."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from launch.test_supervisor import failure, wait_for_end, wait_until
from support import forked
from support.studies import by_label, finish, make_local, make_runs, on_devices, start

from transferlab.errors import Interrupted, UserError
from transferlab.experiment.plan import Pack
from transferlab.experiment.run import Run
from transferlab.launch import local
from transferlab.launch.local import Progress
from transferlab.launch.supervisor import Supervised
from transferlab.runtime import machine
from transferlab.store import sweeps
from transferlab.store.sweeps import Sweep

Deeds = Callable[..., None]
LABELS = ("A1B", "A2B", "B1B", "B2B")


class Told:
    """An observer that notes the events."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.most = 0  # workers at a time
        self.at_work: dict[int, Supervised] = {}

    def started(self, pack: Pack, progress: Progress) -> None:
        self.lines.append(f"started {pack.labels}")
        self.most = max(self.most, len(progress.running))
        self.at_work = progress.running

    def ended(self, pack: Pack, progress: Progress) -> None:
        self.lines.append(f"ended {pack.labels}")

    def blocked(self, pack: Pack, reason: str, progress: Progress) -> None:
        self.lines.append(f"blocked {pack.labels}: {reason.partition('; see')[0]}")

    def refresh(self, progress: Progress) -> None:
        pass


@pytest.fixture
def store_folder(tmp_path: Path) -> Path:
    return tmp_path / "store"


def sweep_of(runs: Sequence[Run], pack: int | None = 1, **launcher: object) -> Sweep:
    return start(runs, make_local(**launcher), pack=pack)


def carry_out(sweep: Sweep, board: Told | None = None) -> Progress:
    """All runs of the sweep that are not finished."""
    todo = [run for run in sweep.runs() if not run.result_file.exists()]
    return local.carry_out(sweep, todo, board or Told())


def labels(sweep: Sweep, ids: object) -> list[str]:
    return sorted(run.label for run in sweep.runs() if run.id in ids)  # type: ignore[operator]


# --- order and company --------------------------------------------------------------------------


def test_all_runs_are_trained_bases_first(store_folder: Path, workers: Deeds):
    sweep, board = sweep_of(make_runs(store_folder, LABELS)), Told()

    progress = carry_out(sweep, board)

    assert board.lines == [
        f"{what} {label}"
        for label in ("baseA", "baseB", "A1B", "A2B", "B1B", "B2B")
        for what in ("started", "ended")
    ]
    assert board.most == 1
    assert len(progress.done) == progress.total == 6
    assert (progress.failed, progress.blocked, progress.interrupted) == ({}, {}, set())


def test_a_run_starts_as_soon_as_its_own_base_is_finished(store_folder: Path, workers: Deeds):
    workers(baseB="wait")
    sweep, board = sweep_of(make_runs(store_folder, ["A1B", "B1B"]), jobs=2), Told()
    thread = threading.Thread(target=open_when, args=(sweep, "ended A1B", board))
    thread.start()

    carry_out(sweep, board)

    thread.join()
    assert board.lines.index("ended A1B") < board.lines.index("ended baseB")
    assert board.lines[-2:] == ["started B1B", "ended B1B"]


def open_when(sweep: Sweep, line: str, board: Told) -> None:
    """Let waiting workers finish once the board has had a line."""
    while line not in board.lines:
        time.sleep(0.01)
    (job,) = sweeps.jobs(sweep)
    (job.folder / "open").touch()


def test_at_most_that_many_workers_run_each_with_its_share_of_the_machine(
    store_folder: Path, workers: Deeds, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(machine, "cores", lambda: 8)
    sweep, board = sweep_of(make_runs(store_folder, LABELS), jobs=3, threads=2), Told()
    carry_out(sweep, board)

    assert board.most == 3
    assert environments(sweep) == [("2", "2", None)] * 6


def environments(sweep: Sweep) -> list[tuple[str | None, ...]]:
    """The environment of each task's worker: threads, cores, GPUs."""
    (job,) = sweeps.jobs(sweep)
    found = [
        json.loads((job.folder / f"{k}.environment").read_text()) for k in range(len(job.packs))
    ]
    return [tuple(seen.values())[:3] for seen in found]


def test_gpus_are_distributed_over_the_workers(store_folder: Path, workers: Deeds):
    workers(**dict.fromkeys(("baseA", "baseB", "R1B"), "wait"))
    sweep = sweep_of(make_runs(store_folder, ["baseA", "baseB", "R1B"]), jobs=3, gpus=[4, 7])
    board = Told()
    thread = threading.Thread(target=open_when, args=(sweep, "started R1B", board))
    thread.start()
    carry_out(sweep, board)
    thread.join()

    assert [gpus for _, _, gpus in environments(sweep)] == ["4", "7", "4"]


def test_a_run_on_two_gpus_has_two(store_folder: Path, workers: Deeds):
    workers(baseA="wait", baseB="wait")
    runs = on_devices(make_runs(store_folder, ["baseA", "baseB"]), 2)
    sweep, board = sweep_of(runs, jobs=2, gpus=[0, 1, 2, 3]), Told()
    thread = threading.Thread(target=open_when, args=(sweep, "started baseB", board))
    thread.start()
    carry_out(sweep, board)
    thread.join()

    assert [gpus for _, _, gpus in environments(sweep)] == ["0,1", "2,3"]


def test_packs_are_trained_by_one_worker(store_folder: Path, workers: Deeds):
    sweep, board = sweep_of(make_runs(store_folder, LABELS), pack=None), Told()

    assert len(carry_out(sweep, board).done) == 6
    assert board.lines[4:] == [
        "started A1B A2B", "ended A1B A2B", "started B1B B2B", "ended B1B B2B",
    ]  # fmt: skip


# --- failures -----------------------------------------------------------------------------------


def test_a_failure_stops_only_what_depends_on_it(store_folder: Path, workers: Deeds):
    workers(baseA="fail", B1B="die")
    sweep, board = sweep_of(make_runs(store_folder, LABELS)), Told()

    progress = carry_out(sweep, board)

    (job,) = sweeps.jobs(sweep)
    runs = by_label(sweep.runs())
    assert labels(sweep, progress.done) == ["B2B", "baseB"]
    assert progress.failed == {
        runs["baseA"].id: f"baseA: the loss is nan; see {job.folder}/0.log",
        runs["B1B"].id: f"killed by SIGKILL, perhaps out of memory; see {job.folder}/4.log",
    }
    assert labels(sweep, progress.blocked) == ["A1B", "A2B"]
    assert board.lines[2:4] == [
        "blocked A1B: its base failed: baseA: the loss is nan",
        "blocked A2B: its base failed: baseA: the loss is nan",
    ]
    assert failure(runs["A1B"]) is None


def test_in_a_pack_only_the_failed_run_has_failed(store_folder: Path, workers: Deeds):
    workers(A1B="half")
    sweep = sweep_of(make_runs(store_folder, ["A1B", "A2B"]), pack=None)
    progress = carry_out(sweep)

    assert labels(sweep, progress.done) == ["A1B", "baseA"]
    assert labels(sweep, progress.failed) == ["A2B"]


def test_the_same_command_retries_failed_runs(store_folder: Path, workers: Deeds):
    workers(baseA="fail")
    sweep = sweep_of(make_runs(store_folder, LABELS))
    carry_out(sweep)
    workers()

    progress = carry_out(sweep)
    assert labels(sweep, progress.done) == ["A1B", "A2B", "baseA"]
    assert len(sweeps.jobs(sweep)) == 2


def test_with_fail_fast_nothing_is_started_after_a_failure(store_folder: Path, workers: Deeds):
    workers(baseA="fail", baseB="wait")
    sweep = sweep_of(make_runs(store_folder, LABELS), jobs=2, fail_fast=True)
    board = Told()
    thread = threading.Thread(target=open_when, args=(sweep, "ended baseA", board))
    thread.start()

    progress = carry_out(sweep, board)

    thread.join()
    assert labels(sweep, progress.done) == ["baseB"]  # was at work already
    assert not any(line.startswith("started B") for line in board.lines)


# --- stopping -----------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_has_all_workers_save_and_the_same_command_resumes(
    store_folder: Path, workers: Deeds, number: int
):
    workers(**dict.fromkeys(LABELS, "work"))
    sweep = sweep_of(make_runs(store_folder, LABELS), jobs=2)
    thread = threading.Thread(target=signal_when_working, args=(sweep, 2, number))
    thread.start()

    with pytest.raises(Interrupted) as error:
        carry_out(sweep)

    thread.join()
    assert str(error.value) == "stopped: 2 of 6 runs are done, 2 saved a checkpoint"
    assert len(list(store_folder.glob("*/last.ckpt"))) == 2
    assert not list(store_folder.glob("*/failure.json"))
    workers()
    assert labels(sweep, carry_out(sweep).done) == sorted(LABELS)


def signal_when_working(sweep: Sweep, workers: int, number: int) -> None:
    while len(list(sweep.folder.glob("jobs/*/*.working"))) < workers:
        time.sleep(0.01)
    os.kill(os.getpid(), number)


def test_a_second_ctrl_c_does_not_wait_for_the_workers(store_folder: Path, workers: Deeds):
    """They leave all the same."""
    workers(baseA="deaf")
    sweep, board, found = sweep_of(make_runs(store_folder, ["baseA"])), Told(), []

    def send() -> None:
        while not (paths := list(sweep.folder.glob("jobs/*/0.deaf"))):
            time.sleep(0.01)
        found.append(wait_until(paths[0]))
        os.kill(found[0], signal.SIGSTOP)
        while not status_of(found[0], "State").startswith(
            "T"
        ):  # until then it would end at a signal
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)
        while not is_pending(
            found[0], signal.SIGUSR1
        ):  # it has been asked to stop and does not notice
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=send)
    thread.start()
    with pytest.raises(Interrupted, match="stopped by SIGINT"):
        carry_out(sweep, board)
    thread.join()
    os.kill(found[0], signal.SIGCONT)
    assert [wait_for_end(worker).interrupted for worker in board.at_work.values()] == [True]


def is_pending(process: int, number: int) -> bool:
    return bool(int(status_of(process, "ShdPnd"), 16) >> (number - 1) & 1)


def status_of(process: int, field: str) -> str:
    """A field of what the kernel says of a process."""
    found = re.search(rf"^{field}:\s*(.+)", Path(f"/proc/{process}/status").read_text(), re.M)
    assert found is not None
    return found[1]


def test_a_local_launcher_at_work_is_visible(store_folder: Path, workers: Deeds):
    seen: list[bool] = []
    sweep = sweep_of(make_runs(store_folder, ["baseA"]))

    class Looking(Told):
        def ended(self, pack: Pack, progress: Progress) -> None:
            seen.append(sweeps.is_carried_out(sweeps.jobs(sweep)[0]))

    carry_out(sweep, Looking())
    assert seen == [True] and not sweeps.is_carried_out(sweeps.jobs(sweep)[0])


def test_nothing_is_left_running_when_the_launcher_itself_fails(store_folder: Path, workers: Deeds):
    workers(baseA="work", baseB="work")
    sweep = sweep_of(make_runs(store_folder, LABELS), jobs=2)

    class Broken(Told):
        def refresh(self, progress: Progress) -> None:
            (job,) = sweeps.jobs(sweep)
            if all((job.folder / f"{task}.working").exists() for task in (0, 1)):
                raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        carry_out(sweep, Broken())
    assert len(list(store_folder.glob("*/last.ckpt"))) == 2


def test_a_store_that_cannot_be_written_is_an_error(store_folder: Path, workers: Deeds):
    runs = make_runs(store_folder, ["baseA"])
    sweep = sweep_of(runs)
    (sweep.folder / "jobs").write_text("")

    with pytest.raises(UserError, match="cannot be written: Not a directory"):
        carry_out(sweep)


# --- in earnest ---------------------------------------------------------------------------------


def test_two_sweeps_of_one_study_at_once_train_no_run_twice(store_folder: Path):
    """Real workers; the second launcher is a process of its own."""
    tiny = {
        "data__size": 16,
        "data__crop": 16,
        "train__epochs": None,
        "train__total_steps": 10,
        "runtime__threads": 1,
        "runtime__accelerator": "cpu",
        "runtime__cache": str(store_folder.parent / "cache"),
    }
    runs = make_runs(store_folder, ["baseA"], **tiny)
    sweep = sweep_of(runs)
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from transferlab.launch import local\n"
        "from transferlab.store import sweeps\n"
        "from transferlab.launch.board import Board\n"
        "sweep = sweeps.read(Path(sys.argv[1]))\n"
        "print(sorted(local.carry_out(sweep, sweep.runs(), Board()).done))\n"
    )
    both = [
        forked.Popen(
            [sys.executable, "-c", code, str(sweep.folder)], stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    told = [process.communicate()[0].strip() for process in both]

    assert told == [str(sorted(run.id for run in runs))] * 2
    logs = [path.read_text() for path in sweep.folder.glob("jobs/*/*.log")]
    trained = Counter(
        line.split()[0] for text in logs for line in text.splitlines() if "  done  " in line
    )
    assert trained == {"baseA": 1}


def test_finished_runs_are_not_started(store_folder: Path, workers: Deeds):
    runs = make_runs(store_folder, ["A1B"])
    sweep, board = sweep_of(runs), Told()
    finish(runs[0])
    carry_out(sweep, board)

    assert board.lines == ["started A1B", "ended A1B"]
