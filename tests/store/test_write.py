"""Records are written completely or not at all; messages for a full or read-only disk."""

import errno
import json
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import IO

import pytest
from support.records import made

from transferlab import store
from transferlab.errors import UserError
from transferlab.experiment.run import Run, make_run
from transferlab.runtime import files


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A run with an empty folder."""
    run = make_run(made({"runtime.store": str(tmp_path)}))
    run.folder.mkdir()
    return run


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def fail(number: int) -> Callable[..., None]:
    def refuse(*arguments: object, **more: object) -> None:
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

    def watched_replace(source: str, target: str, **folders: int) -> None:
        new = (tmp_path / source).read_bytes()
        seen.append(("replace", new, path.read_bytes() if path.exists() else None))
        replace_file(source, target, **folders)

    monkeypatch.setattr(os, "fsync", watched_fsync)
    monkeypatch.setattr(os, "replace", watched_replace)
    files.write(path, lambda file: (file.write(b"the "), file.write(b"new")))

    assert seen == [("fsync", 7), ("replace", b"the new", old)]
    assert path.read_bytes() == b"the new"
    assert names(tmp_path) == {"last.ckpt"}


def test_a_replace_that_fails_leaves_the_old_file_and_the_run_unfinished(
    run: Run, monkeypatch: pytest.MonkeyPatch
):
    files.write_json(run.failure_file, {"error": "the first"})
    monkeypatch.setattr(os, "replace", fail(errno.EACCES))

    with pytest.raises(UserError) as error:
        files.write_json(run.failure_file, {"error": "the second"})
    with pytest.raises(UserError):
        store.finish(run, {"weights_sha256": "0" * 64})

    assert str(error.value) == (
        f"{run.failure_file} cannot be written: Permission denied; choose a store that can be "
        "written, with runtime.store=DIR"
    )
    assert json.loads(run.failure_file.read_text()) == {"error": "the first"}
    assert names(run.folder) == {"failure.json"}
    assert store.read_result(run) is None


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_asks_for_room_and_leaves_the_old_file_whole(run: Run, number: int):
    run.checkpoint_file.write_bytes(b"the old")

    def fill(file: IO[bytes]) -> None:
        file.write(b"half of the")
        raise OSError(number, os.strerror(number))

    with pytest.raises(UserError) as error:
        files.write(run.checkpoint_file, fill)

    assert str(error.value) == (
        f"{run.checkpoint_file} cannot be written: {os.strerror(number)}; make room, then run the "
        "command again: it resumes from the last checkpoint"
    )
    assert run.checkpoint_file.read_bytes() == b"the old"
    assert names(run.folder) == {"last.ckpt"}


def test_an_error_while_filling_leaves_nothing_behind(run: Run):
    with pytest.raises(ZeroDivisionError):
        files.write(run.result_file, lambda file: file.write(b"half") and 1 / 0)

    assert names(run.folder) == set()


def test_numbers_that_are_no_json_are_not_written(run: Run):
    with pytest.raises(ValueError, match="Out of range float values"):
        store.finish(run, {"weights_sha256": "0" * 64, "loss": float("nan")})

    assert store.read_result(run) is None


def test_a_process_killed_while_writing_leaves_the_old_file_or_none(run: Run):
    run.checkpoint_file.write_bytes(b"the old")
    code = """
        import os, signal, sys
        from pathlib import Path
        from transferlab.runtime import files
        def fill(file):
            file.write(b"half of the")
            file.flush()
            os.kill(os.getpid(), signal.SIGKILL)
        files.write(Path(sys.argv[1]), fill)
        """

    for path in (run.checkpoint_file, run.result_file):
        command = [sys.executable, "-c", textwrap.dedent(code), str(path)]
        assert subprocess.run(command, check=False).returncode == -signal.SIGKILL

    assert run.checkpoint_file.read_bytes() == b"the old"
    assert store.read_result(run) is None
    left = names(run.folder) - {"last.ckpt"}
    assert sorted(name.split(".")[1] for name in left) == ["last", "result"]

    store.clean(run)
    assert names(run.folder) == {"last.ckpt"}


def test_cleaning_removes_half_written_files_and_an_old_failure_and_nothing_else(run: Run):
    kept = {
        "config.json",
        "weights.safetensors",
        "mean.safetensors",
        "inference.json",
        "result.json",
        "last.ckpt",
        "metrics.csv",
        "owner.json",
        "lock",
        "notes.result.json",
        ".nfs000000000001",
        ".mine",
    }
    half = {
        "failure.json",
        ".config.json.0123456789abcdef",
        ".result.json.0123456789abcdef",
        ".failure.json.0123456789abcdef",
        ".owner.json.0123456789abcdef",
        ".lock.holder.0123456789abcdef",
        ".metrics.csv.0123456789abcdef",
        ".last.ckpt.0123456789abcdef",
        ".weights.safetensors.host.1",
        ".mean.safetensors.0123456789abcdef",
        ".inference.json.0123456789abcdef",
    }
    for name in kept | half:
        (run.folder / name).touch()

    store.clean(run)

    assert names(run.folder) == kept


def test_the_checkpoint_is_dropped_only_after_the_result_exists(
    run: Run, monkeypatch: pytest.MonkeyPatch
):
    run.checkpoint_file.write_bytes(b"the last state")
    monkeypatch.setattr(os, "replace", fail(errno.EIO))

    with pytest.raises(UserError):
        store.finish(run, {"weights_sha256": "0" * 64})

    assert run.checkpoint_file.read_bytes() == b"the last state"


def test_a_failure_that_cannot_be_noted_hides_no_other(run: Run, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(os, "replace", fail(errno.ENOSPC))

    store.note_failure(run, "the disk is full")

    assert names(run.folder) == set()


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
