"""The records in a run's folder, and the messages when they are damaged.

How they are written is in test_write, and who may write them in test_lock.
"""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from support.records import BASE_B, made
from support.stores import record

from transferlab import store
from transferlab.errors import UserError
from transferlab.experiment.build import vary_config
from transferlab.experiment.run import Run, make_run
from transferlab.runtime import files

CONTENT = b"the weights"
# sha256 of CONTENT
DIGEST = "f38329d231164082b94f28edf29bff349b44403e09fc4057d65b31051f4ae6b5"


@pytest.fixture
def new(tmp_path: Path) -> Run:
    """An A3B without a folder. The store reads no data."""
    return make_run(made({"runtime.store": f"{tmp_path}/runs"}))


@pytest.fixture
def run(new: Run) -> Run:
    """The same with its folder."""
    store.create(new)
    return new


def finished(run: Run) -> Run:
    run.weights_file.write_bytes(CONTENT)
    store.finish(run, record(run.config, 0.5, weights_sha256=DIGEST))
    return run


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


# --- config.json --------------------------------------------------------------------------------


def test_config_is_written_first_and_read_back_the_same(new: Run):
    store.create(new)

    assert names(new.folder) == {"config.json"}
    assert store.read_config(new) == new.config
    record = json.loads(new.config_file.read_text())
    assert {key: record[key] for key in ("format", "id", "label")} == {
        "format": 1,
        "id": new.id,
        "label": "A3B",
    }


def test_a_folder_that_exists_keeps_its_config(run: Run):
    before = run.config_file.stat().st_mtime_ns, run.config_file.read_bytes()

    store.create(make_run(vary_config(run.config, {"runtime.workers": 7})))

    assert (run.config_file.stat().st_mtime_ns, run.config_file.read_bytes()) == before


def test_a_store_below_a_file_cannot_be_made(new: Run, tmp_path: Path):
    (tmp_path / "file").write_text("")
    run = new.in_store(tmp_path / "file" / "runs")

    with pytest.raises(UserError) as error:
        store.create(run)

    assert str(error.value) == (
        f"{run.folder} cannot be written: Not a directory; choose a store that can be written, "
        "with runtime.store=DIR"
    )


@pytest.mark.parametrize("act", [store.read_config, store.create])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            b'{"format": 1, "id"',
            "is damaged (Expecting ':' delimiter: line 1 column 19 (char 18)): restore the "
            "right file, or delete it",
        ),
        (
            b"",
            "is damaged (Expecting value: line 1 column 1 (char 0)): restore the right file, or "
            "delete it",
        ),
        (b"[1]", "is damaged (not a JSON object): restore the right file, or delete it"),
        (
            b'{"format": 2}',
            "was written by an incompatible version (format 2, this one reads 1): use that "
            "version, or another store",
        ),
        (
            b"{}",
            "was written by an incompatible version (format None, this one reads 1): use that "
            "version, or another store",
        ),
    ],
)
def test_a_config_that_cannot_be_read_is_refused(
    run: Run, act: Callable[[Run], object], content: bytes, message: str
):
    run.config_file.write_bytes(content)

    with pytest.raises(UserError) as error:
        act(run)

    assert str(error.value) == f"{run.config_file} {message}"
    assert run.config_file.read_bytes() == content


@pytest.mark.parametrize("act", [store.read_config, store.create])
def test_a_config_with_a_value_changed_is_not_that_of_the_run(
    run: Run, act: Callable[[Run], object]
):
    changed = json.loads(run.config_file.read_text())
    changed["config"]["train"]["lr"] *= 2
    run.config_file.write_text(json.dumps(changed))

    with pytest.raises(UserError, match=f"is not the config of run {run.id}"):
        act(run)


@pytest.mark.parametrize("act", [store.read_config, store.create])
@pytest.mark.parametrize(
    "change",
    [{"id": "0" * 12}, {"id": None}, {"config": None}, {"config": [1]}, {"config": "A3B"}],
)
def test_a_config_of_another_run_or_without_its_parts_is_refused(
    run: Run, act: Callable[[Run], object], change: dict[str, object]
):
    changed = json.loads(run.config_file.read_text()) | change
    content = json.dumps({key: value for key, value in changed.items() if value is not None})
    run.config_file.write_text(content)

    with pytest.raises(UserError) as error:
        act(run)

    reason = f"it is not the config of run {run.id}" if change == {"id": "0" * 12} else [*change][0]
    assert f"{run.config_file} is damaged ({reason}" in str(error.value)
    assert run.config_file.read_text() == content


def test_another_spelling_of_a_run_finds_its_folder_and_the_config_first_written(tmp_path: Path):
    base, target = (
        make_run(made({**BASE_B, "data.mean": mean, "runtime.store": f"{tmp_path}/runs"}))
        for mean in ("base", "target")
    )
    assert base.config != target.config
    assert base.folder == target.folder

    store.create(base)
    store.create(target)

    assert store.read_config(target) == base.config


# --- result.json --------------------------------------------------------------------------------


