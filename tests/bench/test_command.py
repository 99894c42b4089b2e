"""The command `bench`: its flags, and how it ends."""

import logging
import sys
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from transferlab import bench
from transferlab.__main__ import main
from transferlab.bench import harness
from transferlab.bench.harness import Check, Comparison, Report, Side
from transferlab.errors import Interrupted

Measure = Callable[[Any], Report]


def measured(passed: bool) -> Report:
    sides = [Side("a", lambda: 1.0, 1, "steps"), Side("b", lambda: 1.0, 1, "steps")]
    return harness.measure(
        "fake",
        "nothing",
        sides,
        [Comparison("a", "b", "speed", 2.0)],
        repetitions=1,
        checks=lambda: [Check("same bits", passed, "3 of 4")],
    )


@pytest.fixture
def register(monkeypatch: pytest.MonkeyPatch) -> Callable[[Measure], None]:
    """Makes a function the benchmark `fake`."""

    def register(measure: Measure) -> None:
        module = SimpleNamespace(REPETITIONS=3, add_flags=lambda parser: None, measure=measure)
        monkeypatch.setitem(bench.BENCHMARKS, "fake", "nothing")
        monkeypatch.setitem(sys.modules, "transferlab.bench.fake", module)  # type: ignore[arg-type]

    return register


@pytest.fixture(autouse=True)
def levels() -> Iterator[None]:
    """Undo what the command sets for the rest of the process."""
    loggers = [logging.getLogger(name) for name in ("transferlab", "transferlab.bench")]
    before = [logger.level for logger in loggers]
    yield
    for logger, level in zip(loggers, before, strict=True):
        logger.setLevel(level)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["lader"], "argument name: invalid choice: 'lader'"),
        (["pack", "--repetitions", "0"], "argument --repetitions: 0 must be an integer of"),
        (["pack", "--steps", "x"], "argument --steps: x must be an integer of at least 1"),
        (["step", "--workers", "-1"], "argument --workers: -1 must be an integer of at least 1"),
        (["step", "--root", "/nowhere"], "argument --root: /nowhere is not a folder"),
        (["trainer", "--store", "x"], "unrecognized arguments: --store x"),
        (["study", "--study", "quik"], "unknown study=quik: did you mean quick?"),
    ],
)
def test_wrong_use_is_refused_in_one_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
):
    assert main(["bench", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith(f"error: {message}") and err.count("\n") == 1


@pytest.mark.parametrize("name", [(), *((name,) for name in bench.BENCHMARKS)])
def test_every_benchmark_has_help_for_its_flags(
    name: tuple[str, ...], capsys: pytest.CaptureFixture[str]
):
    with pytest.raises(SystemExit) as ended:
        main(["bench", *name, "--help"])
    assert ended.value.code == 0
    out = capsys.readouterr().out
    assert ("--json" in out) == bool(name) and "--store" not in out


def test_a_missed_target_is_reported_and_no_failure(
    capsys: pytest.CaptureFixture[str], register: Callable[[Measure], None]
):
    register(lambda selected: measured(True))

    assert main(["bench", "fake"]) == 0
    out, err = capsys.readouterr()
    assert "at least 2  missed" in out and "same bits  yes  3 of 4\n" in out
    assert "warming up: a  1.000 s" in err


def test_a_failed_check_is_a_failure_after_the_report(
    capsys: pytest.CaptureFixture[str], register: Callable[[Measure], None]
):
    register(lambda selected: measured(False))

    assert main(["bench", "fake"]) == 1
    out, err = capsys.readouterr()
    assert "same bits  NO  3 of 4\n" in out
    assert err.splitlines()[-1] == "error: bench fake: failed checks: same bits: 3 of 4"


def test_only_warnings_of_the_code_under_test_are_shown(
    capsys: pytest.CaptureFixture[str], register: Callable[[Measure], None]
):
    def measure(selected: object) -> Report:
        logging.getLogger("transferlab.training.run").info("step 1")
        logging.getLogger("transferlab.training.run").warning("nan")
        harness.log.info("half way")
        return measured(True)

    register(measure)

    main(["bench", "fake"])

    assert capsys.readouterr().err.splitlines()[:2] == ["nan", "half way"]


@pytest.mark.parametrize(
    ("error", "reason"),
    [(Interrupted("stopped by SIGTERM"), "stopped by SIGTERM"),
     (Interrupted("stopped while training"), "stopped while training"),
     (KeyboardInterrupt(), "stopped by SIGINT")],
)  # fmt: skip
def test_one_that_is_interrupted_says_that_it_has_no_result(
    error: KeyboardInterrupt, reason: str, register: Callable[[Measure], None],
    capsys: pytest.CaptureFixture[str],
):  # fmt: skip
    def measure(selected: object) -> Report:
        raise error

    register(measure)
    assert main(["bench", "fake"]) == 75
    assert capsys.readouterr() == (
        "", f"{reason}: bench fake has no result, and keeps nothing to resume\n"
    )  # fmt: skip
