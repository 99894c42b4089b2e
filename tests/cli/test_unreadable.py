"""What a command may not read is named with the way out, is never missing, and hides nothing else.

The store is root's, and the commands are those of another user of the group.
"""

import contextlib
import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.studies import by_label, finish, make_local, make_runs, start
from support.users import BOB, as_user

from transferlab import store
from transferlab.__main__ import main
from transferlab.experiment.run import Run
from transferlab.launch import dispatch
from transferlab.runtime import reading
from transferlab.runtime.reading import Unreadable
from transferlab.store import sweeps

pytestmark = pytest.mark.root
DENIED = "cannot be read: Permission denied; ask its owner root for permission to read it"


@pytest.fixture
def runs(group_folder: Path) -> dict[str, Run]:
    """A study of finished runs that its group may read, by label."""
    planned = make_runs(group_folder / "store")
    sweep = start(planned, make_local())
    sweeps.record(sweeps.prepare(sweep, (), sweeps.LOCAL))
    finish(*planned)
    for command in ("status", "results", "retry"):  # imports what the other user may not read
        assert main([command, "--store", str(group_folder / "store")]) == 0
    return by_label(planned)


def shown(*arguments: str) -> tuple[int, str]:
    """Exit status, and stdout with stderr, of a command of another user."""

    def call() -> tuple[int, str]:
        text = io.StringIO()
        with contextlib.redirect_stdout(text), contextlib.redirect_stderr(text):
            code = main(list(arguments))
        return code, text.getvalue()

    return as_user(BOB, call)


@pytest.fixture
def closed(runs: dict[str, Run], request: pytest.FixtureRequest) -> Iterator[Path]:
    """The result of A1B, which only root may read: the file, or the folder that it is in."""
    run = runs["A1B"]
    path = run.result_file if request.param == "file" else run.folder
    path.chmod(0o700)
    yield run.result_file


@pytest.mark.parametrize("closed", ["file", "folder"], indirect=True)
def test_a_record_that_cannot_be_read_is_named_by_every_command(closed: Path, runs: dict[str, Run]):
    place = str(closed.parent.parent)

    code, text = shown("status", "--store", place)
    assert code == 1 and "4 done, 1 unreadable" in text and f"{closed} {DENIED}" in text
    code, text = shown("retry", "--store", place)
    assert code == 1 and f"left out: {closed} {DENIED}" in text
    code, text = shown("results", "--store", place)
    assert code == 1 and f"left out: {closed} {DENIED}" in text
    assert [label in text for label in ("baseA", "baseB", "A2B", "B1B")] == [True] * 4

    def planned() -> tuple[int, dict[str, str]]:
        order = dispatch.order("quick", runs.values(), make_local(), pack=1)
        return len(order.todo), dict(order.left_out)

    assert as_user(BOB, planned) == (0, {runs["A1B"].id: f"{closed} {DENIED}"})


@pytest.mark.parametrize("name", ["sweep.json", "runs.json", "jobs", ""])
def test_a_sweep_that_cannot_be_read_is_named_and_its_runs_are_known_by_their_folders(
    name: str, runs: dict[str, Run]
):
    place = runs["A1B"].folder.parent
    (folder,) = (place / ".sweeps").glob("quick-*")
    (folder / name).chmod(0o700)

    code, text = shown("status", "--store", str(place))
    assert code == 1 and "5 done" in text
    assert f"left out: {folder / name}" in text and DENIED in text
    code, text = shown("results", "--store", str(place))
    assert code == 1 and f"left out: {folder / name}" in text


def test_a_store_that_cannot_be_read_is_an_error(runs: dict[str, Run]):
    place = runs["A1B"].folder.parent
    place.chmod(0o700)

    for command in ("status", "results", "retry"):
        assert shown(command, "--store", str(place)) == (2, f"error: {place} {DENIED}\n")
    with pytest.raises(Unreadable):
        as_user(BOB, lambda: store.unfinished(runs.values()))


def test_an_error_of_a_disk_is_not_taken_for_a_missing_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    for number, words in ((5, "Input/output error"), (116, "Stale file handle")):

        def fail(*_: object, number: int = number, words: str = words, **__: object) -> None:
            raise OSError(number, words)

        for name in ("open", "stat", "listdir"):
            monkeypatch.setattr(reading.os, name, fail)
        for call in (lambda p: reading.read(p, limit=1), reading.exists, reading.names):
            with pytest.raises(Unreadable) as error:
                call(tmp_path)
            assert str(error.value) == (
                f"{tmp_path} cannot be read: {words}; check the disk, then run the command again"
            )
        monkeypatch.undo()
