"""Paths and the cache where there is no home directory, and where there is."""

import os
import pwd
import stat
import tempfile
from pathlib import Path

import pytest

from transferlab.errors import UserError
from transferlab.runtime import paths


@pytest.fixture
def nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user without HOME who is in no list of users; returns the folder of temporary files."""

    def unknown(number: object) -> None:
        raise KeyError(number)

    for name in ("HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    paths._without_home.cache_clear()
    return tmp_path


@pytest.mark.parametrize(
    ("variables", "folder"),
    [
        ({"XDG_CACHE_HOME": "/x", "HOME": "/me"}, "/x/transferlab"),
        ({"XDG_CACHE_HOME": "relative", "HOME": "/me"}, "/me/.cache/transferlab"),
        ({"HOME": "/me"}, "/me/.cache/transferlab"),
        ({"HOME": ""}, "/listed/.cache/transferlab"),
        ({}, "/listed/.cache/transferlab"),
    ],
)
def test_the_cache_is_where_the_user_keeps_caches(
    variables: dict[str, str], folder: str, monkeypatch: pytest.MonkeyPatch
):
    for name in ("HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    entry = pwd.struct_passwd(("me", "x", 1, 1, "", "/listed", ""))
    monkeypatch.setattr(pwd, "getpwuid", lambda number: entry)

    assert paths.cache(None) == Path(folder)
    assert paths.cache("/elsewhere") == Path("/elsewhere")


def test_without_a_home_the_cache_is_a_private_temporary_folder(
    nobody: Path, caplog: pytest.LogCaptureFixture
):
    folder = nobody / f"transferlab-{os.geteuid()}"

    assert (paths.cache(None), paths.cache(None)) == (folder, folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert caplog.messages == [
        f"no home directory: the cache is {folder}; set HOME or TRANSFERLAB_CACHE"
    ]


def test_a_temporary_folder_that_somebody_else_has_planted_is_refused(nobody: Path):
    folder = nobody / f"transferlab-{os.geteuid()}"
    folder.symlink_to(nobody)

    with pytest.raises(UserError) as error:
        paths.cache(None)

    assert str(error.value) == (
        f"there is no home directory, and {folder} cannot hold the cache ({folder} is not a folder "
        "that only you can write: delete it): set HOME or TRANSFERLAB_CACHE"
    )


def test_a_tilde_without_a_home_is_an_error_in_one_line(nobody: Path):
    with pytest.raises(UserError) as error:
        paths.expand("~/store")
    assert str(error.value) == (
        "~/store: ~ is unknown, since HOME is not set: write the path out, or ./~/store for a "
        "folder of that name"
    )
    with pytest.raises(UserError, match="there is no user nosuch"):
        paths.expand("~nosuch/store")
    assert paths.expand("a/~") == Path("a/~")


def test_a_tilde_is_the_home(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOME", "/me")

    assert paths.expand("~") == Path("/me")
    assert paths.expand("~/store") == Path("/me/store")
    assert paths.expand("~root/x") == Path(pwd.getpwnam("root").pw_dir) / "x"


def test_a_path_that_is_not_utf_8_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Latin-1, as on old disks: given, or that of the working directory."""
    remedy = "is not UTF-8: rename the file or folder, or use a link of another name"
    with pytest.raises(UserError) as error:
        paths.expand("caf\udce9/runs")
    assert str(error.value) == f"caf\udce9/runs {remedy}"
    folder = tmp_path / "caf\udce9"
    folder.mkdir()
    monkeypatch.chdir(folder)
    with pytest.raises(UserError) as error:
        paths.absolute("runs")
    assert str(error.value) == f"{folder}/runs {remedy}"
