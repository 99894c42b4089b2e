"""What is written goes through no planted link, and belongs to the group whose folder it is in."""

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from support.users import ALICE, BOB, GROUP, as_user

from transferlab.errors import UserError
from transferlab.runtime import files, folders

Write = Callable[[Path], object]


def mode(path: Path) -> str:
    return oct(stat.S_IMODE(path.stat().st_mode))


def append(path: Path) -> None:
    with files.explained(path), files.open_append(path) as file:
        file.write(b"more\n")


def update(path: Path) -> None:
    with files.explained(path), files.open_update(path) as file:
        file.write(b"more\n")


def write(path: Path) -> None:
    files.write(path, lambda file: file.write(b"more\n"))


IN_PLACE = pytest.mark.parametrize("change", [append, update])
EVERY = pytest.mark.parametrize("change", [append, update, write])


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    """A folder that its group may write."""
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared").chmod(0o2775)
    return tmp_path / "shared"


# --- a group's folder


@EVERY
@pytest.mark.parametrize("umask", [0o002, 0o022, 0o077])
def test_a_file_in_a_groups_folder_is_the_groups_whatever_the_umask(
    shared: Path, change: Write, umask: int
):
    earlier = os.umask(umask)
    try:
        change(shared / "log.txt")
        files.make_folder(shared / "a" / "b")
        change(shared / "a" / "b" / "log.txt")
    finally:
        os.umask(earlier)

    of_a_file = {0o002: "0o664", 0o022: "0o664", 0o077: "0o660"}[umask]
    of_a_folder = {0o002: "0o2775", 0o022: "0o2775", 0o077: "0o2770"}[umask]
    assert [mode(shared / name) for name in ("log.txt", "a/b/log.txt")] == [of_a_file] * 2
    assert [mode(shared / name) for name in ("a", "a/b")] == [of_a_folder] * 2


@EVERY
def test_a_file_in_a_folder_of_ones_own_follows_the_umask(tmp_path: Path, change: Write):
    tmp_path.chmod(0o755)
    earlier = os.umask(0o022)
    try:
        files.make_folder(tmp_path / "a")
        change(tmp_path / "a" / "log.txt")
    finally:
        os.umask(earlier)

    assert (mode(tmp_path / "a"), mode(tmp_path / "a/log.txt")) == ("0o755", "0o644")


def test_a_sticky_folder_gives_nothing_to_its_group(shared: Path):
    shared.chmod(0o1777)
    write(shared / "file")
    files.make_folder(shared / "a")

    assert not (shared / "file").stat().st_mode & stat.S_IWGRP
    assert not (shared / "a").stat().st_mode & stat.S_IWGRP


@pytest.mark.root
def test_two_users_of_a_group_write_the_same_files(group_folder: Path):
    log, record = group_folder / "run" / "log.txt", group_folder / "run" / "record.json"

    as_user(ALICE, files.make_folder, log.parent)
    for user in (ALICE, BOB, ALICE):
        as_user(user, append, log)
        as_user(user, write, record)

    assert (log.read_text(), log.stat().st_uid) == ("more\n" * 3, ALICE)
    assert (record.read_text(), record.stat().st_uid) == ("more\n", ALICE)
    assert [path.stat().st_gid for path in (log, record)] == [GROUP, GROUP]


@pytest.mark.root
def test_a_file_that_cannot_be_given_to_the_folders_group_gains_nothing(group_folder: Path):
    os.chown(group_folder, 0, 0)  # a group in which Alice is not
    group_folder.chmod(0o777)

    as_user(ALICE, write, group_folder / "file")

    assert mode(group_folder / "file") == "0o644"
    assert (group_folder / "file").stat().st_gid == GROUP


@pytest.mark.root
@EVERY
def test_what_another_user_has_not_shared_names_the_user_the_mode_and_the_way_out(
    group_folder: Path, change: Write
):
    store = group_folder
    os.chown(store, ALICE, GROUP)
    store.chmod(0o755)

    with pytest.raises(UserError) as error:
        as_user(BOB, change, store / "file")

    assert str(error.value) == (
        f"{store}/file cannot be written: Permission denied; {store} belongs to user 2001 (mode "
        f"755), who can share it with the group: chmod -R g+w {store}, and umask 002 from then on, "
        "or choose a store that can be written, with runtime.store=DIR"
    )


# --- planted links


@IN_PLACE
def test_a_planted_link_is_not_written_through_and_named(tmp_path: Path, change: Write):
    (tmp_path / "victim").write_text("mine")
    (tmp_path / "log.txt").symlink_to("victim")

    with pytest.raises(UserError, match=f"{tmp_path}/log.txt is a symbolic link, .*: delete it"):
        change(tmp_path / "log.txt")

    assert (tmp_path / "victim").read_text() == "mine"


@IN_PLACE
def test_a_link_to_nothing_makes_nothing(tmp_path: Path, change: Write):
    (tmp_path / "log.txt").symlink_to("victim")

    with pytest.raises(UserError, match="is a symbolic link"):
        change(tmp_path / "log.txt")

    assert not (tmp_path / "victim").exists()


@IN_PLACE
def test_a_hard_link_is_not_written_through(tmp_path: Path, change: Write):
    (tmp_path / "victim").write_text("mine")
    os.link(tmp_path / "victim", tmp_path / "log.txt")

    with pytest.raises(UserError, match="log.txt has 2 names"):
        change(tmp_path / "log.txt")

    assert (tmp_path / "victim").read_text() == "mine"


