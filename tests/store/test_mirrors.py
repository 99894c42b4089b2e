"""TensorBoard's files in a store that others can write."""

import os
import stat
import time
from pathlib import Path

import pytest
from support.records import made

from transferlab.errors import UserError
from transferlab.experiment.run import Run, make_run
from transferlab.runtime import files
from transferlab.store import mirrors

pytest.importorskip("tensorboardX")


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A run in a store that its group can write."""
    store = tmp_path / "runs"
    store.mkdir()
    store.chmod(0o2775)
    run = make_run(made({"runtime.store": str(store), "runtime.logger": "tensorboard"}))
    files.make_folder(run.folder)
    return run


def write(run: Run) -> None:
    mirror = mirrors.mirror(run)
    assert mirror is not None
    mirror.log({"step": 1, "train/loss": 0.5})
    mirror.close(0)


def test_events_are_the_groups_and_go_through_no_planted_link(
    run: Run, monkeypatch: pytest.MonkeyPatch
):
    folder, victim = run.folder / "tensorboard", run.folder / "victim"
    files.make_folder(folder)
    now = int(time.time())
    monkeypatch.setattr(time, "time", lambda: float(now))
    guessed = f"events.out.tfevents.{now}.{os.uname().nodename}"
    (folder / guessed).symlink_to(victim)

    write(run)

    assert not victim.exists()
    (events,) = (path for path in folder.iterdir() if not path.is_symlink())
    assert events.stat().st_mode & stat.S_IWGRP
    assert events.stat().st_size > 50


@pytest.mark.root
def test_a_planted_folder_is_refused(run: Run):
    (run.folder / "elsewhere").mkdir()
    (run.folder / "tensorboard").symlink_to("elsewhere")
    os.chown(run.folder / "tensorboard", 2002, 3000, follow_symlinks=False)

    with pytest.raises(UserError, match="tensorboard is a link to elsewhere that user 2002 made"):
        write(run)

    assert list((run.folder / "elsewhere").iterdir()) == []
