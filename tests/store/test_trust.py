"""What a store names is imported or started only by the user who wrote it, or who trusts it.

The store belongs to this user, who for the time of a command is another one.
"""

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from support.records import made
from support.stores import record
from support.studies import make_local, make_slurm, start

from transferlab import results, store
from transferlab.__main__ import main
from transferlab.errors import UserError
from transferlab.experiment.build import vary_config
from transferlab.experiment.run import Run, make_run
from transferlab.launch import dispatch, job, worker
from transferlab.store import sweeps, trust

NAMES = ("data.name", "model.name", "split.name")
STRANGER = 4711


@pytest.fixture(autouse=True)
def planted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A module that leaves a file when it is imported; the file."""
    (tmp_path / "modules").mkdir()
    mark = tmp_path / "imported"
    code = f"open({str(mark)!r}, 'w').close()\ndef build(**_): raise SystemExit\n"
    (tmp_path / "modules" / "planted.py").write_text(code)
    monkeypatch.syspath_prepend(str(tmp_path / "modules"))
    yield mark
    sys.modules.pop("planted", None)


@pytest.fixture
def stranger(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """From its call on, this process is another user's."""
    return lambda: monkeypatch.setattr(os, "geteuid", lambda: STRANGER)


def naming(place: Path, key: str) -> Run:
    """A base that names code for that key."""
    config = made({"runtime.store": str(place)}, variant="baseB", n=None, target=None)
    return make_run(vary_config(config, {key: "planted:build"}, recorded=True))


def failed(run: Run) -> None:
    store.create(run)
    store.note_failure(run, "the loss is nan")


def refusal(code: str, owner: str, place: Path) -> str:
    return (
        f"belongs to {owner} and names code that this command would run: {code}; if you trust "
        f"everybody who can write {place}, say so with TRANSFERLAB_TRUST={place} in front of the "
        "command"
    )


@pytest.mark.parametrize("key", NAMES)
def test_retry_imports_nothing_that_a_strangers_sweep_names(
    key: str, tmp_path: Path, planted: Path, stranger: Callable[[], None],
    capsys: pytest.CaptureFixture[str],
):  # fmt: skip
    place = tmp_path / "store"
    run = naming(place, key)
    sweep = start([run], make_local())
    failed(run)
    stranger()

    assert main(["retry", "--store", str(place)]) == 2
    message = refusal(f"{key}=planted:build", "root", place)
    assert f"{sweep.folder / 'runs.json'} {message}" in capsys.readouterr().err
    assert not planted.exists()


@pytest.mark.parametrize(
    ("settings", "code"),
    [
        ({"template": "/store/evil.sbatch"}, "launcher.template=/store/evil.sbatch"),
        ({"extra": ["--prolog=x"]}, "launcher.extra=--prolog=x"),
        ({"base": {"extra": ["--bcast=x"]}}, "launcher.base.extra=--bcast=x"),
    ],
)
def test_retry_submits_no_script_or_option_that_a_strangers_sweep_names(
    settings: dict[str, object], code: str, tmp_path: Path, stranger: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
):  # fmt: skip
    place = tmp_path / "store"
    run = make_run(made({"runtime.store": str(place)}, variant="baseB", n=None, target=None))
    sweep = start([run], make_slurm(**settings))
    failed(run)
    submitted: list[object] = []
    monkeypatch.setattr(dispatch, "submit", submitted.append)
    stranger()

    assert main(["retry", "--store", str(place)]) == 2
    assert f"{sweep.folder / 'sweep.json'} {refusal(code, 'root', place)}" in (
        capsys.readouterr().err
    )
    assert submitted == []


