"""Runs with several labels an image in tables, figures and curves: both forms of mAP, by name."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from support.stores import finish

from transferlab import results
from transferlab.errors import UserError
from transferlab.results import Results, figures, formats, loading
from transferlab.results.figures import layout
from transferlab.results.page import overview

VOC = {"data.name": "voc2007", "data.root": "/VOCdevkit", "data.val": "test",
       "data.holdout": None, "train.loss": "binary"}  # fmt: skip


def add(place: Path, label: str, area: float, *, split: int = 0) -> Any:
    """A run whose 11-point mAP is 0.1 above its area mAP; guesses reach 0.3 and 0.2."""
    eleven = area + 0.1
    metrics = {
        "map11_final": eleven, "map11_best10": None, "map11_peak": eleven, "map_final": area,
        "map_best10": None, "map_peak": area, "map11_guess": 0.3, "map_guess": 0.2, "chance": 0.1,
        "val_loss_final": 2.0, "train_loss_final": 1.5,
    }  # fmt: skip
    return finish(place, label, 0.0, VOC, split=split, metrics=metrics)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    for split in (0, 1):
        for label, area in (("baseA", 0.5), ("baseB", 0.6), ("A3B", 0.55), ("B3B", 0.58)):
            add(tmp_path, label, area + 0.01 * split, split=split)
    return tmp_path


def mean(found: Results, metric: str | None, series: str) -> float:
    table = results.table(found, "figure2", metric)
    return float(table[(table["series"] == series) & (table["metric"] == (metric or found.metric))]
                 ["mean"].iloc[0])  # fmt: skip


def test_a_store_of_them_is_shown_in_eleven_points_unless_the_other_is_named(store: Path):
    found = results.load(store)

    assert found.metric == "map11_final"
    assert mean(found, None, "AnB") == pytest.approx(0.655)
    assert mean(found, "map_final", "AnB") == pytest.approx(0.555)
    table = results.table(found, "figure2")
    assert formats.title(table).startswith("Figure 2: map11_final, voc2007")
    row = found.table[(found.table["label"] == "A3B") & (found.table["split_seed"] == 0)].iloc[0]
    assert row["target_base_metric"] == pytest.approx(0.7)
    assert row["delta_to_target_base"] == pytest.approx(-0.05)
    facts = overview.facts(found, "map_final", store="mine")
    assert "map_final, final area mAP; mAP area on the target's" in facts.to_string(index=False)


def test_the_axes_name_the_form(store: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(layout, "lay_out", lambda *_: None)  # most of the time of a draw
    found = results.load(store)

    figure = figures.draw(found, "figure2")
    assert figure.axes[0].get_ylabel() == "11-point mAP (%)"
    figure = figures.draw(found, "figure3", "map_final")
    assert figure.axes[0].get_ylabel() == "area mAP \N{MINUS SIGN} baseB (points)"


def test_a_run_no_better_than_guesses_by_the_metric_that_is_shown_does_not_count(store: Path):
    add(store, "A2B", 0.19, split=0)

    found = results.load(store)
    counts = found.table.set_index("label")["counts"]
    assert not counts["A2B"]  # 0.29, and guesses reach 0.3
    assert found.left_out["reason"].tolist() == [
        "at chance level: map11_final 0.2900, chance 0.1000"
    ]
    add(store, "A2B", 0.205, split=0)
    found = results.load(store)
    assert found.left_out.empty  # 0.305
    assert results.table(found, "runs", "map_final").set_index("label")["counts"]["A2B"]


def test_a_store_with_both_kinds_says_which_runs_lack_the_metric(store: Path):
    finish(store, "baseB", 0.75)

    found = results.load(store)
    assert found.metric == "map11_final"
    table = results.table(found, "figure2")
    assert "map11_final is missing for 1 of 9 finished runs: it is of runs with several labels an "\
           "image" in table.attrs["notes"]  # fmt: skip
    table = results.table(found, "figure2", "top1_final")
    assert [note for note in table.attrs["notes"] if note.startswith("top1_final is missing")] == [
        "top1_final is missing for 8 of 9 finished runs: it is of runs with one label an image"
    ]
    runs = results.table(found, "runs", "top1_final").set_index("label")
    assert runs.loc["A3B", "top1_final"].isna().all()
    assert pd.isna(runs.loc["A3B", "delta_to_target_base"]).all()


def test_a_curve_is_that_of_the_metric(store: Path):
    run = add(store, "A1B", 0.4)
    run.metrics_file.write_text(
        "step,train/loss,val/loss,val/map11,val/map\n100,2,2,0.3,0.25\n339,1.5,2,0.5,0.4\n"
    )
    found = results.load(store)

    for metric, values in (("map11_final", [0.3, 0.5]), ("map_final", [0.25, 0.4])):
        curves = results.curves(loading.judged(found, metric), [run.id])
        assert curves["value"].tolist() == values
    assert results.curves(loading.judged(found, "top1_final"), [run.id]).empty
    run.metrics_file.write_text(run.metrics_file.read_text().replace("0.5,0.4", "0.5,0.41"))
    changed = results.load(store)
    assert "its last row differs" in results.curves(changed, [run.id]).attrs["faults"][run.id]


def test_a_record_without_any_metric_or_with_half_of_them_is_damaged(store: Path):
    run = add(store, "A1B", 0.4)
    for lacking in ("map_peak", "map11_final", "map_guess"):
        add(store, "A1B", 0.4)
        text = run.result_file.read_text().replace(f'"{lacking}"', '"other"')
        run.result_file.write_text(text)
        (damaged,) = results.load(store).left_out.to_dict("records")
        assert damaged["kind"] == "damaged", lacking


def test_a_metric_that_no_run_has_is_refused_with_one_that_they_have(store: Path):
    with pytest.raises(UserError, match=r"choose --metric map11_final"):
        figures.draw(results.load(store), "figure2", "top1_final")
