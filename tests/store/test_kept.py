"""What is kept of a store between two commands, and that no changed record is taken for sound."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from support.stores import config, finish, located, record

from transferlab.runtime.reading import Damaged
from transferlab.store import kept, records
from transferlab.store.kept import FinishedRuns


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The labels of the runs whose records are read."""
    labels: list[str] = []
    real = records.read_result

    def spy(run: records.Run) -> records.Values | None:
        labels.append(run.label)
        return real(run)

    monkeypatch.setattr(records, "read_result", spy)
    return labels


def finished(store: Path, *labels: str) -> list[bool]:
    runs = FinishedRuns(store)
    answers = [runs.has(located(store, config(label))) for label in labels]
    runs.keep()
    return answers


def test_a_sound_record_is_read_once(tmp_path: Path, read: list[str]):
    finish(tmp_path, "baseB", 0.8)
    finish(tmp_path, "A3B", 0.7)

    assert finished(tmp_path, "baseB", "A3B", "A5B") == [True, True, False]
    assert read == ["baseB", "A3B"]
    finish(tmp_path, "A5B", 0.7)
    assert finished(tmp_path, "A5B") == [True]  # of a part of the store
    assert finished(tmp_path, "baseB", "A3B", "A5B") == [True, True, True]
    assert read == ["baseB", "A3B", "A5B"]


def test_nothing_is_kept_of_a_folder_that_was_removed(tmp_path: Path):
    gone, stays = (finish(tmp_path, label, 0.8).folder_name for label in ("baseB", "A3B"))
    finished(tmp_path, "baseB", "A3B")
    shutil.rmtree(tmp_path / gone)
    new = finish(tmp_path, "A5B", 0.7).folder_name
    finished(tmp_path, "A5B")

    content = kept.load(tmp_path, kept.FINISHED)

    assert content is not None and {*json.loads(content)} == {stays, new}


def in_place(file: Path, text: str) -> None:
    file.write_text(text)


def replaced(file: Path, text: str) -> None:
    (file.parent / "new").write_text(text)
    (file.parent / "new").rename(file)


@pytest.mark.parametrize("write", [in_place, replaced])
def test_damage_is_noticed_though_size_and_time_are_the_same(
    write: Callable[[Path, str], None], tmp_path: Path, read: list[str]
):
    run = finish(tmp_path, "baseB", 0.8)
    sound, before = run.result_file.read_text(), run.result_file.stat()
    assert finished(tmp_path, "baseB") == [True]

    write(run.result_file, sound.replace('"top1_final": 0.8', '"top1_final": 8.0'))
    os.utime(run.result_file, ns=(before.st_atime_ns, before.st_mtime_ns))

    for _ in range(2):
        with pytest.raises(Damaged, match="top1_final=8.0 must be between 0 and 1"):
            finished(tmp_path, "baseB")
    write(run.result_file, sound)
    assert finished(tmp_path, "baseB") == [True]
    assert read == ["baseB"] * 4


def test_the_record_of_another_run_and_a_link_are_damage(tmp_path: Path):
    run = finish(tmp_path, "baseB", 0.8)
    assert finished(tmp_path, "baseB") == [True]

    run.result_file.write_text(json.dumps(record(config("A3B"), 0.8)))
    with pytest.raises(Damaged, match=f"it is not the record of run {run.id}"):
        finished(tmp_path, "baseB")
    run.result_file.rename(tmp_path / "elsewhere")
    run.result_file.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Damaged, match="not a regular file"):
        finished(tmp_path, "baseB")
    run.result_file.unlink()
    assert finished(tmp_path, "baseB") == [False]


def test_each_store_and_kind_is_kept_by_itself(tmp_path: Path):
    kept.save(tmp_path, "one", b"1")
    kept.save(tmp_path, "two", b"2")
    (tmp_path / "link").symlink_to(tmp_path)

    assert [kept.load(tmp_path, kind) for kind in ("one", "two", "three")] == [b"1", b"2", None]
    assert kept.load(tmp_path / "link", "one") == b"1"
    assert kept.load(tmp_path / "other", "one") is None


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "linked"])
def test_what_was_changed_since_is_not_read(damage: str, tmp_path: Path):
    kept.save(tmp_path, "one", b"content")
    file = kept._file(tmp_path, "one")
    whole = file.read_bytes()
    if damage == "cut":
        file.write_bytes(whole[:-1])
    elif damage == "flipped":
        file.write_bytes(whole.replace(b"content", b"consent"))
    elif damage == "empty":
        file.write_bytes(b"")
    else:
        file.rename(tmp_path / "elsewhere")
        file.symlink_to(tmp_path / "elsewhere")

    assert kept.load(tmp_path, "one") is None


@pytest.mark.root
def test_what_another_user_saved_is_not_read(tmp_path: Path):
    kept.save(tmp_path, "one", b"content")
    assert kept.load(tmp_path, "one") == b"content"
    os.chown(kept._file(tmp_path, "one"), 12345, -1)

    assert kept.load(tmp_path, "one") is None


def test_a_cache_that_cannot_be_written_costs_time_only(
    tmp_path: Path, read: list[str], monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "file").write_text("where the folder would be")
    monkeypatch.setattr(kept, "folder", lambda: tmp_path / "file")
    finish(tmp_path, "baseB", 0.8)

    assert [finished(tmp_path, "baseB"), finished(tmp_path, "baseB")] == [[True], [True]]
    assert read == ["baseB", "baseB"]
