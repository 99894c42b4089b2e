"""Every benchmark from the command line, small: counts, exact facts, and ratios with slack.

The ratios of a short run on a busy machine say little: half of a target is asked for, or less.
"""

import functools
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.trees import RAW, prepare, tree

from transferlab.__main__ import main
from transferlab.bench import harness, loader, pack, startup, step, study
from transferlab.bench.harness import Check
from transferlab.bench.loader import Window
from transferlab.bench.processes import Processes
from transferlab.data.datasets.mapped import Mapped
from transferlab.experiment import plan
from transferlab.experiment.config import RunConfig
from transferlab.experiment.resolve import resolve

Bench = Callable[..., dict[str, Any]]


@pytest.fixture
def bench(capsys: pytest.CaptureFixture[str]) -> Bench:
    """The JSON of `bench ARGUMENTS --json`."""

    def call(*arguments: str, repetitions: int = 1) -> dict[str, Any]:
        code = main(["bench", *arguments, "--json", "--repetitions", str(repetitions)])
        out, err = capsys.readouterr()
        assert code == 0, err
        found = json.loads(out)
        assert (found["name"], found["repetitions"]) == (arguments[0], repetitions)
        assert f"repetition 1 of {repetitions}: " in err
        return found

    return call


@pytest.fixture
def cold(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sides that train are not trained once more to warm up, which test_harness covers."""
    monkeypatch.setattr(harness, "measure", functools.partial(harness.measure, warm=False))


def ratios(found: dict[str, Any]) -> dict[tuple[str, str], float]:
    return {
        (ratio["comparison"]["side"], ratio["comparison"]["against"]): ratio["spread"]["median"]
        for ratio in found["ratios"]
    }


def targets(found: dict[str, Any]) -> list[float | None]:
    return [ratio["comparison"]["target"] for ratio in found["ratios"]]


def counts(found: dict[str, Any]) -> list[tuple[int, str]]:
    return [(timing["count"], timing["unit"]) for timing in found["timings"]]


def test_trainer(bench: Bench):
    found = bench("trainer", "--steps", "3", repetitions=3)

    assert counts(found) == [(3, "steps"), (3, "steps")]
    assert targets(found) == [1.05]
    assert 0.3 < ratios(found)["Trainer", "bare loop"] < 5


def test_pack(bench: Bench, cold: None, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(pack, "CUTS", (3, 7))

    found = bench("pack", "--steps", "2")

    assert counts(found) == [(4, "runs"), (4, "runs")]
    assert targets(found) == [1.7]
    assert ratios(found)["packed", "one after another"] > 0.5
    assert found["setting"].endswith("; 2 packs")
    assert found["checks"] == [
        {"what": "weights bit-identical in float32", "passed": True, "found": "4 of 4 runs"}
    ]


def test_features(bench: Bench, cold: None, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(pack, "CUTS", (5, 7))

    found = bench("features", "--steps", "2")

    assert counts(found) == [(4, "runs"), (4, "runs"), (2, "runs"), (2, "runs")]
    assert [check["found"] for check in found["checks"]] == ["4 of 4 runs"]
    assert ratios(found).keys() == {
        ("kept", "computed"), ("kept, deepest cut", "computed, deepest cut")
    }  # fmt: skip


def test_step(bench: Bench, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(step, "SKIPPED", 1)

    found = bench("step", "--steps", "2", "--batch", "16", repetitions=3)

    assert counts(found) == [(32, "images")] * 3
    assert targets(found) == [None, None]
    assert ratios(found)["ours, real data", "ours, resident batch"] > 0.3
    assert ratios(found)["ours, resident batch", "float32 eager"] > 0.3


def test_loader(bench: Bench, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(loader, "READ", Window(size=16, skipped=1, batches=3))
    monkeypatch.setattr(loader, "COPIED", Window(size=64, skipped=4, batches=16))

    found = bench("loader", "--images", "24", repetitions=3)

    assert counts(found) == [(48, "images"), *4 * [(1024, "images")],
                             *5 * [(48, "images")]]  # fmt: skip
    assert targets(found) == [50.0, 0.3, 0.6, 0.85, 4.0, 2.0, 2.0, None]
    assert [(check["what"], check["found"]) for check in found["checks"]] == [
        ("DALI", "not installed"), ("DALI, fused crop", "not installed"),
        ("torchcodec", "not installed"),
    ]  # fmt: skip
    measured = ratios(found)
    assert measured["prepared raw", "torchvision default"] > 15
    assert measured["prepared raw", "memory copy"] > 0.03
    assert measured["prepared raw, not mirrored", "memory copy"] > 0.06
    assert measured["prepared raw, not mirrored", "crops in memory"] > 0.1
    assert measured["prepared JPEG", "torchvision default"] > 1.5
    assert measured["JPEG folder", "torchvision default"] > 0.6
    assert measured["JPEG folder, scaled", "torchvision default"] > 0.6
    assert measured["JPEG folder, scaled to 32", "JPEG folder to 32"] > 0.6


def test_reading(
    needs_torch: None, bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):  # fmt: skip
    prepare(tree(tmp_path / "images"), tmp_path / "raw", RAW)
    announced: list[int] = []
    monkeypatch.setattr(Mapped, "fetch", lambda self, starts, sizes: announced.append(len(starts)))

    found = bench("reading", "--root", str(tmp_path / "raw"), "--batch", "4", "--batches", "2")

    assert counts(found) == [(8, "images"), (8, "images")]
    assert targets(found) == [1.0]
    assert ratios(found)["announced", "page faults"] > 0.01
    assert found["setting"].endswith("/raw in random order, not in memory, batches of 4")
    (check,) = found["checks"]
    assert check["what"] == "the file was dropped from memory"
    assert check["found"].endswith(" of 256 places looked at")  # warmed up once

    assert announced == [4, 4, 4, 4]  # by one side, which warms up and is measured
    assert main(["bench", "reading", "--root", str(tmp_path / "raw"), "--batches", "9"]) == 2
    assert "--batches 9 of 256 are more than the 16 training images" in capsys.readouterr().err


def test_startup(needs_torch: None, bench: Bench, monkeypatch: pytest.MonkeyPatch):
    """The two commands that have a target; `test_imports` covers what the others import."""
    assert list(startup.COMMANDS) == ["--help", "status", "results", "sweep dry_run=true"]
    for command in ("results", "sweep dry_run=true"):
        monkeypatch.delitem(startup.COMMANDS, command)
    monkeypatch.setattr(startup, "_trainings", lambda *_: ({}, []))
    assert startup.STACK[:3] == startup.HEAVY
    monkeypatch.setattr(startup, "STACK", ("pandas", "matplotlib.figure"))  # torch takes 6 s

    found = bench("startup")

    assert targets(found) == [10.0, 10.0]
    for command in ("--help", "status"):
        assert ratios(found)[command, "importing the full stack"] > 1.5
    assert found["checks"] == [
        {"what": f"{command}: no torch in sys.modules", "passed": True, "found": "none"}
        for command in ("--help", "status")
    ]


def test_startup_of_trainings(
    forked_trainings: None, bench: Bench, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(startup, "COMMANDS", {})
    monkeypatch.setattr(startup, "STACK", ("json",))

    found = bench("startup")

    assert targets(found) == [1.5, None]
    assert list(ratios(found)) == [
        ("a training, before its first step", "importing torch"),
        ("a worker, forked", "a worker, a new process"),
    ]


def test_study(bench: Bench, tmp_path: Path, forked_trainings: None):
    grid = "- split: random\n  transfer.variant: RnB\n  transfer.n: 1\n"
    (tmp_path / "one.yaml").write_text(grid)

    found = bench("study", "--study", str(tmp_path / "one.yaml"), "--steps", "2")

    assert counts(found) == [(1, "runs"), (1, "runs")]
    assert targets(found) == [2.0]
    assert [check["found"] for check in found["checks"]] == ["1 of 1 runs", "1 of 1 runs"]


def test_processes_train_all_base_networks_before_the_rest_and_two_at_a_time(
    config: Callable[..., RunConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    started: list[tuple[str, ...]] = []
    two = threading.Barrier(2, timeout=300)

    def command(self: Processes, *words: str) -> None:
        started.append(tuple(word for word in words if word.startswith("transfer.")))
        two.wait()

    monkeypatch.setattr(Processes, "command", command)
    labels = ["A1B", "B1B"]
    runs = plan.order(resolve(config("+split=random", f"transfer.variant={v}")) for v in labels)

    study.by_processes(runs, 2, tmp_path)

    assert len(started) == 4
    assert {words[-1] for words in started[:2]} == {'transfer.target="A"', 'transfer.target="B"'}
    assert all('transfer.variant="base"' in words for words in started[:2])
    assert all("transfer.n=1" in words for words in started[2:])


def test_the_overrides_of_a_process_make_the_run_of_the_study(config: Callable[..., RunConfig]):
    asked = config("+split=random", "split.seed=3", "transfer.variant=AnB+", "transfer.n=4",
                   "train.lr=0.02", "runtime.threads=1")  # fmt: skip

    words = study.overrides(resolve(asked).config)

    assert words == ["+split=random", "split.seed=3", 'transfer.variant="AnB+"', "transfer.n=4",
                     'transfer.target="B"', "train.lr=0.02", "runtime.threads=1"]  # fmt: skip
    assert resolve(config(*words)) == resolve(asked)


@pytest.mark.parametrize(("promised", "passed"), [(True, False), (False, None)])
def test_runs_with_different_bits_are_counted(promised: bool, passed: bool | None):
    packed, alone = {"A1B": "aa", "A2B": "bb"}, {"A1B": "aa", "A2B": "cc"}

    check = pack.same_bits(packed, alone, "bfloat16", promised=promised)

    assert check == Check("weights bit-identical in bfloat16", passed, "1 of 2 runs")
