"""Environment variables: an empty one counts as unset, wherever it is read."""

import ast
from pathlib import Path

import pytest

import transferlab
from transferlab.__main__ import main
from transferlab.errors import UserError
from transferlab.results.page import report
from transferlab.runtime import environment, machine

PACKAGE = Path(transferlab.__file__).parent


@pytest.mark.parametrize("empty", ["", " ", "\t"])
def test_an_empty_one_counts_as_unset(
    empty: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    for name in ("STORE", "CACHE", "DEBUG", "CORES"):
        monkeypatch.setenv(f"TRANSFERLAB_{name}", empty)
    monkeypatch.chdir(tmp_path)

    assert report.default_store() == "runs"
    assert machine.cores() >= 1
    assert main(["status"]) == 2
    (message,) = capsys.readouterr().err.splitlines()
    assert message.startswith(f"error: {tmp_path}/runs is not a store: ")
    assert main(["--cfg", "job", "--resolve", "+split=random"]) == 0
    composed = capsys.readouterr().out
    assert "  store: runs\n  cache: null\n" in composed


@pytest.mark.parametrize("text", ["two", "-1", "1.5", "²"])
def test_a_count_that_is_none_is_refused_by_name(text: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TRANSFERLAB_CORES", text)
    with pytest.raises(UserError, match=f"^TRANSFERLAB_CORES={text} in the environment must be"):
        machine.cores()
    monkeypatch.setenv("TRANSFERLAB_CORES", "1")
    assert machine.cores() == 1


def test_no_other_module_reads_one_of_ours():
    reading = {
        f"{path.relative_to(PACKAGE)}: {ast.unparse(node)}"
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("os.environ.get", "os.getenv")
    }
    assert reading == {
        "runtime/environment.py: os.environ.get(name, '')",
        "runtime/compiled.py: os.environ.get(CACHE_VARIABLE, TORCHS_OWN)",  # torch's
        "experiment/cost/networks.py: os.environ.get('CUDA_VISIBLE_DEVICES')",  # empty: no device
    }
    assert environment.PREFIX == "TRANSFERLAB_"
