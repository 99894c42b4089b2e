"""A run's folder and its records, and what is said when they are damaged.

How they are written is in test_store_write, and who may write them in test_store_lock.
"""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from support.records import BASE_B, changed, made

from transferlab import store
from transferlab.errors import UserError
from transferlab.experiment.build import build_config, config_dict
from transferlab.experiment.config import RunConfig
from transferlab.experiment.identity import run_id
from transferlab.runtime import files
from transferlab.store import Run

CONTENT = b"the weights"
# sha256 of CONTENT
DIGEST = "f38329d231164082b94f28edf29bff349b44403e09fc4057d65b31051f4ae6b5"


@pytest.fixture
def wanted(tmp_path: Path) -> RunConfig:
    """The config of an A3B. The store looks at no data."""
    return made({"runtime.store": f"{tmp_path}/runs"})


@pytest.fixture
def run(wanted: RunConfig) -> Run:
    """Its folder, made."""
    place = store.locate(wanted)
    store.create(place, wanted)
    return place


def finished(run: Run) -> Run:
    run.weights.write_bytes(CONTENT)
    store.finish(run, {"weights_sha256": DIGEST, "metrics": {"top1_final": 0.5}})
    return run


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


# --- names --------------------------------------------------------------------------------------


def test_folder_is_named_by_label_split_model_and_id(wanted: RunConfig):
    run = store.locate(wanted)
    identity = run_id(wanted)

    assert run.id == identity
    assert run.label == "A3B"
    assert run.folder == Path(wanted.runtime.store) / f"A3B-random0-alexnet_small-{identity}"
    assert run == store.locate(build_config(config_dict(wanted)))


def test_locating_touches_no_disk(wanted: RunConfig):
    store.locate(wanted)

    assert not Path(wanted.runtime.store).exists()


def test_every_file_of_a_run_lies_in_its_folder(wanted: RunConfig):
    run = store.locate(wanted)

    assert {
        run.config.name,
        run.log.name,
        run.metrics.name,
        run.checkpoint.name,
        run.weights.name,
        run.result.name,
        run.failure.name,
        run.owner.name,
        run.lock.name,
    } == {
        "config.json",
        "log.txt",
        "metrics.csv",
        "last.ckpt",
        "weights.safetensors",
        "result.json",
        "failure.json",
        "owner.json",
        "lock",
    }
    assert run.result.parent == run.weights.parent == run.lock.parent == run.folder


@pytest.mark.parametrize(
    ("model", "middle"),
    [
        ("a.b:c", "a.b_c"),
        ("../../x", "_.._x"),
        ("/etc/passwd", "_etc_passwd"),
        ("..", ""),
        (".hidden", "hidden"),
        ("two words\n", "two_words_"),
    ],
)
def test_a_models_name_cannot_leave_the_store(wanted: RunConfig, model: str, middle: str):
    run = store.locate(replace(wanted, model=replace(wanted.model, name=model)))

    assert run.folder.name == f"A3B-random0-{middle}-{run.id}"
    assert run.folder.parent == Path(wanted.runtime.store)
    assert run.folder.resolve().parent == Path(wanted.runtime.store).resolve()


def test_plus_and_keep_show_in_the_name(wanted: RunConfig):
    transfer = replace(wanted.transfer, variant="AnB+", keep=2)
    run = store.locate(replace(wanted, transfer=transfer))

    assert run.folder.name.startswith("A3B+-keep2-random0-alexnet_small-")


def test_the_whole_stands_in_the_name_without_a_seed():
    wanted = made({"split.name": "whole", "split.seed": None, **BASE_B})

    assert store.locate(wanted).folder.name == "baseB-whole-alexnet_small-23a39e99808a"


# --- config.json --------------------------------------------------------------------------------


def test_config_is_written_first_and_read_back_the_same(wanted: RunConfig):
    run = store.locate(wanted)

    store.create(run, wanted)

    assert names(run.folder) == {"config.json"}
    assert store.read_config(run) == wanted
    record = json.loads(run.config.read_text())
    assert {key: record[key] for key in ("format", "id", "label")} == {
        "format": 1,
        "id": run.id,
        "label": "A3B",
    }


def test_a_folder_that_is_there_keeps_its_config(run: Run, wanted: RunConfig):
    before = run.config.stat().st_mtime_ns, run.config.read_bytes()
    moved = replace(wanted, runtime=replace(wanted.runtime, workers=7))

    store.create(run, moved)

    assert (run.config.stat().st_mtime_ns, run.config.read_bytes()) == before


def test_a_store_below_a_file_cannot_be_made(wanted: RunConfig, tmp_path: Path):
    (tmp_path / "file").write_text("")
    runtime = replace(wanted.runtime, store=f"{tmp_path}/file/runs")
    run = store.locate(replace(wanted, runtime=runtime))

    with pytest.raises(UserError) as error:
        store.create(run, wanted)

    assert str(error.value) == (
        f"{run.folder} cannot be written: Not a directory; choose a store that can be written, "
        "with runtime.store=DIR"
    )


@pytest.mark.parametrize("act", [store.read_config, "create"])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            b'{"format": 1, "id"',
            "is damaged (Expecting ':' delimiter: line 1 column 19 (char 18)): put a good copy "
            "back, or delete the file",
        ),
        (
            b"",
            "is damaged (Expecting value: line 1 column 1 (char 0)): put a good copy back, or "
            "delete the file",
        ),
        (b"[1]", "is damaged (not a JSON object): put a good copy back or delete it"),
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
    run: Run, wanted: RunConfig, act: Callable[[Run], object] | str, content: bytes, message: str
):
    run.config.write_bytes(content)

    with pytest.raises(UserError) as error:
        store.create(run, wanted) if act == "create" else store.read_config(run)

    assert str(error.value) == f"{run.config} {message}"
    assert run.config.read_bytes() == content


