"""How much of a machine a process may use: cores by its launcher, memory by its control groups."""

import os
from pathlib import Path

import pytest

from transferlab.runtime import machine

GB = 10**9


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with 64 GB, 50 of them free, 8 cores, and no control groups."""
    sizes = {"SC_PHYS_PAGES": 64 * GB // 4000, "SC_PAGE_SIZE": 4000}
    monkeypatch.setattr(os, "sysconf", sizes.__getitem__)
    monkeypatch.setattr(machine, "PROC", tmp_path / "proc")
    monkeypatch.setattr(machine, "CGROUPS", tmp_path / "cgroup")
    write(tmp_path / "proc/meminfo", f"MemFree: 1 kB\nMemAvailable: {50 * GB // 1024} kB\n")
    return tmp_path


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_without_control_groups_it_is_the_machines(here: Path):
    assert machine.total_bytes() == 64 * GB
    assert machine.free_bytes() == 50 * GB // 1024 * 1024
    (here / "proc/meminfo").unlink()
    assert machine.free_bytes() == 64 * GB  # nobody says what is used


def test_a_job_has_the_least_that_a_group_allows_and_caches_are_free(here: Path):
    """As SLURM makes them: the limit is the job's, and the process is in a step of it."""
    write(here / "proc/self/cgroup", "0::/slurm/job_7/step_0\n")
    job = here / "cgroup/slurm/job_7"
    write(job / "step_0/memory.max", "max\n")
    write(job / "memory.max", f"{16 * GB}\n")
    write(job / "memory.current", f"{6 * GB}\n")
    write(job / "memory.stat", f"anon {4 * GB}\ninactive_file {2 * GB}\n")

    assert (machine.total_bytes(), machine.free_bytes()) == (16 * GB, 12 * GB)


def test_a_container_finds_its_limit_at_the_root(here: Path):
    write(here / "proc/self/cgroup", "0::/\n")
    write(here / "cgroup/memory.max", f"{8 * GB}\n")

    assert (machine.total_bytes(), machine.free_bytes()) == (8 * GB, 8 * GB)


def test_control_groups_of_version_1(here: Path):
    write(here / "proc/self/cgroup", "5:cpu,cpuacct:/\n4:memory:/docker/x\n0::/\n")
    group = here / "cgroup/memory"
    write(group / "docker/x/memory.limit_in_bytes", "9223372036854771712\n")  # none
    write(group / "memory.limit_in_bytes", f"{10 * GB}\n")
    write(group / "memory.usage_in_bytes", f"{11 * GB}\n")
    write(group / "memory.stat", f"total_inactive_file {GB // 2}\n")

    assert (machine.total_bytes(), machine.free_bytes()) == (10 * GB, 0)


def test_cores_are_those_of_the_process_or_its_share(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)
    for name in ("TRANSFERLAB_CORES", "SLURM_CPUS_PER_TASK"):
        monkeypatch.delenv(name, raising=False)

    assert machine.cores() == 8
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "4")
    assert machine.cores() == 4
    monkeypatch.setenv("TRANSFERLAB_CORES", "3")
    assert machine.cores() == 3
