"""`rerun` with a fake training: what it trains, with which settings, and what it refuses.

Real trainings, and how weights differ, are in tests/training/test_rerun.py.
"""

import hashlib
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest
from support.commandline import images
from support.stores import record

from transferlab import data, store
from transferlab.__main__ import main
from transferlab.data.datasets import folder
from transferlab.errors import Interrupted
from transferlab.experiment.build import vary_config
from transferlab.experiment.config import RunConfig
from transferlab.experiment.resolve import resolve
from transferlab.experiment.run import Run, make_run

Compose = Callable[..., RunConfig]
CONTENT = b"the weights"
DIGITS = ("+split=random", "transfer.n=3", "runtime.devices=2", "runtime.workers=5")


def finish(run: Run) -> Run:
    store.create(run)
    run.weights_file.write_bytes(CONTENT)
    digest = hashlib.sha256(CONTENT).hexdigest()
    store.finish(run, record(run.config, 0.75, weights_sha256=digest, threads=3))
    return run


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[Run]:
    """The runs that are trained, in place of training them; every one ends with CONTENT."""
    runs: list[Run] = []

    def train(pack: Sequence[Run], stop: object) -> None:
        runs.extend(map(finish, pack))

    module = SimpleNamespace(check=len, train_pack=train)
    monkeypatch.setitem(sys.modules, "transferlab.training.run", module)  # type: ignore[arg-type]
    return runs


@pytest.fixture
def original(config: Compose) -> Run:
    """A finished A3B on digits, trained by two processes of three threads."""
    return finish(resolve(config(*DIGITS)))


