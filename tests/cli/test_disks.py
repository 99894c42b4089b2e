"""Commands in a store of two users, on a disk without locks, and without a home directory."""

import stat
from pathlib import Path

import pytest
from support import forked
from support.commandline import TINY, call
from support.users import ALICE, BOB

STUDY = "[{split: random, transfer.variant: [base], transfer.target: [%s]}]"
PAIR = "[{split: random, transfer.variant: [AnB], transfer.n: [1]}]"  # with the base A
SHORT = [*TINY, "train.total_steps=3", "train.val_every=3", "runtime.accelerator=cpu"]


def study(folder: Path, name: str, text: str) -> str:
    (folder / f"{name}.yaml").write_text(text)
    return f"+study={folder}/{name}.yaml"


@pytest.mark.root
def test_two_users_with_the_usual_umask_share_a_store(group_folder: Path):
    place, store = group_folder.parent, group_folder

    def command(user: int, *words: str) -> str:
        folders = {"TRANSFERLAB_STORE": str(store), "TRANSFERLAB_CACHE": f"{store}/.cache"}
        mine = {forked.USER: str(user), "HOME": "/nonexistent"}
        code, out, err = call(place, *words, **folders, **mine)
        assert code == 0, err
        return out

    command(ALICE, "sweep", study(place, "a", STUDY % "A"), *SHORT)
    command(BOB, "sweep", study(place, "pair", PAIR), *SHORT, "logger=tensorboard")

    paths = [path for path in store.rglob("*") if not path.is_symlink()]
    assert {path.stat().st_uid for path in paths} == {ALICE, BOB}
    closed = [path for path in paths if not path.stat().st_mode & stat.S_IWGRP]
    assert [path.relative_to(store) for path in closed] == []
    assert all(path.stat().st_mode & stat.S_ISGID for path in paths if path.is_dir())
    assert len(list(store.glob("A1B-*/tensorboard/events.*"))) == 1
    for user in (ALICE, BOB):
        assert "2 done" in command(user, "status")
        assert command(user, "results", "--format", "csv").count("\n") == 3
        command(user, "retry")


def test_commands_on_a_disk_without_locks(tmp_path: Path, place: Path):
    def command(*words: str) -> tuple[str, str]:
        code, out, err = call(place, *words, **{forked.WITHOUT_LOCKS: "1"})
        assert code == 0, err
        return out, err

    _, swept = command("sweep", study(tmp_path, "a", STUDY % "A"), *SHORT)
    assert "is on a file system without locks: heartbeats take their place" in swept
    assert "1 done" in command("status")[0]
    assert command("results", "--format", "csv")[0].count("\n") == 2
    command("retry")
    assert not list((tmp_path / "store").rglob("*.holder"))


@pytest.mark.root
def test_commands_without_a_home_directory(group_folder: Path):
    place = group_folder.parent
    (place / "tmp").mkdir()
    (place / "tmp").chmod(0o1777)
    nobody = {forked.USER: "12345", "HOME": "", "XDG_CACHE_HOME": "", "TRANSFERLAB_CACHE": ""}
    folders = {"TRANSFERLAB_STORE": str(group_folder), "TMPDIR": str(place / "tmp")}

    for words in (("sweep", "+study=quick", "dry_run=true"), ("status",)):
        code, _, err = call(place, *words, **folders, **nobody)
        assert (code, "Traceback" in err) == (0, False), err

    cache = place / "tmp" / "transferlab-12345"
    assert stat.S_IMODE(cache.stat().st_mode) == 0o700
    assert list((cache / "networks").iterdir())