def test_a_run_is_unfinished_until_its_result_exists(run: Run):
    run.weights_file.write_bytes(CONTENT)
    run.checkpoint_file.write_bytes(b"half way")
    assert store.read_result(run) is None

    written = record(run.config, 0.5, weights_sha256=DIGEST)
    store.finish(run, written)

    assert {"format": 1, **(store.read_result(run) or {})} == written


def test_finishing_drops_what_only_training_needs(run: Run):
    run.checkpoint_file.write_bytes(b"the last state")
    store.note_failure(run, "nan loss at step 3")
    finished(run)

    assert names(run.folder) == {"config.json", "weights.safetensors", "result.json"}


def test_a_failure_is_noted_and_leaves_the_run_unfinished(run: Run):
    store.note_failure(run, "nan loss at step 3")

    assert json.loads(run.failure_file.read_text())["error"] == "nan loss at step 3"
    assert store.read_result(run) is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            b'{"format": 1',
            "is damaged (Expecting ',' delimiter: line 1 column 13 (char 12)): restore the "
            "right file, or delete it to train the run again",
        ),
        (
            b"3",
            "is damaged (not a JSON object): restore the right file, or delete it to train the "
            "run again",
        ),
        (
            b'{"format": 7, "id": "x"}',
            "was written by an incompatible version (format 7, this one reads 1): use that "
            "version, or another store",
        ),
    ],
)
def test_a_result_that_cannot_be_read_is_refused(run: Run, content: bytes, message: str):
    run.result_file.write_bytes(content)

    with pytest.raises(UserError) as error:
        store.read_result(run)
    assert str(error.value) == f"{run.result_file} {message}"


def test_a_result_that_is_no_text_is_refused(run: Run):
    run.result_file.write_bytes(b"\xff\xfe\x00")

    with pytest.raises(UserError, match=r"result.json is damaged \('utf-8' codec can't decode"):
        store.read_result(run)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"id": "0" * 12}, "it is not the record of run"),
        ({"id": None}, "id=None must be"),
        ({"id": "x/../../outside"}, "id='x/../../outside' must be 12 hexadecimal digits"),
        ({"weights_sha256": None}, "weights_sha256=None must be"),
        ({"metrics": None}, "metrics=None must be"),
        ({"label": "A4B"}, "label=A4B must be A3B"),
        ({"base_id": "0" * 12}, "base_id=000000000000 must be"),
        ({"skipped": {"train/a/b.png": "1"}}, "skipped.'train/a/b.png'='1' must be 64"),
    ],
)
def test_a_result_of_another_run_or_with_a_wrong_value_is_refused(
    run: Run, change: dict[str, object], reason: str
):
    run.result_file.write_text(json.dumps(record(run.config, 0.5, **change)))

    with pytest.raises(UserError) as error:
        store.read_result(run)
    assert f"{run.result_file} is damaged ({reason}" in str(error.value)
    assert str(error.value).endswith("restore the right file, or delete it to train the run again")


# --- from a folder ------------------------------------------------------------------------------


def complete(run: Run) -> Run:
    store.finish(run, record(run.config, 0.5, weights_sha256=DIGEST))
    return run


def test_a_finished_run_is_read_from_its_folder_as_it_was_recorded(run: Run, tmp_path: Path):
    complete(run).folder.parent.rename(tmp_path / "moved")

    finished = store.read_finished(tmp_path / "moved" / run.folder_name)

    assert finished is not None
    assert finished[0] == run
    assert finished[1]["id"] == run.id


def test_a_folder_without_a_result_has_no_finished_run(run: Run):
    assert store.read_finished(run.folder) is None


def test_a_folder_that_is_named_after_another_run_is_refused(run: Run):
    other = run.folder.with_name(f"A4B-random0-alexnet_small-{run.id}")
    complete(run).folder.rename(other)

    with pytest.raises(UserError) as error:
        store.read_finished(other)
    assert f"it is that of run A3B {run.id}, not of this folder" in str(error.value)


# --- the files that a record names ---------------------------------------------------------------


def test_a_file_is_the_one_that_its_record_speaks_of(run: Run):
    path = finished(run).weights_file

    assert store.read_file(path, DIGEST, record=run.result_file).data == CONTENT


def test_a_missing_file_is_refused(run: Run):
    finished(run).weights_file.unlink()

    with pytest.raises(UserError) as error:
        store.read_file(run.weights_file, DIGEST, record=run.result_file)
    assert str(error.value) == (
        f"{run.weights_file} is missing: restore the right file, or delete {run.result_file} to "
        "train the run again"
    )


def test_a_changed_file_is_refused(run: Run):
    finished(run).mean_file.write_bytes(CONTENT[:-1] + b"z")

    with pytest.raises(UserError) as error:
        store.read_file(run.mean_file, DIGEST, record=run.inference_file)
    assert str(error.value) == (
        f"{run.mean_file} has the digest {files.sha256(run.mean_file)[:12]}..., but "
        f"{run.inference_file} records {DIGEST[:12]}...: the file was changed or damaged; restore "
        f"the right file, or delete {run.result_file} to train the run again"
    )
