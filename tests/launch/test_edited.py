"""Code that was edited between the submission of a job and its start."""

import json
import logging
from dataclasses import replace
from pathlib import Path

import pytest
from launch.test_supervisor import Deeds, failure, supervise
from support.studies import make_local, make_runs, start

from transferlab.cli import status
from transferlab.errors import RunFailed
from transferlab.experiment import plan
from transferlab.launch import edited
from transferlab.runtime import provenance
from transferlab.store import sweeps
from transferlab.store.sweeps import Job

DIFFERENCE = "submitted with code aaaaaaaaaaaa, started with "


def submitted(tmp_path: Path, **settings: object) -> Job:
    """A job of baseA and baseB that was submitted with other code."""
    sweep = start(make_runs(tmp_path / "store", ["baseA", "baseB"]), make_local(**settings))
    job = sweeps.prepare(sweep, plan.packs(sweep.runs()), sweeps.LOCAL)
    assert job.code == provenance.code()
    code = {**job.code, "commit": None, "digest": "a" * 64}
    return sweeps.record(replace(job, code=code))


def test_the_code_of_a_job_is_recorded_when_it_is_submitted(tmp_path: Path):
    job = submitted(tmp_path)

    assert sweeps.read_job(job.folder) == job
    assert json.loads((job.folder / "job.json").read_text())["code"]["digest"] == "a" * 64


def test_edited_code_is_reported_and_shown_by_status(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
):
    job = submitted(tmp_path)
    with caplog.at_level(logging.WARNING):
        edited.compare(job, 1, sweeps.runs_of(job, 1))
    capsys.readouterr()

    (message,) = caplog.messages
    assert message.startswith(f"the code was edited since the job was submitted: {DIFFERENCE}")
    place = ["--store", str(tmp_path / "store")]
    assert status.run(place) == 0
    line = capsys.readouterr().out.splitlines()[1]
    assert line.startswith(f"code edited before the start of 1 run (baseB): {DIFFERENCE}")
    assert status.run([*place, "--json"]) == 0
    runs = json.loads(capsys.readouterr().out)["runs"]
    assert [bool(run["edited"]) for run in runs] == [False, True]


def test_a_launcher_may_refuse_edited_code(tmp_path: Path):
    job = submitted(tmp_path, changed_code="refuse")
    runs = sweeps.runs_of(job, 0)

    with pytest.raises(RunFailed) as error:
        edited.compare(job, 0, runs)
    assert str(error.value).endswith(
        "; launcher.changed_code=refuse: restore the code, or accept the new one with "
        f"python -m transferlab retry --store {tmp_path}/store"
    )
    assert failure(runs[0]) == str(error.value)


@pytest.mark.parametrize("changed_code", ["warn", "refuse"])
def test_the_same_code_and_that_of_earlier_records_pass(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, changed_code: str
):
    job = submitted(tmp_path, changed_code=changed_code)
    for code in (provenance.code(), {}):
        edited.compare(replace(job, code=code), 0, sweeps.runs_of(job, 0))

    assert caplog.messages == [] and sweeps.edited(job) == {}


def test_a_worker_is_told_with_which_code_its_job_was_submitted(tmp_path: Path, workers: Deeds):
    job = submitted(tmp_path)
    supervise(job, 0)

    seen = json.loads((job.folder / "0.environment").read_text())
    assert json.loads(seen["TRANSFERLAB_SUBMITTED"]) == job.code
