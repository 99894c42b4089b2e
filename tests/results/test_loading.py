"""One table of all finished runs of a store, and the runs left out of it, with the reason."""

import json
import math
import os
from pathlib import Path

import pandas as pd
import pytest
from pandas.testing import assert_frame_equal
from support.records import leaves
from support.stores import config, finish, located, planned, start

from transferlab import results
from transferlab.errors import UserError
from transferlab.experiment.keys import known_keys
from transferlab.results import catalogue, rows, scan, selections
from transferlab.store import kept

COLUMNS = [
    "id", "label", "variant", "base", "target", "n", "fine_tuned", "split", "split_seed", "data",
    "data_set", "model", "seed", "top1_final", "top1_best10", "top1_peak", "map11_final",
    "map11_best10", "map11_peak", "map_final", "map_best10", "map_peak", "chance", "learned",
    "counts", "target_base_metric", "delta_to_target_base",
]  # fmt: skip


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return tmp_path / "runs"


def of(table: pd.DataFrame, label: str) -> pd.Series:
    (row,) = (row for _, row in table[table["label"] == label].iterrows())
    return row


def left(loaded: results.Results) -> list[tuple[str, str]]:
    return list(loaded.left_out[["label", "kind"]].itertuples(index=False, name=None))


# --- the table ----------------------------------------------------------------------------------


def test_a_row_has_the_values_of_the_record(runs: Path):
    run = finish(runs, "A3B+", 0.75)

    row = of(results.load(runs).table, "A3B+")
    assert row["id"] == run.id
    assert (row["variant"], row["base"], row["target"], row["n"]) == ("AnB+", "A", "B", 3)
    assert row["fine_tuned"] and row["learned"]
    assert (row["split"], row["split_seed"], row["seed"]) == ("random", 0, 0)
    assert (row["data"], row["model"]) == ("digits", "alexnet_small")
    assert (row["top1_final"], row["top1_peak"]) == (0.75, 0.77)
    assert (row["chance"], row["val_loss_final"], row["train_loss_final"]) == (0.2, 1.5, 1.0)
    assert (row["steps"], row["time_s"], row["pack_size"]) == (339, 12.5, 1)
    assert (row["versions.torch"], row["commit"], row["dirty"]) == ("2.15.0", "f" * 40, False)
    assert row["path"] == str(run.folder)


@pytest.mark.parametrize(
    ("changes", "steps", "number", "best"),
    [
        ({}, 339, 15, None),  # once an epoch, 722 / 32 steps
        ({"train.val_every": 3}, 297, 99, None),
        ({"train.val_every": 3}, 298, 100, 0.76),
    ],
)
def test_the_ten_best_of_a_short_curve_are_missing(
    changes: dict[str, object], steps: int, number: int, best: float | None, runs: Path
):
    finish(runs, "A3B", 0.75, changes, steps=steps)  # its record has the mean of ten, as older ones

    row = of(results.load(runs).table, "A3B")
    assert row["validations"] == number
    assert (None if pd.isna(row["top1_best10"]) else row["top1_best10"]) == best


def test_leading_columns_come_first_and_every_key_of_the_config_follows(runs: Path):
    finish(runs, "A3B", 0.75)

    table = results.load(runs).table
    assert list(table.columns[: len(COLUMNS)]) == COLUMNS
    assert set(known_keys()) <= set(table.columns)
    row = of(table, "A3B")
    expected = leaves(json.loads((Path(row["path"]) / "config.json").read_text())["config"])
    assert expected.pop("split.a") is None  # no section of it
    expected["data.scale"] = "0.015625"  # as text, since it may be a list
    assert {key: None if pd.isna(row[key]) else row[key] for key in expected} == expected


def test_a_network_for_all_classes_is_a_row_too(runs: Path):
    whole = {"split.name": "whole", "data.per_class": 25}
    finish(runs, "baseB", 0.5, whole)
    finish(runs, "R2B", 0.4, {"split.name": "whole"})

    table = results.load(runs).table
    assert of(table, "baseB")["data.per_class"] == 25
    assert pd.isna(of(table, "baseB")["split_seed"])
    assert (of(table, "R2B")["base"], of(table, "R2B")["variant"]) == ("R", "RnB")


