"""A run's folder: names, atomic records, the lock; what is said of damage and of full disks."""

import errno
import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import IO

import pytest

from transferlab import config as configs
from transferlab import store
from transferlab.config import RunConfig
from transferlab.errors import UserError
from transferlab.store import Run

CONTENT = b"the weights"
# sha256 of CONTENT
DIGEST = "f38329d231164082b94f28edf29bff349b44403e09fc4057d65b31051f4ae6b5"


@pytest.fixture
def wanted(config: Callable[..., RunConfig]) -> RunConfig:
    """The config of an A3B with made-up digests: the store looks at no data."""
    plain = config("+split=random", "transfer.n=3")
    return replace(
        plain,
        data=replace(plain.data, digest="d" * 64),
        split=replace(plain.split, digest="5" * 64),
    )


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


def python(code: str, *arguments: object) -> subprocess.Popen[str]:
    """A process of its own that runs `code`, where `run` is the run of the first argument."""
    head = """\
        import os, signal, sys
        from pathlib import Path
        from transferlab import store
        run = store.Run("id", "A3B", Path(sys.argv[1]))
        """
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(head) + textwrap.dedent(code), *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


# --- names --------------------------------------------------------------------------------------


def test_folder_is_named_by_label_split_model_and_id(wanted: RunConfig):
    run = store.locate(wanted)
    identity = configs.run_id(wanted)

    assert run.id == identity
    assert run.label == "A3B"
    assert run.folder == Path(wanted.runtime.store) / f"A3B-random0-alexnet_small-{identity}"
    assert run == store.locate(configs.build(configs.to_dict(wanted)))


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


@pytest.mark.xfail(
    strict=True, reason="store._read looks only at the format; delete this mark with the defect"
)
@pytest.mark.parametrize("content", [{"id": "another"}, {}, {"id": "OWN", "config": [1]}])
def test_a_config_of_another_run_or_without_its_parts_is_refused(
    run: Run, wanted: RunConfig, content: dict[str, object]
):
    parts = {"format": 1, "config": configs.to_dict(wanted)} if content else {"format": 1}
    own = {key: run.id if value == "OWN" else value for key, value in content.items()}
    run.config.write_text(json.dumps({**parts, **own}))

    with pytest.raises(UserError, match="config.json is damaged"):
        store.read_config(run)


# --- result.json --------------------------------------------------------------------------------


def test_a_run_is_unfinished_until_its_result_is_there(run: Run):
    run.weights.write_bytes(CONTENT)
    run.checkpoint.write_bytes(b"half way")
    assert store.read_result(run) is None

    store.finish(run, {"weights_sha256": DIGEST})

    assert store.read_result(run) == {
        "format": 1,
        "id": run.id,
        "label": "A3B",
        "weights_sha256": DIGEST,
    }


def test_finishing_drops_what_only_training_needs(run: Run):
    run.checkpoint.write_bytes(b"the last state")
    store.note_failure(run, "nan loss at step 3")
    finished(run)

    assert names(run.folder) == {"config.json", "weights.safetensors", "result.json"}


def test_the_checkpoint_is_dropped_only_after_the_result_is_there(
    run: Run, monkeypatch: pytest.MonkeyPatch
):
    run.checkpoint.write_bytes(b"the last state")
    monkeypatch.setattr(os, "replace", fail(errno.EIO))

    with pytest.raises(UserError):
        finished(run)

    assert run.checkpoint.read_bytes() == b"the last state"


def test_a_failure_is_noted_and_leaves_the_run_unfinished(run: Run):
    store.note_failure(run, "nan loss at step 3")

    assert json.loads(run.failure.read_text())["error"] == "nan loss at step 3"
    assert store.read_result(run) is None


def test_a_failure_that_cannot_be_noted_hides_no_other(run: Run, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(os, "replace", fail(errno.ENOSPC))

    store.note_failure(run, "the disk is full")

    assert names(run.folder) == {"config.json"}


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
        {"format": 1, "id": "another", "weights_sha256": DIGEST},
        {"format": 1, "weights_sha256": DIGEST},
        {"format": 1, "id": "OWN"},
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
    assert store.sha256(run.weights) == DIGEST
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
        f"{run.weights} has the digest {store.sha256(run.weights)[:12]}..., and {run.result} says "
        f"{DIGEST[:12]}...: the weights were changed or damaged. Put the right file back, or "
        f"delete {run.folder} to train A3B again"
    )


