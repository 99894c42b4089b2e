"""Several stores and archives, read as one."""

import re
from pathlib import Path

import pandas as pd
import pytest
from support import evaluated
from support.stores import config, finish, planned, start

from transferlab import results
from transferlab.__main__ import main
from transferlab.errors import UserError
from transferlab.results import Results
from transferlab.results.sharing import Sharing


@pytest.fixture
def here(tmp_path: Path) -> Path:
    return tmp_path / "here"


@pytest.fixture
def there(tmp_path: Path) -> Path:
    return tmp_path / "there"


def archive_of(store: Path, file: Path) -> Path:
    assert main(["results", "--store", str(store), "--archive", str(file)]) == 0
    return file


def left(loaded: Results) -> list[tuple[str, str]]:
    return list(zip(loaded.left_out["label"], loaded.left_out["kind"], strict=True))


def test_runs_of_two_stores_are_compared_as_those_of_one(here: Path, there: Path):
    finish(here, "baseB", 0.8)
    transfer = finish(there, "A3B", 0.75)

    loaded = results.load(here, there)

    row = loaded.table.set_index("label").loc["A3B"]
    assert (row["id"], row["path"]) == (transfer.id, str(transfer.folder))
    assert row["delta_to_target_base"] == pytest.approx(-0.05)
    assert loaded.stores == (str(here), str(there))


@pytest.mark.parametrize("archive_first", [True, False])
def test_a_store_knows_more_of_a_run_than_an_archive(
    here: Path, there: Path, tmp_path: Path, archive_first: bool
):
    run = finish(here, "baseB", 0.8)
    finish(there, "baseB", 0.8, host="there")
    finish(there, "A3B", 0.75)
    file = archive_of(there, tmp_path / "there.csv")

    loaded = results.load(*((file, here) if archive_first else (here, file)))

    assert dict(zip(loaded.table["label"], loaded.table["host"].fillna(""), strict=True)) == {
        "baseB": "here", "A3B": "",
    }  # fmt: skip
    assert loaded.table["path"].tolist()[0] == str(run.folder)


def test_of_two_stores_the_first_has_a_run_that_both_have(here: Path, there: Path):
    finish(here, "baseB", 0.8, host="here")
    finish(there, "baseB", 0.8, host="there")

    assert results.load(here, there).table["host"].tolist() == ["here"]
    assert results.load(there, here).table["host"].tolist() == ["there"]


@pytest.mark.parametrize(
    ("top1", "weights", "difference"),
    [
        (0.75, "0" * 64, ("top1_final", 0.8, 0.75)),
        (0.8, "1" * 64, ("weights_sha256", "0" * 64, "1" * 64)),
    ],
)
def test_a_run_with_two_outcomes_is_refused(
    here: Path, there: Path, tmp_path: Path, top1: float, weights: str,
    difference: tuple[str, object, object],
):  # fmt: skip
    run = finish(here, "baseB", 0.8)
    finish(there, "baseB", top1, weights_sha256=weights)
    file = archive_of(there, tmp_path / "there.csv")
    key, first, second = difference

    for other in (there, file):
        message = (
            f"baseB {run.id} has two outcomes, {key}={first} in {here} and {second} in {other}: "
            "omit one of them, or remove the run from it, its folder from a store or its line from "
            "an archive"
        )
        with pytest.raises(UserError, match=re.escape(message)):
            results.load(here, other)


def test_an_archive_without_digests_agrees_with_a_store(here: Path, tmp_path: Path):
    finish(here, "baseB", 0.8)
    file = archive_of(here, tmp_path / "old.csv")
    old = pd.read_csv(file).drop(columns="weights_sha256")
    old.to_csv(file, index=False)

    assert results.load(here, file).table["weights_sha256"].tolist() == ["0" * 64]


def test_an_archive_is_extended_by_the_runs_of_a_store(
    here: Path, there: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    finish(here, "baseB", 0.8)
    file = archive_of(here, tmp_path / "study.csv")
    finish(there, "A3B", 0.75)
    finish(there, "baseB", 0.8)

    words = ["results", "--store", str(there), "--store", str(file), "--archive", str(file)]
    assert main(words) == 0
    assert results.load(file).table["label"].tolist() == ["baseB", "A3B"]
    content = file.read_bytes()
    assert main(words) == 0
    assert file.read_bytes() == content
    finish(there, "A3B", 0.7)
    capsys.readouterr()
    assert main(words) == 2
    assert file.read_bytes() == content
    assert "has two outcomes, top1_final=0.7 in" in capsys.readouterr().err


def test_one_machine_finished_what_another_has_not(here: Path, there: Path):
    planned(here, "mine", "A3B", "A5B")
    start(here, config("A3B"))
    start(here, config("baseA"))
    start(there, config("baseA"))
    damaged = finish(here, "baseB", 0.8)
    damaged.result_file.write_text("{")
    finish(there, "baseB", 0.8)
    finish(there, "A3B", 0.75)

    loaded = results.load(here, there)

    assert loaded.table["label"].tolist() == ["A3B", "baseB"]
    assert left(loaded) == [("baseB", "damaged"), ("baseA", "missing"), ("A5B", "missing")]


def test_evaluations_of_a_run_of_two_stores_are_listed_once(here: Path, there: Path):
    metrics = {"top1": 0.75, "top5": 0.96, "loss": 0.5}
    for store in (here, there):
        evaluated.keep((finish(store, "baseB", 0.8), metrics))
    base, transfer = finish(there, "baseB", 0.8), finish(there, "A3B", 0.75)
    evaluated.keep((base, metrics), (transfer, metrics))
    evaluated.keep((transfer, metrics))

    evaluations = results.load(here, there).evaluations

    assert evaluations["label"].tolist() == ["baseB", "A3B", "average", "baseB", "A3B"]
    machines = [Path(path).relative_to(here.parent).parts[0] for path in evaluations["path"]]
    assert machines == ["here", "there", "there", "there", "there"]


def test_what_is_sent_around_names_no_folder_above_the_stores(here: Path, there: Path):
    finish(here, "baseB", 0.8)
    run = finish(there, "A3B", 0.1, learned=False)
    loaded = results.load(here, there)

    shared = Sharing(loaded)

    assert shared.store == "here, there"
    assert shared.table(loaded.left_out)["folder"].tolist() == [run.folder.name]
    assert (
        shared.text(f"{run.folder}/result.json and {here}/x")
        == f"{run.folder.name}/result.json and x"
    )


def test_published_networks_are_read_alone(here: Path):
    finish(here, "baseB", 0.8)

    with pytest.raises(UserError, match="published:yosinski2014 is not united with others"):
        results.load(here, "published:yosinski2014")


def test_a_study_is_of_a_store_not_of_an_archive(here: Path, tmp_path: Path):
    finish(here, "baseB", 0.8)
    planned(here, "mine", "A3B", "B3B")
    file = archive_of(here, tmp_path / "study.csv")

    assert results.load(here, study="mine").table["label"].tolist() == ["baseB"]
    with pytest.raises(UserError, match=r"--study mine is unknown in .*study\.csv, which has no"):
        results.load(here, file, study="mine")