def test_a_run_is_compared_with_the_base_of_its_own_target(runs: Path):
    finish(runs, "baseA", 0.9)
    finish(runs, "baseB", 0.8)
    finish(runs, "A3B", 0.75)
    finish(runs, "B3A", 0.7)

    table = results.load(runs).table
    assert of(table, "A3B")["target_base_metric"] == 0.8
    assert of(table, "A3B")["delta_to_target_base"] == pytest.approx(-0.05)
    assert of(table, "B3A")["delta_to_target_base"] == pytest.approx(-0.2)
    assert of(table, "baseA")["delta_to_target_base"] == 0


@pytest.mark.parametrize(
    "other",
    [
        {"seed": 1},
        {"split.seed": 1, "split.digest": "1" * 64},
        {"data.digest": "e" * 64},
        {"data.name": "cifar10"},
        {"data.per_class": 50},
        {"model.name": "alexnet"},
        {"train.epochs": 16},
        {"train.lr": 0.03},
    ],
)
def test_the_base_of_another_experiment_does_not_count(other: dict[str, object], runs: Path):
    finish(runs, "baseB", 0.8, other)
    finish(runs, "A3B", 0.75)

    assert pd.isna(of(results.load(runs).table, "A3B")["target_base_metric"])


def test_a_base_is_the_same_whichever_mean_the_others_subtract(runs: Path):
    # Within one half the two are the same, and so is the run
    finish(runs, "baseB", 0.8, {"data.mean": "base"})
    finish(runs, "A3B", 0.75, {"data.mean": "target"})

    assert of(results.load(runs).table, "A3B")["target_base_metric"] == 0.8


def test_the_difference_is_of_the_requested_metric(runs: Path):
    finish(runs, "baseB", 0.8, metrics={"top1_final": 0.8, "top1_best10": 0.85, "top1_peak": 0.9,
                                        "chance": 0.2})  # fmt: skip
    finish(runs, "A3B", 0.75)

    table = results.with_metric(results.load(runs).table, "top1_peak")
    assert of(table, "A3B")["delta_to_target_base"] == pytest.approx(0.77 - 0.9)


def test_hidden_and_other_folders_are_ignored(runs: Path):
    finish(runs, "A3B", 0.75)
    (runs / ".multirun").mkdir()
    (runs / "notes").mkdir()
    (runs / "todo.txt").write_text("sleep")

    loaded = results.load(runs)
    assert (len(loaded.table), len(loaded.left_out)) == (1, 0)


# --- what is left out ---------------------------------------------------------------------------


@pytest.mark.parametrize("learned", [True, False])
def test_a_run_of_an_unknown_number_of_images_is_judged_as_its_record_says(
    runs: Path, learned: bool
):
    finish(runs, "A3B", 0.75)
    table = results.load(runs).table.assign(val_images=math.nan, learned=learned)

    assert of(results.with_metric(table, "top1_final"), "A3B")["learned"] == learned


def test_a_run_is_judged_by_the_metric_that_is_shown(runs: Path):
    low = {"top1_final": 0.21, "top1_best10": 0.6, "top1_peak": 0.7, "chance": 0.2}
    finish(runs, "A3B", 0.21, metrics=low, learned=False)
    finish(runs, "A5B", 0.9)

    final = results.load(runs)
    best = results.judged(final, "top1_peak")
    assert [of(shown.table, "A3B")["learned"] for shown in (final, best)] == [False, True]
    assert final.left_out["label"].tolist() == ["A3B"] and best.left_out.empty
    assert best.metric == "top1_peak"
    assert results.judged(best, "top1_final").left_out.equals(final.left_out)
    shown = results.table(final, "figure2", "top1_peak")
    assert shown.set_index("n").loc[3, "at_chance"] == 0


def test_unequal_classes_are_judged_by_the_larger_one(runs: Path):
    """The record says that it learned, as the ones before the share of a class was taken did."""
    shares = {"top1_final": 0.9, "top1_best10": 0.9, "top1_peak": 0.9, "chance": 0.9}
    finish(runs, "A3B", 0.9, metrics=shares)

    assert not of(results.load(runs).table, "A3B")["learned"]