@IN_PLACE
@pytest.mark.parametrize("planted", [os.mkfifo, os.mkdir])
def test_what_is_no_regular_file_is_refused_and_not_waited_for(
    tmp_path: Path, change: Write, planted: Callable[[Path], None]
):
    planted(tmp_path / "log.txt")

    with pytest.raises(UserError, match="log.txt"):
        change(tmp_path / "log.txt")


def test_a_file_that_is_replaced_takes_the_place_of_a_planted_link(tmp_path: Path):
    (tmp_path / "victim").write_text("mine")
    (tmp_path / "record.json").symlink_to("victim")

    write(tmp_path / "record.json")

    assert (tmp_path / "victim").read_text() == "mine"
    assert not (tmp_path / "record.json").is_symlink()


def test_a_link_at_the_temporary_name_is_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(files.secrets, "token_hex", lambda size: "0123")
    (tmp_path / ".record.json.0123").symlink_to("victim")

    with pytest.raises(UserError, match="File exists"):
        write(tmp_path / "record.json")

    assert not (tmp_path / "victim").exists()


@pytest.mark.root
@EVERY
def test_a_folder_that_another_user_has_planted_is_not_entered(shared: Path, change: Write):
    (shared / "mine").mkdir()
    (shared / "run").symlink_to("mine")
    os.chown(shared / "run", BOB, GROUP, follow_symlinks=False)

    with pytest.raises(UserError) as error:
        change(shared / "run" / "log.txt")
    with pytest.raises(UserError, match="is a link to mine that user 2002 made"):
        files.make_folder(shared / "run" / "a")

    assert str(error.value) == (
        f"{shared}/run is a link to mine that user 2002 made in a folder which others can write, "
        "and is not followed: name its target, or put a folder in its place"
    )
    assert list((shared / "mine").iterdir()) == []


@EVERY
def test_ones_own_links_to_folders_are_followed(shared: Path, change: Write):
    (shared / "disk").mkdir()
    (shared / "run").symlink_to(shared / "disk" / ".." / "disk")

    files.make_folder(shared / "run" / "a")
    change(shared / "run" / "a" / "log.txt")

    assert (shared / "disk" / "a" / "log.txt").read_text() == "more\n"


def test_links_in_a_circle_are_an_error(tmp_path: Path):
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")

    with pytest.raises(UserError, match=f"{tmp_path}/a/record.json cannot be written"):
        write(tmp_path / "a" / "record.json")


def test_a_relative_path_is_that_of_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")

    write(Path("record.json"))
    append(Path("../log.txt"))

    assert (tmp_path / "here/record.json").exists()
    assert (tmp_path / "log.txt").exists()


# --- private folders


def test_a_private_folder_is_nobody_elses_and_kept(tmp_path: Path):
    assert folders.private(tmp_path / "own") == tmp_path / "own"
    assert mode(tmp_path / "own") == "0o700"
    assert folders.private(tmp_path / "own") == tmp_path / "own"


def test_a_private_folder_that_others_can_write_is_refused(tmp_path: Path):
    (tmp_path / "own").mkdir()
    (tmp_path / "own").chmod(0o770)
    with pytest.raises(OSError, match="own is not a folder that only you can write: delete it"):
        folders.private(tmp_path / "own")

    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="link is not a folder that only you can write"):
        folders.private(tmp_path / "link")


def test_a_private_folder_that_others_can_replace_is_refused(shared: Path):
    (shared / "a").mkdir(0o700)

    for folder in (shared / "own", shared / "a" / "own"):
        with pytest.raises(OSError, match=f"others can write {shared}, and so replace {folder}"):
            folders.private(folder)


@pytest.mark.root
def test_a_private_folder_of_another_user_is_refused(tmp_path: Path):
    (tmp_path / "own").mkdir(0o700)
    os.chown(tmp_path / "own", BOB, GROUP)

    with pytest.raises(OSError, match="own is not a folder that only you can write"):
        folders.private(tmp_path / "own")


# --- what other programs make


def test_a_tree_that_another_program_has_made_is_shared(shared: Path, tmp_path: Path):
    (tmp_path / "victim").write_text("mine")
    (tmp_path / "victim").chmod(0o600)
    earlier = os.umask(0o022)
    try:
        (shared / "run" / "logs").mkdir(parents=True)
        (shared / "run" / "logs" / "debug.log").touch()
        (shared / "run" / "link").symlink_to(tmp_path / "victim")
        os.mkfifo(shared / "run" / "fifo")
    finally:
        os.umask(earlier)

    folders.share_tree(shared / "run")

    paths = [shared / name for name in ("run", "run/logs", "run/logs/debug.log")]
    assert [mode(path) for path in paths] == ["0o2775", "0o2775", "0o664"]
    assert mode(tmp_path / "victim") == "0o600"


def test_a_log_that_slurm_has_made_is_shared_when_it_is_continued(shared: Path):
    (shared / "0.log").touch(0o644)

    append(shared / "0.log")

    assert mode(shared / "0.log") == "0o664"


def test_whether_a_folder_can_be_written_is_tried_under_a_name_that_nobody_can_guess(
    shared: Path,
):
    (shared / f".{os.getpid()}").symlink_to(shared / "victim")

    files.probe(shared)

    assert [path.name for path in shared.iterdir()] == [f".{os.getpid()}"]
    with pytest.raises(NotADirectoryError):
        (shared / "file").touch()
        files.probe(shared / "file")
