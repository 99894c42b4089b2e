"""What is recorded of sweeps and jobs: it reads back the same, and damage is reported."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from support.studies import LABELS, finish, make_local, make_runs, make_slurm, start

from transferlab.errors import UserError
from transferlab.experiment import plan
from transferlab.runtime import files
from transferlab.store import survey, sweeps


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "store"


def test_a_sweep_reads_back_the_same(place: Path):
    runs = make_runs(place)
    launcher = make_slurm(partition="gpu", extra=["--nice"], base={"time": 30})

    started = start(runs, launcher, study="figure2", pack=3)

    assert survey.require(place).sweeps == (started,)
    assert (started.study, started.launcher, started.pack) == ("figure2", launcher, 3)
    assert sweeps.read(started.folder).runs() == runs
    assert sweeps.read(started.folder).store == place
    assert [path.name for path in (place / ".sweeps").iterdir()] == [started.folder.name]


def test_the_same_runs_are_the_same_sweep_however_they_are_launched(place: Path):
    runs = make_runs(place)
    first = start(runs, make_slurm())
    runs = (first.folder / "runs.json").stat().st_mtime_ns
    again = start(first.runs(), make_local(jobs=2), pack=2)

    assert again.folder == first.folder
    assert survey.require(place).sweeps == (again,)
    assert (first.folder / "runs.json").stat().st_mtime_ns == runs


def test_other_runs_are_another_sweep_and_the_latest_comes_last(place: Path):
    first = start(make_runs(place, ["A1B"]))
    second = start(make_runs(place, ["A2B"]))
    os.utime(first.folder / "sweep.json", (2e9, 2e9))

    assert first.folder != second.folder
    assert [sweep.folder for sweep in survey.require(place).sweeps] == [second.folder, first.folder]


def test_a_study_is_found_by_its_name_or_that_of_its_folder(place: Path):
    figure, table = (start(make_runs(place), study=name) for name in ("figure2", "table1"))

    assert survey.read(place, "figure2").sweeps == (figure,)
    assert survey.read(place, table.folder.name).sweeps == (table,)
    with pytest.raises(UserError) as error:
        survey.read(place, "figure3")
    assert str(error.value) == (
        f"study=figure3 was never started in {place}, which has figure2, table1"
    )
    with pytest.raises(UserError, match="was never started in .*, which has no study$"):
        survey.read(place.parent, "figure3")


@pytest.mark.parametrize(
    ("study", "stem"),
    [
        ("../../etc", "_.._etc"),
        ("..", "study"),
        ("my study; rm -r *", "my_study_rm_-r_"),
        ("/absolute", "_absolute"),
        ("a\nb%j", "a_b_j"),
        ("x" * 300, "x" * 60),
    ],
)
def test_no_name_of_a_study_leaves_the_folder(place: Path, study: str, stem: str):
    sweep = start(make_runs(place), study=study)
    job = sweeps.prepare(sweep, plan.packs(sweep.runs()), "base")

    assert sweep.folder.parent == place / ".sweeps"
    assert sweep.folder.name.rpartition("-")[0] == stem
    assert job.name.startswith(f"{stem}-base-") and job.folder.parent.parent == sweep.folder
    assert survey.read(place, study).sweeps == (sweep,)


def test_a_job_reads_back_the_same_at_every_stage(place: Path):
    sweep = start(make_runs(place))
    packs = plan.packs(sweep.runs(), 2)

    prepared = sweeps.prepare(sweep, packs, "pack")
    assert sweeps.jobs(sweep) == () and prepared.folder.is_dir() and prepared.id is None
    asked = sweeps.record(replace(prepared, options=("--array=0-3", "--requeue")))
    assert sweeps.jobs(sweep) == (asked,) and asked.options == ("--array=0-3", "--requeue")
    submitted = sweeps.record(replace(asked, id="123"))
    assert sweeps.jobs(sweep) == (submitted,) and submitted.id == "123"
    assert sweeps.sweep_of(submitted) == sweep
    assert [sweeps.runs_of(submitted, task) for task in range(len(packs))] == [
        pack.runs for pack in packs
    ]
    with pytest.raises(UserError, match=r"has no task 4: choose 0\.\.3$"):
        sweeps.runs_of(submitted, 4)


def test_jobs_are_in_the_order_in_which_they_were_prepared(place: Path):
    sweep = start(make_runs(place))
    packs = plan.packs(sweep.runs())

    assert sweeps.jobs(sweep) == ()
    roles = ("transfer", "base", "transfer")
    recorded = [sweeps.record(sweeps.prepare(sweep, packs, role)) for role in roles]
    assert list(sweeps.jobs(sweep)) == recorded
    assert len({job.name for job in recorded}) == 3


def test_a_sweep_goes_with_its_store(place: Path):
    runs = make_runs(place)
    start(runs)
    finish(runs[0])
    place.rename(place.with_name("moved"))
    (moved,) = survey.require(place.with_name("moved")).sweeps

    assert [run.id for run in moved.runs()] == [run.id for run in runs]
    run = moved.runs()[0]
    assert run.folder.parent == place.with_name("moved") and run.result_file.exists()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("sweep.json", "{", "sweep.json is damaged (Expecting property name"),
        ("sweep.json", '{"format": 1}', "sweep.json is damaged (study is missing): delete its"),
        ("sweep.json", '{"format": 1, "study": "x", "launcher": 3}', "sweep.json is damaged ("),
        ("sweep.json", '{"format": 1, "study": "x", "launcher": {"name": "local"}, "pack": 1}',
         "sweep.json is damaged (missing key launcher.jobs): delete its folder and run"),
        ("sweep.json", '{"format": 9}', "was written by an incompatible version (format 9"),
        ("runs.json", "[]", "runs.json is damaged (not a JSON object)"),
        ("runs.json", '{"format": 1, "common": {}}', "runs.json is damaged (columns is missing)"),
        ("jobs/j/job.json", '{"format": 1, "packs": 7}', "job.json is damaged (packs=7 must be a"),
        ("jobs/j/job.json", '{"format": 1, "packs": [], "role": "base"}',
         "job.json is damaged (submitted is missing): delete its folder"),
    ],
)  # fmt: skip
def test_damage_is_named(place: Path, name: str, content: str, message: str):
    path = start(make_runs(place)).folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)

    with pytest.raises(UserError) as error:
        for sweep in survey.require(place).sweeps:
            sweep.runs()
            sweeps.jobs(sweep)
    assert message in str(error.value) and str(path) in str(error.value)


def test_a_job_of_a_run_that_its_sweep_does_not_have_is_damaged(place: Path):
    sweep = start(make_runs(place))
    job = sweeps.prepare(sweep, plan.packs(make_runs(place, ["A5B"])), "transfer")

    with pytest.raises(UserError, match=r"is damaged \(its sweep has no run [0-9a-f]{12}\)"):
        sweeps.runs_of(job, 1)


def test_a_store_that_cannot_be_written_is_an_error(tmp_path: Path):
    (tmp_path / "file").write_text("")

    for attempt in (start, lambda runs: sweeps.submitting(tmp_path / "file" / "x").__enter__()):
        with pytest.raises(UserError, match="cannot be written: Not a directory; choose a store"):
            attempt(make_runs(tmp_path / "file" / "store", LABELS))


def test_notes_of_a_task_add_up(place: Path):
    sweep = start(make_runs(place))
    job = sweeps.prepare(sweep, plan.packs(sweep.runs()), "base")
    sweeps.note(job, 1, started="now", code=None)
    sweeps.note(job, 1, code=75)

    assert json.loads(job.task(1).read_text()) == {"format": 1, "started": "now", "code": 75}
    assert not job.task(0).exists()


def test_a_note_that_finds_no_room_is_left_out(place: Path, monkeypatch: pytest.MonkeyPatch):
    sweep = start(make_runs(place))
    job = sweeps.prepare(sweep, plan.packs(sweep.runs()), "base")

    def full(path: Path, value: object) -> None:
        raise UserError(f"{path} cannot be written: No space left on device")

    monkeypatch.setattr(files, "write_json", full)
    sweeps.note(job, 0, code=1)
    assert not job.task(0).exists()


# --- who submits, who is at work ----------------------------------------------------------------


def test_two_who_submit_take_turns(place: Path):
    order: list[str] = []

    def second() -> None:
        with sweeps.submitting(place):
            order.append("second")

    with sweeps.submitting(place):
        thread = threading.Thread(target=second)
        thread.start()
        time.sleep(0.1)
        order.append("first")
    thread.join()

    assert order == ["first", "second"]


HOLDS = """\
    import subprocess, sys, time
    from pathlib import Path
    from transferlab.store import survey, sweeps
    with sweeps.submitting(Path(sys.argv[1])) as hold:
        child = subprocess.Popen(["sleep", "300"], pass_fds=(hold.fileno(),),
                                 stdout=subprocess.DEVNULL)
        print(child.pid, flush=True)
        time.sleep(300)
    """


def test_a_submission_under_way_is_waited_for_even_if_its_sweep_was_killed(place: Path):
    parent = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(HOLDS), str(place)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout is not None
    sbatch = int(parent.stdout.readline())
    parent.kill()
    parent.communicate()
    got = threading.Event()

    def wait() -> None:
        with sweeps.submitting(place):
            got.set()

    thread = threading.Thread(target=wait)
    thread.start()
    assert not got.wait(0.3)
    os.kill(sbatch, signal.SIGKILL)
    assert got.wait(300)
    thread.join()


def test_a_local_launcher_at_work_is_known(place: Path):
    sweep = start(make_runs(place), make_local())
    job = sweeps.prepare(sweep, plan.packs(sweep.runs()), sweeps.LOCAL)

    assert not sweeps.is_carried_out(job)
    with sweeps.carrying_out(job):
        assert sweeps.is_carried_out(job)
    assert not sweeps.is_carried_out(job)