def test_a_run_at_chance_level_is_in_the_table_and_listed(runs: Path):
    run = finish(runs, "A3B", 0.21, learned=False)

    loaded = results.load(runs)
    assert not of(loaded.table, "A3B")["learned"]
    assert loaded.left_out.iloc[0].to_dict() == {
        "id": run.id,
        "label": "A3B",
        "split": "random0",
        "kind": "chance",
        "reason": "at chance level: top1_final 0.2100, chance 0.2000",
        "folder": str(run.folder),
    }


def test_a_run_at_chance_level_without_the_metric_is_listed_by_one_that_it_has(runs: Path):
    metrics = {"top1_final": 0.21, "top1_best10": None, "top1_peak": 0.22, "chance": 0.2}
    finish(runs, "A3B", 0.21, learned=False, metrics=metrics)

    by_best = results.judged(results.load(runs), "top1_best10")

    assert "at chance level: top1_final 0.2100, chance 0.2000" in [*by_best.left_out["reason"]]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "is damaged"),
        ("{", "is damaged"),
        ("[]", "not a JSON object"),
        ('{"format": 9}', "incompatible version (format 9"),
        ('{"format": 1, "id": "x"}', "(id='x' must be 12 hexadecimal digits)"),
    ],
)
def test_a_damaged_record_is_listed_with_the_reason(text: str, reason: str, runs: Path):
    finish(runs, "baseB", 0.8)
    run = finish(runs, "A3B", 0.75)
    run.result_file.write_text(text)

    loaded = results.load(runs)
    assert list(loaded.table["label"]) == ["baseB"]
    assert left(loaded) == [("A3B", "damaged")]
    assert reason in loaded.left_out["reason"][0]
    assert str(run.result_file) in loaded.left_out["reason"][0]


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"metrics": {"top1_final": "high"}}, "top1_final='high' must be a number"),
        ({"metrics": {}}, "metrics.top1_final is missing"),
        (
            {"metrics": {"top1_final": 75.0}},
            "top1_final=75.0 must be between 0 and 1",
        ),
        ({"metrics": {"top1_final": float("nan")}}, "NaN is not a number of JSON"),
        ({"learned": None}, "learned=None"),
        ({"steps": 1.5}, "steps=1.5 must be an integer"),
        ({"config": {"seed": 0}}, "missing split"),
        ({"config": None}, "is damaged"),
        ({"versions": "2.15"}, "is damaged"),
        ({"prefix_unchanged": False}, "its frozen stages have changed since they were copied"),
    ],
)
def test_a_record_with_wrong_values_is_damaged(more: dict[str, object], reason: str, runs: Path):
    finish(runs, "A3B", 0.75, **more)

    loaded = results.load(runs)
    assert loaded.table.empty
    assert left(loaded) == [("A3B", "damaged")]
    assert reason in loaded.left_out["reason"][0]


def test_an_edited_config_is_damaged(runs: Path):
    run = finish(runs, "A3B", 0.75)
    record = json.loads(run.result_file.read_text())
    record["config"]["train"]["lr"] = 0.5
    run.result_file.write_text(json.dumps(record))

    loaded = results.load(runs)
    assert left(loaded) == [("A3B", "damaged")]
    assert "its config is that of A3B" in loaded.left_out["reason"][0]


def test_a_copy_of_a_run_folder_does_not_count_twice(runs: Path):
    run = finish(runs, "A3B", 0.75)
    copy = runs / f"copy-{run.id}"
    copy.mkdir()
    (copy / "result.json").write_bytes(run.result_file.read_bytes())
    other = runs / "copy"
    other.mkdir()
    (other / "result.json").write_bytes(run.result_file.read_bytes())

    loaded = results.load(runs)
    assert len(loaded.table) == 1
    assert left(loaded) == [("copy", "damaged"), ("copy", "damaged")]


def test_a_failed_run_has_its_error(runs: Path):
    run = start(runs, config("A3B"))
    run.failure_file.write_text(json.dumps({"error": "the loss is nan at step 7\nand so on"}))

    loaded = results.load(runs)
    assert left(loaded) == [("A3B", "failed")]
    assert loaded.left_out["reason"][0] == "the loss is nan at step 7"
    assert loaded.left_out["split"][0] == "random0"