@pytest.mark.parametrize("key", NAMES)
def test_a_worker_imports_nothing_that_a_strangers_sweep_names(
    key: str, tmp_path: Path, planted: Path, stranger: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
):  # fmt: skip
    run = naming(tmp_path / "store", key)
    sweep = start([run], make_local())
    task = sweeps.record(sweeps.prepare(sweep, [SimpleNamespace(runs=(run,))], sweeps.LOCAL))  # type: ignore[list-item]
    monkeypatch.setattr(worker, "LEASH", "UNSET")
    stranger()

    assert worker.main([str(task.folder), "0"]) == 2
    with pytest.raises(UserError, match=f"names code .*{key}=planted:build"):
        job.work(task.folder, job.SlurmTask("", 0, 0), None)  # type: ignore[arg-type]
    assert not planted.exists()


@pytest.mark.parametrize("key", NAMES)
def test_rerun_imports_nothing_that_a_strangers_run_names(
    key: str, tmp_path: Path, planted: Path, stranger: Callable[[], None],
    capsys: pytest.CaptureFixture[str],
):  # fmt: skip
    run = naming(tmp_path / "store", key)
    store.create(run)
    store.finish(run, record(run.config, 0.5))
    copy = shutil.copytree(run.folder, tmp_path / "copy")
    stranger()

    assert main(["rerun", str(copy), "--into", str(tmp_path / "again")]) == 2
    message = refusal(f"{key}=planted:build", "root", copy)
    assert f"{copy / 'config.json'} {message}" in capsys.readouterr().err
    assert not planted.exists()


@pytest.mark.parametrize("key", NAMES)
def test_what_only_reads_a_store_imports_nothing_even_if_it_is_ones_own(
    key: str, tmp_path: Path, planted: Path, capsys: pytest.CaptureFixture[str]
):
    place = tmp_path / "store"
    done, other = (
        naming(place, key),
        make_run(vary_config(naming(place, key).config, {"seed": 1}, recorded=True)),
    )
    start([done, other], make_local())
    store.create(done)
    store.finish(done, record(done.config, 0.5))
    failed(other)

    assert main(["status", "--store", str(place)]) == 0
    assert "1 done, 1 failed" in capsys.readouterr().out
    assert main(["results", "--store", str(place)]) == 0
    assert results.load(place).table["id"].tolist() == [done.id]
    assert not planted.exists()


@pytest.mark.parametrize(
    ("trusted", "counts"),
    [
        ("{place}", True),
        ("/elsewhere:{place}", True),
        ("{parent}", True),
        ("{place}/../store", True),
        ("{place}2", False),
        ("/elsewhere", False),
        ("", False),
        (":", False),
    ],
)
def test_a_store_is_trusted_by_its_folder_or_one_above_it(
    trusted: str, counts: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    place = tmp_path / "store"
    monkeypatch.setenv(trust.VARIABLE, trusted.format(place=place, parent=tmp_path))
    code = ["model.name=planted:build"]

    if counts:
        trust.require(place / "runs.json", STRANGER, code, folder=place)
    else:
        with pytest.raises(UserError, match="belongs to user 4711 and names code"):
            trust.require(place / "runs.json", STRANGER, code, folder=place)


def test_root_trusts_no_other_user_and_nobody_needs_trust_for_what_names_no_code(tmp_path: Path):
    config = made({}, variant="baseB", n=None, target=None)
    assert trust.of_configs([config]) == set()
    assert trust.of_launcher(make_local()) == trust.of_launcher(make_slurm()) == set()
    trust.require(tmp_path / "runs.json", os.geteuid() + 1, [], folder=tmp_path)
    with pytest.raises(UserError, match="names code"):
        trust.require(tmp_path / "runs.json", os.geteuid() + 1, ["a=b:c"], folder=tmp_path)


def test_a_list_of_runs_that_another_user_planted_is_replaced(
    tmp_path: Path, stranger: Callable[[], None]
):
    """The name of its folder is a digest, which says nothing of what the file holds now."""
    run = naming(tmp_path / "store", "model.name")
    path = start([run], make_local()).folder / "runs.json"
    content, before = path.read_bytes(), path.stat().st_ino
    path.write_bytes(content.replace(b"planted", b"another"))
    start([run], make_local())
    assert path.read_bytes() == content

    before = path.stat().st_ino
    stranger()
    start([run], make_local())
    assert path.read_bytes() == content and path.stat().st_ino != before
