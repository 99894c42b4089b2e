"""The files of the repository, and rules for them."""

import os
import shutil
import subprocess
import tomllib
from collections.abc import Iterable
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
TOP_LEVEL = {
    *("pyproject.toml", "constraints.txt", "Makefile", "LICENSE"),
    *("README.md", "CHANGELOG.md", "CONTRIBUTING.md"),
    *("transferlab", "conf", "notebooks", "tests", "slurm"),
}
MACHINES = tuple(f"/{folder}/".encode() for folder in ("root", "home", "Users"))


def names() -> list[str]:
    """Tracked files, and new ones that git does not ignore."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True)
    if listed.returncode:
        pytest.skip(f"git lists no files: {os.fsdecode(listed.stderr).strip()}")
    found = [os.fsdecode(name) for name in listed.stdout.split(b"\0") if name]
    assert "pyproject.toml" in found
    return [name for name in found if (ROOT / name).is_file()]  # deleted ones are still listed


def pins() -> dict[str, str]:
    """Name -> version of every line of constraints.txt."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    kept = [line for line in lines if line.strip() and not line.startswith("#")]
    assert all(line.count("==") == 1 for line in kept), "only NAME==VERSION"
    split = (line.partition(";")[0].split("==") for line in kept)
    return {canonicalize_name(name.strip()): version.strip() for name, version in split}


def requirements() -> Iterable[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return map(Requirement, [*project["dependencies"], *project["optional-dependencies"]["dev"]])


def test_the_top_level_has_only_what_belongs_there():
    top = {name.partition("/")[0] for name in names()}
    assert {name for name in top if not name.startswith(".")} - TOP_LEVEL == set()


def test_no_file_is_above_a_megabyte():
    sizes = {name: (ROOT / name).stat().st_size for name in names()}
    assert {name: size for name, size in sizes.items() if size > 1_000_000} == {}


def test_no_file_names_a_place_on_somebodys_machine():
    contents = {name: (ROOT / name).read_bytes() for name in names()}
    assert [n for n, content in contents.items() if any(m in content for m in MACHINES)] == []


def test_every_requirement_is_pinned_to_a_version_that_it_allows():
    pinned = pins()
    wrong = {
        str(requirement): pinned.get(canonicalize_name(requirement.name), "not pinned")
        for requirement in requirements()
        if (version := pinned.get(canonicalize_name(requirement.name))) is None
        or version not in requirement.specifier
    }
    assert wrong == {}