@pytest.fixture
def place(place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(place)
    monkeypatch.setenv("TRANSFERLAB_CACHE", str(place / "here"))
    return place


def forget() -> None:
    """Folders are listed once in a process: forget them, as a new process does."""
    data.describe.cache_clear()
    folder.scan.cache_clear()


def refusal(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    assert main(["rerun", *map(str, arguments)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    return err.strip().splitlines()[-1].removeprefix("error: ")


# --- what is trained -----------------------------------------------------------------------------


def test_the_base_and_the_run_are_trained_again_in_another_store(
    original: Run, trained: list[Run], place: Path, capsys: pytest.CaptureFixture[str]
):
    assert main(["rerun", str(original.folder)]) == 0

    assert [run.label for run in trained] == ["baseA", "A3B"]
    assert [run.id for run in trained] == [original.base_id, original.id]
    assert {run.folder.parent for run in trained} == {Path("reruns")}
    heading, _, before, again, verdict = capsys.readouterr().out.splitlines()
    assert heading.split() == ["top-1", "weights", "finished", "folder"]
    digest = hashlib.sha256(CONTENT).hexdigest()[:12]
    assert before.split()[:3] == ["A3B", "0.7500", digest]
    assert again.split()[:3] == ["again", "0.7500", digest]
    assert before.endswith(str(original.folder)) and again.endswith(
        f"reruns/{original.folder_name}"
    )
    assert verdict == "the weights are the same, bit for bit"


def test_what_the_last_bits_depend_on_is_as_recorded_and_paths_are_those_of_this_machine(
    original: Run, trained: list[Run], place: Path
):
    assert main(["rerun", str(original.folder), "--into", "again"]) == 0

    runtime = trained[-1].config.runtime
    assert (runtime.devices, runtime.threads) == (2, 3)
    assert (runtime.store, runtime.cache, runtime.workers) == ("again", str(place / "here"), None)


def test_settings_that_are_not_part_of_the_id_can_be_changed(
    original: Run, trained: list[Run], place: Path
):
    settings = ("runtime.devices=1", "runtime.accelerator=cpu", "runtime.threads=null")

    assert main(["rerun", *settings, str(original.folder)]) == 0

    runtime = trained[-1].config.runtime
    assert (runtime.devices, runtime.accelerator, runtime.threads) == (1, "cpu", None)
    assert trained[-1].id == original.id


def test_a_second_call_compares_with_what_was_trained_before(
    original: Run, trained: list[Run], place: Path, capsys: pytest.CaptureFixture[str]
):
    command = ["rerun", str(original.folder)]
    assert (main(command), main(command)) == (0, 0)

    assert len(trained) == 2
    hint = f"trained earlier: delete reruns/{original.folder_name} to train it again"
    assert capsys.readouterr().err.splitlines()[-1] == hint


def test_a_copy_of_the_folder_under_another_name_is_enough(
    original: Run, trained: list[Run], place: Path
):
    copy = original.folder.rename(place / "a copy")

    assert main(["rerun", str(copy)]) == 0
    assert trained[-1].id == original.id


def test_an_interruption_is_resumable(
    original: Run,
    trained: list[Run],
    place: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    def stop(*arguments: object) -> None:
        raise Interrupted("stopped while training")

    with monkeypatch.context() as patch:
        patch.setattr(sys.modules["transferlab.training.run"], "train_pack", stop)
        assert main(["rerun", str(original.folder)]) == 75
    assert "run the command again to resume" in capsys.readouterr().err

    assert main(["rerun", str(original.folder)]) == 0


def test_images_that_have_moved_are_named_with_data_root(
    config: Compose,
    trained: list[Run],
    place: Path,
    capsys: pytest.CaptureFixture[str],
):
    root = place / "images"
    for subset in ("train", "val"):
        images(root, subset, dict.fromkeys("abcd", 2))
    original = finish(resolve(config(
        "+split=random", "data=image_folder", f"data.root={root}", "transfer.variant=baseA"
    )))  # fmt: skip
    root.rename(place / "moved")
    forget()

    assert refusal(capsys, original.folder) == f"data.root={root} is not a folder"
    assert main(["rerun", str(original.folder), f"data.root={place}/moved"]) == 0
    assert [run.id for run in trained] == [original.id]
    capsys.readouterr()

    (place / "moved" / "train" / "a" / "0.png").unlink()
    forget()
    message = refusal(capsys, original.folder, f"data.root={place}/moved", "--into", "more")
    assert message.startswith("data.digest=")
    assert len(trained) == 1


def test_a_run_of_an_earlier_revision_is_trained_by_the_rules_of_this_one(
    original: Run, trained: list[Run], place: Path, capsys: pytest.CaptureFixture[str]
):
    earlier = {"revision": 1, "data.digest": "a" * 64, "split.digest": "b" * 64}
    old = finish(make_run(vary_config(original.config, earlier)))

    assert main(["rerun", str(old.folder)]) == 0

    assert [run.id for run in trained] == [original.base_id, original.id] != [old.base_id, old.id]
    assert capsys.readouterr().err.splitlines()[0] == (
        f"{old.folder} is of revision 1, and this version trains by the rules of revision 2: "
        "another run, with other weights and an id of its own"
    )


# --- what is refused -----------------------------------------------------------------------------


def test_a_key_that_identifies_the_run_is_refused(
    original: Run, trained: list[Run], place: Path, capsys: pytest.CaptureFixture[str]
):
    assert refusal(capsys, original.folder, "train.lr=0.5") == (
        "train.lr is part of what identifies a run, which trains again as it is: change only "
        "split.groups, split.weights, data.root, data.val, data.unreadable, split.a.root, "
        "split.a.val, split.a.unreadable and keys of runtime"
    )
    assert refusal(capsys, original.folder, "runtime.store=more") == (
        "runtime.store is the other store here: name it with --into DIR"
    )
    assert refusal(capsys, original.folder, "runtime.thread=1").startswith(
        "unknown key runtime.thread: did you mean runtime.threads"
    )
    assert trained == []


def test_the_store_of_the_run_itself_is_refused(
    original: Run, trained: list[Run], place: Path, capsys: pytest.CaptureFixture[str]
):
    into = original.folder.parent

    assert refusal(capsys, original.folder, "--into", into) == (
        f"--into {into} is the store of {original.folder} itself: name another folder"
    )


def test_only_a_finished_and_undamaged_run_can_be_compared_with(
    original: Run, trained: list[Run], place: Path, capsys: pytest.CaptureFixture[str]
):
    recorded = original.result_file.read_text()
    original.weights_file.write_bytes(b"others")
    assert f"{original.weights_file} has the digest" in refusal(capsys, original.folder)

    changed = json.loads(original.config_file.read_text())
    changed["config"]["train"]["lr"] = 0.5
    original.config_file.write_text(json.dumps(changed))
    assert f"{original.config_file} is damaged (it is not the config of run" in refusal(
        capsys, original.folder
    )

    original.result_file.write_text(recorded[:50])
    assert refusal(capsys, original.folder).startswith(f"{original.result_file} is damaged")

    original.result_file.unlink()
    message = f"{original.folder} has no result.json: it is not the folder of a finished run"
    assert refusal(capsys, original.folder) == message
    assert trained == []