def test_planned_runs_without_a_folder_are_missing(runs: Path):
    planned(runs, "small", "A3B", "B3B")
    finish(runs, "baseA", 0.9)
    start(runs, config("baseB"))

    loaded = results.load(runs)
    assert list(loaded.table["label"]) == ["baseA"]
    assert left(loaded) == [("baseB", "missing"), ("A3B", "missing"), ("B3B", "missing")]
    assert list(loaded.left_out["reason"]) == [
        "not finished",
        "planned by study small, not started",
        "planned by study small, not started",
    ]
    assert loaded.left_out["folder"][1] == str(located(runs, config("A3B")).folder)


def test_a_study_has_only_its_own_runs(runs: Path):
    planned(runs, "one", "A3B")
    planned(runs, "two", "B5A")
    finish(runs, "A3B", 0.75)
    finish(runs, "B5A", 0.65)
    finish(runs, "B7A", 0.55)

    loaded = results.load(runs, study="one")
    assert list(loaded.table["label"]) == ["A3B"]
    assert left(loaded) == [("baseA", "missing")]


def test_an_unknown_study_is_refused_with_the_known_ones(runs: Path):
    planned(runs, "one", "A3B")

    with pytest.raises(UserError, match="study=two was never started in .* one$"):
        results.load(runs, study="two")


def test_a_damaged_sweep_is_listed_and_hides_nothing_else(runs: Path):
    (planned(runs, "one", "A3B") / "runs.json").write_text("{")
    finish(runs, "baseA", 0.9)

    loaded = results.load(runs)
    assert list(loaded.table["label"]) == ["baseA"]
    assert list(loaded.left_out["kind"]) == ["damaged"]
    assert "runs.json is damaged" in loaded.left_out["reason"][0]


def test_a_missing_or_empty_store_is_refused_with_how_to_fill_it(runs: Path):
    fill = r"fill it with python -m transferlab sweep \+study=quick"
    with pytest.raises(UserError, match=f"runs is not a store: .*{fill}"):
        results.load(runs)
    runs.mkdir()
    with pytest.raises(UserError, match=f"runs holds no run: {fill}"):
        results.load(runs)


# --- what is kept between two calls --------------------------------------------------------------


@pytest.fixture
def full(runs: Path) -> Path:
    """A store whose rows are cached, some empty cells among them."""
    finish(runs, "baseB", 0.8)
    finish(runs, "A3B", 0.75, {"split.name": "manmade_natural"})
    finish(runs, "A5B", 0.7, prefix_unchanged=None, commit=None, dirty=None)
    return runs


