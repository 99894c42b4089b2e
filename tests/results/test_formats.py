"""A table in every format: people get percent and notes, programs fractions and every digit."""

import io
import json
from pathlib import Path

import pandas as pd
import pytest

from transferlab.errors import UserError
from transferlab.results import formats


@pytest.fixture
def table() -> pd.DataFrame:
    made = pd.DataFrame(
        {
            "experiment": "digits alexnet_small",
            "series": ["BnB", "AnB+ & 50%|x_y"],
            "n": pd.array([1, None], dtype="Int64"),
            "mean": [0.6266955, float("nan")],
            "pooled": [0.015982, -0.00001],
            "time_s": [12.3456, 1.0],
            "learned": [True, False],
            "host": "here",
        }
    )
    made.attrs = {
        "title": "Figure 2",
        "metric": "top1_final",
        "notes": ["1 damaged"],
        "percent": ["mean", "pooled"],
        "digits": {"pooled": 1},
        "shown": ["experiment", "series", "n", "mean", "pooled", "time_s", "learned"],
    }
    return made


def test_a_terminal_gets_percent_with_title_and_notes(table: pd.DataFrame):
    lines = str(formats.render(table, "table")).splitlines()

    assert lines[0] == "Figure 2: top1_final, digits alexnet_small"
    assert lines[2].split() == "series n mean % pooled % time_s learned".split()
    assert lines[4].split() == "BnB 1 62.67 1.6 12.35 yes".split()
    assert lines[5].split() == "AnB+ & 50%|x_y 0.0 1 no".split()
    assert lines[-1] == "1 damaged"


def test_no_line_is_broken_however_long(table: pd.DataFrame):
    long = table.assign(series="x" * 500)
    long.attrs = table.attrs

    assert len(str(formats.render(long, "table")).splitlines()) == 8


def test_experiments_are_a_column_when_there_are_several(table: pd.DataFrame):
    several = table.assign(experiment=["digits", "cifar10"])
    several.attrs = table.attrs

    assert "cifar10" in str(formats.render(several, "table"))


def test_one_experiment_is_in_the_title_beside_published_rows(table: pd.DataFrame):
    beside = table.assign(experiment=[None, "digits alexnet_small"])
    beside.attrs = table.attrs

    title = str(formats.render(beside, "table")).splitlines()[0]
    assert title == "Figure 2: top1_final, digits alexnet_small"


def test_markdown_is_a_table_with_its_bars_escaped(table: pd.DataFrame):
    assert str(formats.render(table, "markdown")).splitlines() == [
        "**Figure 2: top1_final, digits alexnet_small**",
        "",
        "| series | n | mean % | pooled % | time_s | learned |",
        "| --- | ---: | ---: | ---: | ---: | --- |",
        "| BnB | 1 | 62.67 | 1.6 | 12.35 | yes |",
        "| AnB+ & 50%\\|x_y |  |  | 0.0 | 1 | no |",
        "",
        "1 damaged",
    ]


def test_latex_has_the_rules_of_booktabs_and_no_stray_command(table: pd.DataFrame):
    assert str(formats.render(table, "latex")).splitlines() == [
        r"% \usepackage{booktabs}",
        "% 1 damaged",
        r"\begin{table}",
        r"\centering",
        r"\caption{Figure 2: top1\_final, digits alexnet\_small}",
        r"\begin{tabular}{lrrrrl}",
        r"\toprule",
        r"series & n & mean \% & pooled \% & time\_s & learned \\",
        r"\midrule",
        r"BnB & 1 & 62.67 & 1.6 & 12.35 & yes \\",
        r"AnB+ \& 50\%|x\_y &  &  & 0.0 & 1 & no \\",
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]


def test_csv_and_parquet_keep_every_column_and_digit(table: pd.DataFrame):
    text, content = formats.render(table, "csv"), formats.render(table, "parquet")
    assert isinstance(text, str) and isinstance(content, bytes)
    read = pd.read_csv(io.StringIO(text))

    assert list(read.columns) == list(table.columns)
    assert read["mean"][0] == table["mean"][0]
    pd.testing.assert_frame_equal(pd.read_parquet(io.BytesIO(content)), table)


def test_json_has_the_notes_and_null_for_empty_cells(table: pd.DataFrame):
    read = json.loads(formats.render(table, "json"))

    assert (read["title"], read["metric"], read["notes"]) == (
        "Figure 2", "top1_final", ["1 damaged"],
    )  # fmt: skip
    assert read["rows"][0]["mean"] == 0.6266955
    assert (read["rows"][1]["mean"], read["rows"][1]["n"]) == (None, None)
    assert read["rows"][1]["learned"] is False


@pytest.mark.parametrize("name", list(formats.FORMATS))
def test_an_empty_table_has_every_format(name: str, table: pd.DataFrame):
    empty = table[:0]
    empty.attrs = table.attrs

    assert len(formats.render(empty, name)) > 0


def test_an_unknown_format_is_refused(table: pd.DataFrame):
    with pytest.raises(UserError, match="format=xls is unknown: choose one of table, csv, json"):
        formats.render(table, "xls")


def test_a_file_is_written_atomically(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "out.csv"
    formats.write(path, "old")

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(formats.files.os, "replace", full)
    with pytest.raises(UserError, match="out.csv cannot be written: No space left"):
        formats.write(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path):
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "nowhere" / "out.csv", tmp_path / "file" / "out.csv", tmp_path):
        with pytest.raises(UserError, match=f"{path} cannot be written: .*choose a file in"):
            formats.write(path, "text")
