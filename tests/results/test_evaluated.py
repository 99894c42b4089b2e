"""The table of evaluations, and what is listed as left out."""

import json
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from support import evaluated, stores

from transferlab import results
from transferlab.__main__ import main
from transferlab.experiment.run import Run

FIRST = {"top1": 0.75, "top5": 0.96, "loss": 0.5}
SECOND = {"top1": 0.85, "top5": None, "loss": 0.4}


@pytest.fixture
def runs(tmp_path: Path) -> list[Run]:
    """A store of two runs, one of them in another experiment."""
    place = tmp_path / "runs"
    return [
        stores.finish(place, "baseB", 0.5),
        stores.finish(place, "A3B", 0.5, {"train.epochs": 3.0}),
    ]


def test_an_average_is_followed_by_its_runs(runs: list[Run]):
    first, second = runs
    evaluated.keep((second, SECOND), text="dense")
    evaluated.keep((first, FIRST), (second, SECOND))

    table = results.table(results.load(first.folder.parent), "evaluations")

    assert list(table.columns) == [
        "evaluation", "label", "id", "model", "runs", "protocol", "asked", "data_set", "images",
        "top1", "top5", "loss", "settings", "skipped", "time_s", "device", "finished", "kept_with",
        "path",
    ]  # fmt: skip
    shown = table[["label", "id", "runs", "asked", "top1", "top5", "loss"]]
    assert shown.astype(object).fillna("").to_numpy().tolist() == [
        ["A3B", second.id, 1, "dense", 0.85, "", 0.4],
        ["average", "", 2, "10 crops", 0.9, "", 0.3],
        ["baseB", first.id, 1, "10 crops", 0.75, 0.96, 0.5],
        ["A3B", second.id, 1, "10 crops", 0.85, "", 0.4],
    ]
    assert {*table["data_set"]} == {"birds"} and {*table["skipped"]} == {1}
    assert "below an average are its runs, each alone" in table.attrs["notes"]


def test_the_command_shows_percent_and_no_folder(
    runs: list[Run], capsys: pytest.CaptureFixture[str]
):
    evaluated.keep((runs[0], FIRST))
    store = str(runs[0].folder.parent)

    assert main(["results", "--store", store, "--table", "evaluations"]) == 0
    heading, _, row = capsys.readouterr().out.splitlines()[2:5]
    assert heading.split() == [
        "label", "id", "model", "runs", "asked", "data_set", "images", "top1", "%", "top5", "%",
        "loss",
    ]  # fmt: skip
    assert row.split() == [
        "baseB", runs[0].id, "alexnet_small", "1", "10", "crops", "birds", "50", "75.00", "96.00",
        "0.5",
    ]  # fmt: skip
    words = ("results", "--store", store, "--table", "evaluations", "--format", "csv")
    assert main(words) == 0
    assert store not in (text := capsys.readouterr().out) and "/evaluations/" in text


def test_evaluations_of_runs_that_are_not_shown_are_not_either(runs: list[Run]):
    evaluated.keep((runs[0], FIRST))
    loaded = results.load(runs[0].folder.parent)

    def of(run: Run) -> pd.DataFrame:
        """The table of an experiment that has this run alone."""
        shown = replace(loaded, table=loaded.table[loaded.table["id"] == run.id])
        return results.table(shown, "evaluations")

    assert len(of(runs[0])) == 1 and len(of(runs[1])) == 0
    assert "no finished run has been evaluated: the table is empty" in of(runs[1]).attrs["notes"]


def test_damaged_records_and_those_of_other_weights_are_left_out(runs: list[Run]):
    store = runs[0].folder.parent
    stale, damaged = evaluated.keep((runs[0], FIRST)), evaluated.keep((runs[1], SECOND))
    damaged.write_text("{")
    record = json.loads(runs[0].result_file.read_text())
    runs[0].result_file.write_text(json.dumps({**record, "weights_sha256": "9" * 64}))

    loaded = results.load(store)

    assert len(loaded.evaluations) == 0
    kinds = loaded.left_out[["kind", "reason"]].to_numpy().tolist()
    assert sorted(kinds, key=lambda row: "other" not in row[1]) == [
        [
            "damaged",
            f"{stale} is damaged (it is of other weights than those of baseB {runs[0].id}): delete "
            "it to evaluate again",
        ],
        ["damaged", kinds[[str(damaged) in reason for _, reason in kinds].index(True)][1]],
    ]
    assert len(loaded.table) == 2  # the runs are sound