def unread(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The folders whose records are read from now on."""
    read: list[str] = []
    real = rows.read

    def spy(folder: Path) -> dict[str, object]:
        read.append(folder.name.partition("-")[0])
        return real(folder)

    monkeypatch.setattr(rows, "read", spy)
    return read


def test_a_second_call_reads_no_record_and_returns_the_same(
    full: Path, monkeypatch: pytest.MonkeyPatch
):
    first = results.load(full)
    read = unread(monkeypatch)

    second = results.load(full)
    assert read == []
    assert_frame_equal(first.table, second.table)


def test_only_new_and_changed_records_are_read_again(full: Path, monkeypatch: pytest.MonkeyPatch):
    results.load(full)
    read = unread(monkeypatch)
    finish(full, "A7B", 0.6)
    run = finish(full, "baseB", 0.9)
    os.utime(run.result_file, ns=(1, 1))

    assert of(results.load(full).table, "baseB")["top1_final"] == 0.9
    assert sorted(read) == ["A7B", "baseB"]


def test_a_record_of_the_same_size_and_time_is_read_again(full: Path):
    results.load(full)
    file = located(full, config("A5B")).result_file
    before = file.stat()
    file.write_text(file.read_text().replace('"top1_final": 0.7,', '"top1_final": 9.7,'))
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))

    assert (file.stat().st_size, file.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    assert left(results.load(full)) == [("A5B", "damaged")]


def test_a_deleted_run_leaves_the_table(full: Path):
    results.load(full)
    located(full, config("A5B")).result_file.unlink()

    loaded = results.load(full)
    assert sorted(loaded.table["label"]) == ["A3B", "baseB"]
    assert left(loaded) == [("A5B", "missing")]
    assert len(scan._load(full)) == 2


def test_a_store_that_was_moved_has_its_new_paths(full: Path, tmp_path: Path):
    results.load(full)
    moved = full.rename(tmp_path / "moved")

    assert all(Path(path).is_relative_to(moved) for path in results.load(moved).table["path"])


@pytest.mark.parametrize("damage", ["cut", "flipped", "no table", "of another version"])
def test_damaged_rows_are_read_again(damage: str, full: Path, monkeypatch: pytest.MonkeyPatch):
    first = results.load(full)
    path = kept._file(full, scan.KIND)
    content = path.read_bytes()
    if damage == "cut":
        path.write_bytes(content[: len(content) // 2])
    elif damage == "flipped":
        path.write_bytes(content.replace(b"baseB", b"baseA"))
    elif damage == "no table":
        kept.save(full, scan.KIND, b"rows")
    else:
        monkeypatch.setattr(scan, "MADE", scan.MADE + 1)
        scan._schema.cache_clear()
    read = unread(monkeypatch)

    assert_frame_equal(results.load(full).table, first.table)
    assert sorted(read) == ["A3B", "A5B", "baseB"]
    scan._schema.cache_clear()


def test_nothing_is_written_to_a_store_that_is_read(full: Path):
    before = sorted(full.rglob("*"))

    assert len(results.load(full).table) == 3
    assert sorted(full.rglob("*")) == before


# --- learning curves ----------------------------------------------------------------------------


def test_learning_curves_have_a_row_a_validation(runs: Path):
    run = finish(runs, "A3B", 0.75, steps=20)
    other = finish(runs, "baseB", 0.8)
    run.metrics_file.write_text(
        "step,epoch,lr,train/loss,train/accuracy,val/loss,val/accuracy,time_s\n"
        "10,0.5,0.1,1.5,0.3,1.25,0.5,1\n20,1,0.0,1.0,0.4,0.75,0.75,2\n"
    )

    curves = results.curves(results.load(runs))
    assert curves.to_dict("list") == {
        "id": [run.id, run.id],
        "label": ["A3B", "A3B"],
        "step": [10, 20],
        "value": [0.5, 0.75],
        "val_loss": [1.25, 0.75],
        "train_loss": [1.5, 1.0],
    }
    assert curves.attrs["missing"] == [other.id]
    assert results.curves(results.load(runs), [other.id]).empty


def test_a_curve_is_read_once_for_all_tables_and_figures(runs: Path):
    run = finish(runs, "A3B", 0.75, steps=20)
    run.metrics_file.write_text("step,train/loss,val/loss,val/accuracy\n20,1.0,0.75,0.75\n")
    loaded = results.load(runs)
    first = results.curves(loaded, [run.id])
    run.metrics_file.unlink()

    assert_frame_equal(results.curves(loaded), first)
    assert results.curves(results.load(runs)).attrs["missing"] == [run.id]


def test_of_very_many_curves_some_of_each_series_and_n_are_read_and_drawn(
    runs: Path, monkeypatch: pytest.MonkeyPatch
):
    made = {
        (label, split): finish(runs, label, 0.75, split=split, steps=20)
        for split in range(5)
        for label in ("A3B", "baseB", "B3B")
    }
    for run in made.values():
        run.metrics_file.write_text("step,train/loss,val/loss,val/accuracy\n20,1.0,0.75,0.75\n")
    made["baseB", 4].metrics_file.unlink()
    for split in (1, 2):  # of which one is looked at
        made["A3B", split].metrics_file.write_text("damaged")
    names = {run.id: f"{label} {split}" for (label, split), run in made.items()}

    monkeypatch.setattr(selections, "MOST", 7)
    selection = catalogue.select(results.load(runs), "curves")
    curves = selections.drawn_curves(selection)

    assert [names[identity] for identity in curves["id"]] == [
        "A3B 0", "A3B 4", "B3B 1", "B3B 3", "baseB 0", "baseB 2",
    ]  # fmt: skip
    assert [names[identity] for identity in curves.attrs["faults"]] == ["A3B 2"]
