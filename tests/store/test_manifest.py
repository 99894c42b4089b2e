"""Many runs in one file: they read back the same, also after the store has moved."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support import weights
from support.records import made

from transferlab.errors import UserError
from transferlab.experiment import plan, study
from transferlab.experiment.conf import CONF
from transferlab.experiment.identity import run_id
from transferlab.experiment.keys import known_keys
from transferlab.experiment.resolve import resolve_all
from transferlab.experiment.run import Run, make_run
from transferlab.store.manifest import Manifest

STORE = "/somewhere/runs"


def some(*changes: dict[str, Any]) -> tuple[Run, ...]:
    """Runs of RECORD with changes, and their bases."""
    return plan.order(make_run(made({"runtime.store": STORE, **change})) for change in changes)


def saved(runs: Sequence[Run], folder: Path) -> Path:
    path = folder / "runs.json"
    path.write_text(Manifest.of(runs).json)
    return path


@pytest.mark.parametrize("name", CONF.choices("study"))
def test_every_study_is_read_as_it_was_written(imagenet: Path, tmp_path: Path, name: str):
    words = [
        "data=imagenet", f"data.root={imagenet}", "data.holdout=null", f"runtime.store={STORE}",
        *weights.given(name, tmp_path),
    ]  # fmt: skip
    runs = plan.order(resolve_all(study.expand(study.load(name), words)))
    runs = tuple(make_run(run.config) for run in runs)  # without their classes

    found = Manifest.read(saved(runs, tmp_path)).runs(store=Path(STORE))

    assert found == runs
    assert repr(found) == repr(runs)  # 1 is not 1.0 here
    assert [run_id(run.config) for run in found] == [run.id for run in runs]


def test_only_the_keys_in_which_runs_differ_are_columns(tmp_path: Path):
    runs = some({"transfer.n": 3}, {"transfer.n": 4, "train.lr": 1})

    written = Manifest.of(runs)

    assert written.columns == ("transfer.variant", "transfer.n", "transfer.target", "train.lr")
    assert [(base, values) for base, values in written.rows.values()] == [
        (None, ("base", 0, "A", 0.02)),
        (None, ("base", 0, "A", 1.0)),
        (runs[0].id, ("AnB", 3, "B", 0.02)),
        (runs[1].id, ("AnB", 4, "B", 1.0)),
    ]
    assert set(written.common) | set(written.columns) == set(known_keys())
    assert not set(written.common) & set(written.columns)


def test_one_run_has_no_columns(tmp_path: Path):
    (run,) = runs = some({"transfer.variant": "RnB"})

    assert Manifest.of(runs).columns == ()
    assert Manifest.read(saved(runs, tmp_path)).runs(store=Path(STORE)) == (run,)


def test_brackets_and_quotes_in_a_text_and_lists_side_by_side_break_no_line(tmp_path: Path):
    odd = {"data.mean": [1, 2, 3], "data.scale": [3, 2, 1], "runtime.wandb_project": 'a"], ["b'}
    runs = some({"transfer.n": 3}, {"transfer.n": 4, **odd})

    path = saved(runs, tmp_path)

    assert len(path.read_text().splitlines()) == 2 + len(runs) == 2 + 4
    found = Manifest.read(path).runs(store=Path(STORE))
    assert [run.config.runtime.wandb_project for run in found] == [
        "transferlab", 'a"], ["b', "transferlab", 'a"], ["b'
    ]  # fmt: skip
    assert found[-1].config.data.mean == (1.0, 2.0, 3.0)


def test_a_file_is_a_line_a_run_and_json(tmp_path: Path):
    lines = saved(some({"transfer.n": 3}, {"transfer.n": 4}), tmp_path).read_text().splitlines()

    assert len(lines) == 2 + 3
    assert json.loads("\n".join(lines))["format"] == 1
    assert [json.loads(line.rstrip(","))[2:] for line in lines[1:-1]] == [
        ["base", 0, "A"], ["AnB", 3, "B"], ["AnB", 4, "B"],
    ]  # fmt: skip


def test_a_store_that_was_moved_has_its_runs_where_it_is_now(tmp_path: Path):
    runs = some({"transfer.n": 3}, {"transfer.n": 4})

    moved = Manifest.read(saved(runs, tmp_path)).runs(store=tmp_path)

    assert {run.config.runtime.store for run in moved} == {str(tmp_path)}
    assert moved == tuple(run.in_store(tmp_path) for run in runs)
    back = [replace(n.config, runtime=replace(n.config.runtime, store=STORE)) for n in moved]
    assert back == [run.config for run in runs]


def test_one_run_is_found_by_its_id(tmp_path: Path):
    runs = some({"transfer.n": 3}, {"transfer.n": 4})

    assert Manifest.read(saved(runs, tmp_path)).run(runs[2].id, store=Path(STORE)) == runs[2]


def test_the_same_runs_have_the_same_digest_and_others_another():
    digests = [
        Manifest.of(some(*changes)).digest
        for changes in (
            [{"transfer.n": 3}, {"transfer.n": 4}],
            [{"transfer.n": 3}, {"transfer.n": 4}],
            [{"transfer.n": 3}, {"transfer.n": 5}],
            [{"transfer.n": 3}],
        )
    ]

    assert digests[0] == digests[1]
    assert len(set(digests)) == 3
    assert {len(digest) for digest in digests} == {8}


def spoilt(path: Path, **changes: Any) -> Path:
    """The file with some of its entries changed, or taken away where they are None."""
    record = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({k: v for k, v in record.items() if v is not None}))
    return path


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"runs": None}, "runs is missing"),
        ({"common": None}, "common is missing"),
        ({"columns": None}, "columns is missing"),
        ({"runs": []}, "it has no runs"),
        ({"runs": [["id", None, "AnB", 3]]}, "not a value for every column"),
        ({"runs": [["id"]]}, "not a value for every column"),
        (
            {"runs": [["x/../../outside", None, "base", 0, "A"]]},
            "run='x/../../outside' must be 12 hexadecimal digits",
        ),
        (
            {"runs": [["0" * 12, "../outside", "AnB", 3, "B"]]},
            "base='../outside' must be 12 hexadecimal digits",
        ),
        ({"runs": [3]}, "runs[0]=3 must be a list"),
        ({"runs": 3}, "runs=3 must be a list"),
        ({"common": 3}, "common=3 must be an object"),
        ({"common": {"shell": "rm"}}, "unknown key 'shell'"),
    ],
)
def test_a_damaged_file_is_refused(tmp_path: Path, changes: dict[str, Any], what: str):
    path = spoilt(saved(some({"transfer.n": 3}), tmp_path), **changes)

    with pytest.raises(UserError) as error:
        Manifest.read(path)

    assert str(error.value) == f"{path} is damaged ({what}): delete its folder and run sweep again"


def test_half_a_file_and_one_of_another_version_are_refused(tmp_path: Path):
    path = saved(some({"transfer.n": 3}), tmp_path)
    text = path.read_text()

    path.write_text(text[: len(text) // 2])
    with pytest.raises(UserError, match="runs.json is damaged"):
        Manifest.read(path)
    path.write_text(text.replace('"format": 1', '"format": 99'))
    with pytest.raises(UserError, match="was written by an incompatible version"):
        Manifest.read(path)
    path.unlink()
    with pytest.raises(UserError, match="runs.json is damaged"):
        Manifest.read(path)