# --- atomic writing -----------------------------------------------------------------------------


def fail(number: int) -> Callable[..., None]:
    def refuse(*arguments: object) -> None:
        raise OSError(number, os.strerror(number))

    return refuse


@pytest.mark.parametrize("old", [None, b"the old"])
def test_a_file_is_whole_and_on_disk_before_it_gets_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old: bytes | None
):
    path = tmp_path / "last.ckpt"
    if old is not None:
        path.write_bytes(old)
    seen: list[object] = []
    fsync, replace_file = os.fsync, os.replace

    def watched_fsync(descriptor: int) -> None:
        seen.append(("fsync", os.fstat(descriptor).st_size))
        fsync(descriptor)

    def watched_replace(source: Path, target: Path) -> None:
        seen.append(("replace", source.read_bytes(), path.read_bytes() if path.exists() else None))
        assert source.parent == target.parent
        replace_file(source, target)

    monkeypatch.setattr(os, "fsync", watched_fsync)
    monkeypatch.setattr(os, "replace", watched_replace)
    store.write(path, lambda file: (file.write(b"the "), file.write(b"new")))

    assert seen == [("fsync", 7), ("replace", b"the new", old)]
    assert path.read_bytes() == b"the new"
    assert names(tmp_path) == {"last.ckpt"}


def test_a_replace_that_fails_leaves_the_old_file_and_the_run_unfinished(
    run: Run, monkeypatch: pytest.MonkeyPatch
):
    store.write_json(run.failure, {"error": "the first"})
    monkeypatch.setattr(os, "replace", fail(errno.EACCES))

    with pytest.raises(UserError) as error:
        store.write_json(run.failure, {"error": "the second"})
    with pytest.raises(UserError):
        store.finish(run, {"weights_sha256": DIGEST})

    assert str(error.value) == (
        f"{run.failure} cannot be written: Permission denied; choose a store that can be written, "
        "with runtime.store=DIR"
    )
    assert json.loads(run.failure.read_text()) == {"error": "the first"}
    assert names(run.folder) == {"config.json", "failure.json"}
    assert store.read_result(run) is None


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_asks_for_room_and_leaves_the_old_file_whole(run: Run, number: int):
    run.checkpoint.write_bytes(b"the old")

    def fill(file: IO[bytes]) -> None:
        file.write(b"half of the")
        raise OSError(number, os.strerror(number))

    with pytest.raises(UserError) as error:
        store.write(run.checkpoint, fill)

    assert str(error.value) == (
        f"{run.checkpoint} cannot be written: {os.strerror(number)}; make room, then give the "
        "same command: it goes on from the last checkpoint"
    )
    assert run.checkpoint.read_bytes() == b"the old"
    assert names(run.folder) == {"config.json", "last.ckpt"}


def test_an_error_while_filling_leaves_nothing_behind(run: Run):
    with pytest.raises(ZeroDivisionError):
        store.write(run.result, lambda file: file.write(b"half") and 1 / 0)

    assert names(run.folder) == {"config.json"}


def test_numbers_that_are_no_json_are_not_written(run: Run):
    with pytest.raises(ValueError, match="Out of range float values"):
        store.finish(run, {"weights_sha256": DIGEST, "loss": float("nan")})

    assert store.read_result(run) is None


@pytest.mark.timeout(60)
def test_a_process_killed_while_writing_leaves_the_old_file_or_none(run: Run):
    run.checkpoint.write_bytes(b"the old")
    code = """
        def fill(file):
            file.write(b"half of the")
            file.flush()
            os.kill(os.getpid(), signal.SIGKILL)
        store.write(getattr(run, sys.argv[2]), fill)
        """

    for name in ("checkpoint", "result"):
        process = python(code, run.folder, name)
        process.communicate()
        assert process.returncode == -signal.SIGKILL

    assert run.checkpoint.read_bytes() == b"the old"
    assert store.read_result(run) is None
    left = names(run.folder) - {"config.json", "last.ckpt"}
    assert sorted(name.split(".")[1] for name in left) == ["last", "result"]

    store.clean(run)
    assert names(run.folder) == {"config.json", "last.ckpt"}


