"""Runs in one CSV file, read like the store that they come from."""

from pathlib import Path

import pytest
from pandas.testing import assert_frame_equal
from support.stores import finish

from transferlab import results
from transferlab.__main__ import main
from transferlab.errors import UserError
from transferlab.results import catalogue

MACHINE = ("host", "runtime.", "data.root", "data.val", "data.unreadable", "split.groups", "path")


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Two splits of one experiment, with a run at chance level."""
    store = tmp_path / "runs"
    for split in (0, 1):
        for label, top1 in (("baseA", 0.8), ("baseB", 0.7), ("B3B", 0.6375), ("A3B", 0.1 + 0.2)):
            finish(store, label, top1 + split / 64, split=split)
    finish(store, "A3B+", 0.2, learned=False)
    return store


@pytest.fixture
def file(store: Path, tmp_path: Path) -> Path:
    file = tmp_path / "study.csv"
    assert main(["results", "--store", str(store), "--archive", str(file)]) == 0
    return file


def test_every_table_of_an_archive_is_that_of_its_store(store: Path, file: Path):
    of_store, of_file = results.load(store), results.load(file)

    for name in catalogue.table_names():
        expected, table = results.table(of_store, name), results.table(of_file, name)
        shared = [key for key in expected if key != "folder" and not key.startswith(MACHINE)]
        by_id = ["id"] if name in ("runs", "left_out") else list(shared)[:4]
        assert len(table) == len(expected)
        part = catalogue.EXHIBITS[name].part_of
        assert len(expected) > 0 or name in ("choice", "lecture", "evaluations") or part, name
        assert_frame_equal(
            table[shared].sort_values(by_id, ignore_index=True),
            expected[shared].sort_values(by_id, ignore_index=True),
            check_exact=True,
        )


def test_an_archive_names_no_folder_of_the_machine(store: Path, file: Path):
    head, *lines = file.read_text().splitlines()

    assert len(lines) == 9
    assert not [key for key in head.split(",") if key.startswith(MACHINE)]
    assert str(store) not in file.read_text()
    assert {"commit", "time_s", "weights_sha256", "train.lr"} <= set(head.split(","))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("top1_final", "top1", r"no column top1_final; unknown columns top1"),
        ("0.6375", "high", r"line \d+: top1_final='high'"),
        ("0.6375", "1.5", r"line \d+: top1_final=1.5"),
    ],
)
def test_a_changed_archive_is_refused(file: Path, old: str, new: str, message: str):
    file.write_text(file.read_text().replace(old, new))

    with pytest.raises(UserError, match=message):
        results.load(file)


def test_a_run_that_is_there_twice_is_refused(file: Path):
    lines = file.read_text().splitlines()
    file.write_text("\n".join([*lines, lines[1]]))

    with pytest.raises(UserError, match="line 11: the run [0-9a-f]{12} occurs twice"):
        results.load(file)


def test_a_missing_archive_is_named(tmp_path: Path):
    with pytest.raises(UserError, match=r"none\.csv cannot be read"):
        results.load(tmp_path / "none.csv")


def test_an_archive_is_a_csv_file(store: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["results", "--store", str(store), "--archive", "study.json"]) == 2
    assert "--archive study.json" in capsys.readouterr().err
