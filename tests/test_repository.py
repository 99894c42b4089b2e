"""The files of the repository, and rules for them."""

import ast
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


def test_the_package_reads_and_writes_text_as_utf_8_in_any_locale():
    found = {
        f"{path.relative_to(ROOT)}: {ast.unparse(call)}"
        for path in (ROOT / "transferlab").rglob("*.py")
        for call in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(call, ast.Call) and in_locale(call)
    }
    assert found == set()


BINARY = ("os.open", "Image.open", "archive.open")  # of a zip file


def in_locale(call: ast.Call) -> bool:
    """Whether a call opens, reads or writes text in the encoding of the locale."""
    name = ast.unparse(call.func)
    keywords = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
    last = name.rpartition(".")[2]
    if "encoding" in keywords:
        return False
    if last in ("read_text", "write_text"):
        return len(call.args) < (1 if last == "read_text" else 2)
    if last in ("open", "fdopen", "NamedTemporaryFile") and name not in BINARY:
        texts = [arg.value for arg in call.args if isinstance(arg, ast.Constant)]
        modes = [text for text in texts if isinstance(text, str) and len(text) < 4]
        return not any("b" in mode for mode in modes) and "opener" not in keywords
    return name.startswith("subprocess.") and "text" in keywords