def test_cleaning_removes_half_written_files_and_nothing_else(run: Run):
    finished(run)
    kept = {
        *names(run.folder),
        "last.ckpt",
        "metrics.csv",
        "owner.json",
        "lock",
        "notes.result.json",
        ".nfs000000000001",
        ".mine",
    }
    half = {
        ".config.json.host.1",
        ".result.json.host.1",
        ".failure.json.host.1",
        ".owner.json.host.1",
        ".metrics.csv.host.1",
        ".last.ckpt.host.1",
        ".weights.safetensors.host.name.1",
    }
    for name in kept | half:
        (run.folder / name).touch()

    store.clean(run)

    assert names(run.folder) == kept


# --- space --------------------------------------------------------------------------------------


def test_too_little_space_is_refused_before_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("shutil.disk_usage", lambda folder: SimpleNamespace(free=5_000_000))

    store.require_space(tmp_path, 5_000_000)
    with pytest.raises(UserError) as error:
        store.require_space(tmp_path, 7_000_000)

    assert str(error.value) == (
        f"{tmp_path} is on a disk with 5 MB free and the run needs 7 MB: make room, or choose "
        "another with runtime.store=DIR"
    )


# --- the lock -----------------------------------------------------------------------------------

OWNS = """
    def tell(owner):
        print("waits for", owner, flush=True)
    with store.owned(run, tell):
        store.report_progress(run, step=3, total_steps=10)
        print("owns", Path(sys.argv[2]).exists(), flush=True)
        sys.stdin.readline()
    """


@pytest.mark.timeout(60)
def test_a_second_process_waits_for_the_first_and_is_told_which(run: Run, tmp_path: Path):
    released = tmp_path / "released"
    with store.owned(run, pytest.fail):
        store.report_progress(run, step=1, total_steps=10)
        second = python(OWNS, run.folder, released)
        assert second.stdout is not None
        told = second.stdout.readline()
        released.touch()

    assert told == f"waits for process {os.getpid()} on {socket.gethostname()}\n"
    assert second.stdout.readline() == "owns True\n"
    owner = json.loads(run.owner.read_text())
    assert (owner["pid"], owner["step"], owner["total_steps"]) == (second.pid, 3, 10)
    rest, _ = second.communicate("\n")
    assert (rest, second.returncode) == ("", 0)
    assert not run.owner.exists()


@pytest.mark.timeout(60)
def test_a_killed_owner_is_noticed(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(store, "WAIT_S", 0.01)
    first = python(OWNS, run.folder, tmp_path)
    assert first.stdout is not None
    assert first.stdout.readline() == "owns True\n"
    told: list[str] = []

    def kill(owner: str) -> None:
        told.append(owner)
        first.kill()
        first.communicate()

    with store.owned(run, kill):
        assert told == [f"process {first.pid} on {socket.gethostname()}"]
        assert first.returncode == -signal.SIGKILL
        assert json.loads(run.owner.read_text())["pid"] == first.pid  # a dead one's, until ours
    assert not run.owner.exists()


@pytest.mark.timeout(60)
def test_an_owner_that_has_not_said_who_it_is_is_another_process(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(store, "WAIT_S", 0.01)
    first = python(OWNS, run.folder, tmp_path)
    assert first.stdout is not None
    assert first.stdout.readline() == "owns True\n"
    run.owner.write_text('{"pid": ')
    told: list[str] = []

    with store.owned(run, lambda owner: (told.append(owner), first.communicate("\n"))):  # type: ignore[arg-type,func-returns-value]
        pass

    assert told == ["another process"]


def test_a_run_is_given_up_when_its_owner_fails(run: Run):
    with pytest.raises(ZeroDivisionError), store.owned(run, pytest.fail):
        store.report_progress(run, step=1, total_steps=10)
        raise ZeroDivisionError

    assert not run.owner.exists()
    with store.owned(run, pytest.fail):
        pass


def test_a_folder_that_is_not_there_cannot_be_owned(wanted: RunConfig):
    run = store.locate(wanted)

    with (
        pytest.raises(UserError, match="cannot be written: No such file or directory; choose"),
        store.owned(run, pytest.fail),
    ):
        pass