@pytest.mark.parametrize("act", [store.read_config, "create"])
@pytest.mark.parametrize(
    "change",
    [{"id": "another"}, {"id": None}, {"config": None}, {"config": [1]}, {"config": "A3B"}],
)
def test_a_config_of_another_run_or_without_its_parts_is_refused(
    run: Run, wanted: RunConfig, act: Callable[[Run], object] | str, change: dict[str, object]
):
    record = json.loads(run.config.read_text()) | change
    content = json.dumps({key: value for key, value in record.items() if value is not None})
    run.config.write_text(content)

    with pytest.raises(UserError) as error:
        store.create(run, wanted) if act == "create" else store.read_config(run)

    assert str(error.value) == (
        f"{run.config} is damaged: it is not the config of run {run.id}. Delete the file, or put "
        "the right one back"
    )
    assert run.config.read_text() == content


def test_another_spelling_of_a_run_finds_its_folder_and_the_config_first_written(
    wanted: RunConfig,
):
    base, target = (
        build_config(changed({**BASE_B, "data.mean": mean, "runtime.store": wanted.runtime.store}))
        for mean in ("base", "target")
    )
    assert base != target
    assert store.locate(base) == store.locate(target)

    store.create(store.locate(base), base)
    store.create(store.locate(target), target)

    assert store.read_config(store.locate(target)) == base


# --- result.json --------------------------------------------------------------------------------


def test_a_run_is_unfinished_until_its_result_is_there(run: Run):
    run.weights.write_bytes(CONTENT)
    run.checkpoint.write_bytes(b"half way")
    assert store.read_result(run) is None

    store.finish(run, {"weights_sha256": DIGEST, "metrics": {}})

    assert store.read_result(run) == {
        "format": 1,
        "id": run.id,
        "label": "A3B",
        "weights_sha256": DIGEST,
        "metrics": {},
    }


def test_finishing_drops_what_only_training_needs(run: Run):
    run.checkpoint.write_bytes(b"the last state")
    store.note_failure(run, "nan loss at step 3")
    finished(run)

    assert names(run.folder) == {"config.json", "weights.safetensors", "result.json"}


def test_a_failure_is_noted_and_leaves_the_run_unfinished(run: Run):
    store.note_failure(run, "nan loss at step 3")

    assert json.loads(run.failure.read_text())["error"] == "nan loss at step 3"
    assert store.read_result(run) is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            b'{"format": 1',
            "is damaged (Expecting ',' delimiter: line 1 column 13 (char 12)): put a good copy "
            "back, or delete the file",
        ),
        (b"3", "is damaged (not a JSON object): put a good copy back or delete it"),
        (
            b'{"format": 7, "id": "x"}',
            "was written by an incompatible version (format 7, this one reads 1): use that "
            "version, or another store",
        ),
    ],
)
def test_a_result_that_cannot_be_read_is_refused(run: Run, content: bytes, message: str):
    run.result.write_bytes(content)

    with pytest.raises(UserError) as error:
        store.read_result(run)
    assert str(error.value) == f"{run.result} {message}"


def test_a_result_that_is_no_text_is_refused(run: Run):
    run.result.write_bytes(b"\xff\xfe\x00")

    with pytest.raises(UserError, match=r"result.json is damaged \('utf-8' codec can't decode"):
        store.read_result(run)


@pytest.mark.parametrize(
    "record",
    [
        {"format": 1, "id": "another", "weights_sha256": DIGEST, "metrics": {}},
        {"format": 1, "weights_sha256": DIGEST, "metrics": {}},
        {"format": 1, "id": "OWN", "metrics": {}},
        {"format": 1, "id": "OWN", "weights_sha256": DIGEST},
        {"format": 1, "id": "OWN", "weights_sha256": None, "metrics": {}},
    ],
)
def test_a_result_of_another_run_or_without_a_digest_is_refused(run: Run, record: dict[str, str]):
    own = {key: run.id if value == "OWN" else value for key, value in record.items()}
    run.result.write_text(json.dumps(own))

    with pytest.raises(UserError) as error:
        store.read_result(run)

    assert str(error.value) == (
        f"{run.result} is damaged: it is not the record of run {run.id}. Delete the file to train "
        "the run again, or put the right one back"
    )


# --- weights ------------------------------------------------------------------------------------


def test_weights_are_those_the_record_speaks_of(run: Run):
    result = store.read_result(finished(run))

    assert result is not None
    assert files.sha256(run.weights) == DIGEST
    assert store.check_weights(run, result) == run.weights


def test_missing_weights_are_refused(run: Run):
    result = store.read_result(finished(run))
    run.weights.unlink()

    assert result is not None
    with pytest.raises(UserError) as error:
        store.check_weights(run, result)
    assert str(error.value) == (f"{run.weights} is missing: delete {run.result} to train A3B again")


def test_changed_weights_are_refused(run: Run):
    result = store.read_result(finished(run))
    run.weights.write_bytes(CONTENT[:-1] + b"z")

    assert result is not None
    with pytest.raises(UserError) as error:
        store.check_weights(run, result)
    assert str(error.value) == (
        f"{run.weights} has the digest {files.sha256(run.weights)[:12]}..., and {run.result} says "
        f"{DIGEST[:12]}...: the weights were changed or damaged. Put the right file back, or "
        f"delete {run.folder} to train A3B again"
    )
