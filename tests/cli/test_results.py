"""`python -m transferlab results`, as a user types it."""

import csv
import io
import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from support.commandline import environment, refused
from support.stores import finish

from transferlab.__main__ import main
from transferlab.cli import results
from transferlab.errors import UserError

STORE = "published:yosinski2014"


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    store = tmp_path / "runs"
    finish(store, "baseB", 0.8)
    finish(store, "A3B", 0.75)
    finish(store, "A5B", 0.2, learned=False)
    return store


def printed(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[str, str]:
    assert results.run([*map(str, arguments)]) == 0
    return capsys.readouterr()


def test_runs_are_the_default_table(runs: Path, capsys: pytest.CaptureFixture[str]):
    out, err = printed(capsys, "--store", runs)

    assert out.splitlines()[0] == "Runs: top1_final"
    assert [line.split()[0] for line in out.splitlines()[4:7]] == ["baseB", "A3B", "A5B"]
    assert "of the expected runs: 1 at chance level (--table left_out says" in out
    assert err == ""


def test_table_1_of_the_paper_as_printed(capsys: pytest.CaptureFixture[str]):
    out, _ = printed(capsys, "--store", STORE, "--table", "table1")

    rows = [line.split() for line in out.splitlines()[4:13]]
    assert [row[4] for row in rows if "".join(row[1:4]) != "BnB+-baseB"] == [
        "1.6", "1.4", "1.8", "1.4", "2.1", "1.7",
    ]  # fmt: skip
    assert [row[7] for row in rows if row[3] == "baseB"] == [
        "0.92", "0.91", "1.13", "1.11", "1.16", "1.02",
    ]  # fmt: skip


def test_csv_goes_to_stdout_and_notes_to_stderr(capsys: pytest.CaptureFixture[str]):
    out, err = printed(capsys, "--store", STORE, "--table", "figure2",
                       "--metric", "top1_best10", "--format", "csv")  # fmt: skip

    rows = list(csv.DictReader(io.StringIO(out)))
    assert len(rows) == 29
    assert (rows[0]["series"], rows[0]["count"], rows[0]["metric"]) == ("baseB", "8", "top1_best10")
    assert float(rows[0]["mean"]) == pytest.approx(0.625101, abs=1e-6)
    assert "of the expected runs: 6 at chance level, 22 missing" in err


def test_the_name_of_a_file_selects_its_format(runs: Path, capsys: pytest.CaptureFixture[str]):
    for name, start in (("a.json", "{"), ("a.md", "**Runs"), ("a.tex", "%"), ("a.txt", "Runs:")):
        out, err = printed(capsys, "--store", runs, "--out", runs / name)
        assert (out, err) == ("", f"{runs / name}\n")
        assert (runs / name).read_text().startswith(start)
    printed(capsys, "--store", runs, "--out", runs / "a.parquet")
    assert list(pd.read_parquet(runs / "a.parquet")["label"]) == ["baseB", "A3B", "A5B"]
    printed(capsys, "--store", runs, "--format", "csv", "--out", runs / "a.json")
    assert (runs / "a.json").read_text().startswith("id,label,")


def test_what_is_left_out_is_a_table(runs: Path, capsys: pytest.CaptureFixture[str]):
    (row,) = json.loads(printed(capsys, "--store", runs, "--table", "left_out",
                                  "--format", "json")[0])["rows"]  # fmt: skip

    assert (row["label"], row["kind"]) == ("A5B", "chance")


def test_every_table_of_one_experiment_has_no_other(runs: Path, capsys: pytest.CaptureFixture[str]):
    birds = {"data.name": "image_folder", "data.root": "/a/birds", "data.digest": "e" * 64}
    finish(runs, "baseB", 0.9, birds)
    finish(runs, "A3B", 0.7, birds)

    for table, labels in (("runs", ["baseB", "A3B"]), ("figure2", ["baseB", "AnB"])):
        out, _ = printed(capsys, "--store", runs, "--table", table, "--experiment", "birds")
        lines = [line.split() for line in out.split("\n\n")[1].splitlines()[2:]]
        assert [line[0] for line in lines] == labels, table
    out, _ = printed(capsys, "--store", runs, "--table", "experiments", "--experiment", "birds")
    assert out.startswith("Experiments: top1_final, birds (10 classes, 1.44k images) alexnet_small")
    listed = out.split("\n\n")[1].splitlines()[2]
    assert listed.split()[1:] == ["2", "10", "1442", "20.00", "0"]
    # by the id, too
    out, _ = printed(capsys, "--store", runs, "--experiment", listed.split()[0])
    assert "birds" in out and "digits" not in out
    assert main(["results", "--store", str(runs), "--experiment", "fish"]) == 2
    message, *choices = capsys.readouterr().err.splitlines()
    assert message.startswith("error: --experiment 'fish' is unknown: choose one of these")
    assert [choice.split()[1] for choice in choices] == ["digits", "birds"]


def test_parquet_is_not_printed_on_a_terminal(runs: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    with pytest.raises(UserError, match="--format parquet is binary: .* --out FILE"):
        results.run(["--store", str(runs), "--format", "parquet"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--table", "figure4"], "--table figure4 is unknown: choose one of figure2, "
                                 "interpretation, decomposition, table1, fine_tuning, "
                                 "figure3, choice, lecture, "),
        (["--metric", "loss"], "--metric loss is unknown: choose one of top1_final, "
                               "top1_best10, top1_peak"),
        (["--format", "xls"], "--format xls is unknown: choose one of table, csv, json, "
                              "markdown, latex, parquet"),
        (["--out", "nowhere/a.csv"], "nowhere/a.csv cannot be written: No such file"),
        (["--study", "mine"], "study=mine was never started in"),
        (["--store", "/elsewhere"], "/elsewhere is not a store: name one with --store DIR, or fill "
                                    "it with python -m transferlab sweep +study=quick"),
        (["--store", __file__], f"{__file__} is a file, not a store: name the folder of a store "
                                "with --store DIR; results and report also read archives, "
                                "FILE.csv"),
        (["--store", "published:mine"], "--store published:mine is unknown"),
        (["--width", "7"], "--width has no effect with --table: omit one of them"),
        (["--table", "table1", "--published"], "--published has no effect with --table"),
        (["--plot", "figure2", "--table", "figure2"], "--table has no effect with --plot"),
        (["--archive", "a.csv", "--metric", "top1_peak"], "--metric has no effect with --archive"),
    ],
)  # fmt: skip
def test_errors_are_one_line(arguments: list[str], message: str, runs: Path):
    with pytest.raises(UserError) as caught:
        results.run(["--store", str(runs), *arguments])

    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_a_missing_store_is_refused(place: Path):
    assert "is not a store" in refused(place, "results")


def test_the_command_imports_neither_torch_nor_matplotlib(place: Path, runs: Path):
    code = """
import sys
from transferlab.__main__ import main
for table in ("runs", "figure2", "figure3", "table1", "decomposition"):
    assert main(["results", "--table", table]) == 0
heavy = {"torch", "torchvision", "pytorch_lightning", "lightning", "wandb", "matplotlib"}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=place,
        env=environment(place, TRANSFERLAB_STORE=str(runs)),
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert list(place.iterdir()) == []
