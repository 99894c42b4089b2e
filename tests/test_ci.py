"""`.ci/run` with a `make` of the test's own: which suites run, and what one that fails does."""

import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / ".ci" / "run"
# What `make TARGET` does here: notes its words, then runs the test's own file of that name
MAKE = """\
#!/usr/bin/env bash
echo "$*" >>calls
echo "output of $1"
[ ! -e "$1" ] || . "./$1"
"""
# The suite on SLURM as long as it waits: a signal ends it
WAITING = """\
trap 'echo "the cluster is down"; rm up; exit 130' INT
touch up
for _ in {1..3000}; do sleep 0.02; done
"""
UNTIL_UP = "until [ -e up ]; do sleep 0.02; done\n"
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    (tmp_path / ".ci").mkdir()
    shutil.copy(SCRIPT, tmp_path / ".ci")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "make").write_text(MAKE)
    (tmp_path / "bin" / "make").chmod(0o755)
    (tmp_path / "tmp").mkdir()

    def run(**does: str) -> subprocess.CompletedProcess[str]:
        for target, commands in does.items():
            (tmp_path / target.replace("_", "-")).write_text(commands)
        path = f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}"
        return subprocess.run(
            [tmp_path / ".ci" / "run"],
            env={**os.environ, "PATH": path, "TMPDIR": str(tmp_path / "tmp")},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
            process_group=0,
        )

    return run


def calls(folder: Path) -> list[str]:
    """What `make` was called with, that for SLURM last: it is called beside another."""
    lines = (folder / "calls").read_text().splitlines()
    return sorted(lines, key="test-slurm".__eq__)


def test_every_suite_runs_after_the_set_up_and_the_output_of_slurms_comes_last(
    run: Run, tmp_path: Path
):
    done = run(test="until [ -e slurm ]; do sleep 0.02; done",
               test_slurm="echo $CLUSTER_EDIT_HOSTS >slurm")  # fmt: skip

    assert done.returncode == 0, done.stdout
    assert (tmp_path / "calls").read_text().startswith("setup\n")
    assert calls(tmp_path) == [
        "setup", "test", "test-zoo ZOO=-k 'not large'", "test-browser", "test-slurm",
    ]  # fmt: skip
    assert (tmp_path / "slurm").read_text() == "1\n"
    assert done.stdout.splitlines() == [
        f"output of {name}" for name in ("setup", "test", "test-zoo", "test-browser", "test-slurm")
    ]
    assert list((tmp_path / "tmp").iterdir()) == []


def test_a_suite_on_slurm_that_fails_beside_the_others_fails_the_whole(run: Run, tmp_path: Path):
    done = run(test="until [ -e failed ]; do sleep 0.02; done",
               test_slurm="echo 'a test failed'; touch failed; exit 3")  # fmt: skip

    assert done.returncode == 3
    assert done.stdout.endswith("output of test-browser\noutput of test-slurm\na test failed\n")


@pytest.mark.parametrize("target", ["test", "test-zoo", "test-browser"])
def test_another_suite_that_fails_is_the_last_and_ends_that_on_slurm(
    run: Run, tmp_path: Path, target: str
):
    done = run(**{target: f"{UNTIL_UP}exit 2"}, test_slurm=WAITING)

    assert done.returncode == 2
    assert calls(tmp_path)[-2].split()[0] == target
    assert done.stdout.endswith("output of test-slurm\nthe cluster is down\n")
    assert not (tmp_path / "up").exists()
    assert list((tmp_path / "tmp").iterdir()) == []


def test_without_a_set_up_nothing_is_started(run: Run, tmp_path: Path):
    assert run(setup="exit 2").returncode == 2
    assert calls(tmp_path) == ["setup"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_all_of_them(run: Run, tmp_path: Path, number: signal.Signals):
    """To the script's process group, as of a terminal."""
    done = run(test=f"{UNTIL_UP}kill -{number.name[3:]} 0\nsleep 60", test_slurm=WAITING)

    assert done.returncode != 0
    assert calls(tmp_path) == ["setup", "test", "test-slurm"]
    assert "the cluster is down" in done.stdout
    assert not (tmp_path / "up").exists()
