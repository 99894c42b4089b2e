"""Sweeps from the command line that cannot be carried out: no SLURM, no writable disk."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.commandline import TINY, call
from support.studies import by_label, finish, make_local, make_runs, start

from transferlab.experiment import plan
from transferlab.store import sweeps
from transferlab.store.records import note_failure


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    """A store in which baseA is done and baseB has failed, on a disk that is then read-only."""
    place = tmp_path / "store"
    place.mkdir()
    if os.geteuid() != 0 or mount("-t", "tmpfs", "-o", "size=16m", "tmpfs", str(place)):
        pytest.skip("needs to mount a file system, which this user may not")
    try:
        sweep = start(make_runs(place, ["baseA", "B1B"]), make_local())
        job = sweeps.record(sweeps.prepare(sweep, plan.packs(sweep.runs()), sweeps.LOCAL))
        runs = by_label(sweep.runs())
        finish(runs["baseA"])
        note_failure(runs["baseB"], "the loss is nan")
        sweeps.note(job, 1, started="now", ended="now", code=1)
        assert mount("-o", "remount,ro", str(place)) == 0
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)


def mount(*words: str) -> int:
    return subprocess.run(["mount", *words], capture_output=True, check=False).returncode


def test_status_works_on_a_read_only_store(read_only: Path, place: Path):
    code, out, err = call(place, "status")

    assert code == 0, err
    assert [line.partition("; see")[0] for line in out.splitlines()] == [
        "1 done, 1 failed, 1 blocked",
        "failed   baseB random0  the loss is nan, exit status 1",
        "blocked  B1B random0    baseB failed: the loss is nan, exit status 1",
    ]


def test_nothing_can_be_retried_or_trained_on_a_read_only_store(read_only: Path, place: Path):
    words = "cannot be written: Read-only file system; choose a store that can be written"
    (job,) = [path.parent for path in read_only.glob(".sweeps/*/jobs/*/job.json")]
    for arguments in (
        ["retry"],
        ["work", str(job), "--task", "1"],
        ["sweep", "+study=quick", "transfer.n=1", *TINY],
    ):
        code, _, err = call(place, *arguments)
        last = err.splitlines()[-1]
        assert code == 2 and last.startswith("error: ") and words in last, err
        assert "Traceback" not in err


def test_a_store_below_a_file_is_refused_before_networks_are_measured(place: Path, tmp_path: Path):
    (tmp_path / "file").write_text("")
    code, _, err = call(place, "sweep", "+study=quick", f"runtime.store={tmp_path}/file/store")

    store = f"{tmp_path}/file/store"
    assert (code, err) == (2, f"error: {store} cannot be read: Not a directory; name a folder\n")


def test_without_slurm_the_command_is_refused_immediately(place: Path, tmp_path: Path):
    code, out, err = call(place, "sweep", "+study=quick", "launcher=slurm", PATH=str(tmp_path))

    assert code == 2 and out.startswith("study quick: 68 runs")
    assert err == (
        "error: sbatch is not on the PATH: launcher=slurm needs a machine that can submit jobs; "
        "launcher=local runs on this one\n"
    )
    assert not (tmp_path / "store").exists()
