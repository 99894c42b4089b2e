"""The command `bench`: its flags, and how it ends."""

import logging
from dataclasses import replace

import pytest

from transferlab.__main__ import main
from transferlab.bench import report, turns
from transferlab.bench.report import Check, Report
from transferlab.bench.turns import Comparison, Side
from transferlab.cli import bench
from transferlab.cli.bench import Benchmark


def found(passed: bool) -> Report:
    sides = [Side("a", lambda: 1.0, 1, "steps"), Side("b", lambda: 1.0, 1, "steps")]
    comparison = Comparison("a", "b", "speed", 2.0)
    measured = report.measure("fake", "nothing", sides, [comparison], repetitions=1)
    return replace(measured, checks=(Check("same bits", passed, "3 of 4"),))


def fake(monkeypatch: pytest.MonkeyPatch, *, passed: bool) -> None:
    monkeypatch.setitem(
        bench.BENCHMARKS,  # type: ignore[arg-type]
        "fake",
        Benchmark("nothing", 3, lambda flags: None, lambda chosen: found(passed)),
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["lader"], "argument name: invalid choice: 'lader'"),
        (["pack", "--repetitions", "0"], "argument --repetitions: 0 is not a number: 1 or more"),
        (["pack", "--steps", "x"], "argument --steps: x is not a number: 1 or more"),
        (["step", "--workers", "-1"], "argument --workers: -1 is not a number: 0 or more"),
        (["step", "--root", "/nowhere"], "argument --root: /nowhere is not a folder"),
        (["trainer", "--store", "x"], "unrecognized arguments: --store x"),
        (["study", "--study", "quik"], "study=quik is not there: did you mean quick?"),
    ],
)
def test_wrong_use_is_refused_in_one_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
):
    assert main(["bench", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith(f"error: {message}") and err.count("\n") == 1


@pytest.mark.parametrize("name", [(), *((name,) for name in bench.BENCHMARKS)])
def test_every_benchmark_tells_its_flags(name: tuple[str, ...], capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as ended:
        main(["bench", *name, "--help"])
    assert ended.value.code == 0
    out = capsys.readouterr().out
    assert ("--json" in out) == bool(name) and "--store" not in out


def test_a_target_that_is_missed_is_told_and_no_failure(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    fake(monkeypatch, passed=True)

    assert main(["bench", "fake"]) == 0
    out, err = capsys.readouterr()
    assert "at least 2  missed" in out and "same bits  yes  3 of 4\n" in out
    assert "warming up: a  1.000 s" in err


def test_what_is_not_so_is_a_failure_after_the_report(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    fake(monkeypatch, passed=False)

    assert main(["bench", "fake"]) == 1
    out, err = capsys.readouterr()
    assert "same bits  NO  3 of 4\n" in out
    assert err.splitlines()[-1] == "error: bench fake: not so: same bits: 3 of 4"


def test_of_what_it_runs_only_warnings_are_shown_and_only_meanwhile(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    def measure(chosen: object) -> Report:
        logging.getLogger("transferlab.training.run").info("step 1")
        logging.getLogger("transferlab.training.run").warning("nan")
        turns.log.info("half way")
        return found(True)

    before = logging.getLogger("transferlab").level
    monkeypatch.setitem(
        bench.BENCHMARKS,  # type: ignore[arg-type]
        "fake",
        Benchmark("nothing", 3, lambda flags: None, measure),
    )

    main(["bench", "fake"])

    assert capsys.readouterr().err.splitlines()[:2] == ["nan", "half way"]
    assert logging.getLogger("transferlab").level == before or before == logging.NOTSET
    assert logging.getLogger("transferlab.bench").level == logging.NOTSET
