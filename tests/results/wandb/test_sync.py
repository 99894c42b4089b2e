"""Weights & Biases rebuilt from a store, always offline: what the written files hold is read back.

Two real processes of `sync` are looked at from all sides; the rest goes without W&B.
"""

import json
import socket
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from support import stores, wandb_files
from support.commandline import call, refused

from transferlab.__main__ import main
from transferlab.errors import RunFailed, UserError
from transferlab.experiment.keys import flatten
from transferlab.experiment.run import Run, make_run
from transferlab.results.wandb import entries, sync
from transferlab.results.wandb.entries import Entry
from transferlab.runtime import locks
from transferlab.store import mirrors
from transferlab.store.mirrors import Page

HEAD = "step,epoch,lr,train/loss,train/accuracy,val/loss,val/accuracy,time_s,images_per_s"
BASE_CURVE = """
100,4.3478,0.02,1.25,0.5,1.5,0.25,4.125,800.1
339,14.7391,0.0,0.5,0.75,1.0,0.875,12.5,812.0
"""
SELFFER_CURVE = """
339,14.7391,0.001,0.25,0.875,1.5,0.75,9.5,900.5
"""


def curve(run: Run, rows: str) -> None:
    run.metrics_file.write_text(HEAD + rows)


def two_runs(store: Path, *, study: bool = True) -> tuple[Run, Run]:
    """Two finished runs, baseB and B3B; those of a study have a report."""
    base, selffer = stores.finish(store, "baseB", 0.875), stores.finish(store, "B3B", 0.75)
    curve(base, BASE_CURVE)
    curve(selffer, SELFFER_CURVE)
    if study:
        stores.planned(store, "quick", "B3B")
    return base, selffer


def content(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


# --- with W&B -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Done:
    """Two calls of `sync`: what they wrote and printed, and the connections made meanwhile."""

    base: Run
    selffer: Run
    folders: dict[str, Path]
    first: tuple[int, str, str]
    again: tuple[int, str, str]
    before: dict[str, bytes]
    after: dict[str, bytes]
    calls: int
    here: list[str]
    cache: Path

    def read(self, identity: str) -> wandb_files.Read:
        return wandb_files.read(self.folders[identity])


def connections(server: socket.socket) -> int:
    """The number of connections made."""
    count = 0
    while True:
        try:
            server.accept()[0].close()
        except BlockingIOError:
            return count
        count += 1


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Done]:
    root = tmp_path_factory.mktemp("sync")
    here, store = root / "here", root / "store"
    here.mkdir()
    base, selffer = two_runs(store)
    stores.finish(store, "B1B", 0.5)  # without a curve
    failed = stores.start(store, stores.config("A5B"))
    failed.failure_file.write_text(json.dumps({"error": "the loss is nan", "time": ""}))
    stores.start(store, stores.config("A7B"))
    with socket.create_server(("127.0.0.1", 0), backlog=64) as server:
        server.setblocking(False)
        address = f"http://127.0.0.1:{server.getsockname()[1]}"
        names = ("WANDB_BASE_URL", "HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy")
        trap = {name: address for name in names} | {"WANDB_MODE": "online", "HOME": str(root)}
        trap |= {
            "WANDB_RESUME": "must",
            "WANDB_RUN_ID": "another",
            "WANDB_RUN_GROUP": "another",
            "WANDB_DIR": str(here),
        }
        first = call(here, "sync", **trap)
        hidden = store / ".wandb"
        before = content(hidden)
        again = call(here, "sync", **trap)
        calls = connections(server)
    folders = {path.name.split("_", 1)[1].split("-", 1)[1]: path for path in hidden.glob("o*")}
    yield Done(
        base, selffer, folders, first, again, before, content(hidden), calls,
        [path.name for path in here.iterdir()], root / "cache",
    )  # fmt: skip


def test_each_finished_run_and_each_study_gets_a_folder(done: Done):
    code, out, _ = done.first

    assert code == 0
    assert out == f"3 written, 0 unchanged, 3 left out: {done.base.folder.parent}/.wandb\n"
    report = f"report-quick-{min(done.base.id, done.selffer.id)}"
    assert set(done.folders) == {done.base.id, done.selffer.id, report}
    assert (done.base.id, done.selffer.id) == ("b3a5f5975452", "ef69ce4113b6")


def test_a_run_keeps_its_id_name_and_config(done: Done):
    read = done.read(done.selffer.id)

    assert (read.id, read.project, read.name) == (done.selffer.id, "transferlab", "B3B")
    assert read.host == ""
    assert (read.group, read.job_type, read.exit_code) == ("quick/random0", "BnB", 0)
    assert read.tags == ["quick", "random", "digits", "alexnet_small"]
    local = ("runtime.store", "runtime.cache")  # of this machine
    flat = flatten(stores.config("B3B"))
    assert read.config == {key: value for key, value in flat.items() if key not in local}
    assert (read.config["transfer.n"], read.config["train.lr"]) == (3, 0.02)
    assert read.config["data.root"] is None


def test_a_run_has_its_complete_curve_by_step(done: Done):
    rows = [
        {"epoch": 4.3478, "lr": 0.02, "train/loss": 1.25, "train/accuracy": 0.5, "val/loss": 1.5,
         "val/accuracy": 0.25, "time_s": 4.125, "images_per_s": 800.1},
        {"epoch": 14.7391, "lr": 0.0, "train/loss": 0.5, "train/accuracy": 0.75, "val/loss": 1.0,
         "val/accuracy": 0.875, "time_s": 12.5, "images_per_s": 812.0},
    ]  # fmt: skip

    assert done.read(done.base.id).history == [(100, rows[0]), (339, rows[1])]
    assert [step for step, _ in done.read(done.selffer.id).history] == [339]


def test_the_summary_has_the_metrics_and_the_last_row(done: Done):
    assert done.read(done.selffer.id).summary == {
        "top1_final": 0.75, "top1_peak": 0.77, "val_loss_final": 1.5,
        "train_loss_final": 1, "chance": 0.2, "learned": True, "delta_to_target_base": -0.125,
        "epoch": 14.7391, "lr": 0.001, "train/loss": 0.25, "train/accuracy": 0.875,
        "val/loss": 1.5, "val/accuracy": 0.75, "time_s": 9.5, "images_per_s": 900.5,
    }  # fmt: skip


def test_a_study_has_a_report_with_its_tables_and_figures(done: Done):
    (identity,) = set(done.folders) - {done.base.id, done.selffer.id}
    read = done.read(identity)

    assert (read.name, read.group, read.job_type) == ("report quick", "quick", "report")
    assert read.config["study"] == "quick" and read.config["metric"] == "top1_final"
    ((step, shown),) = read.history
    assert step == 0
    assert read.summary["finished_runs"] == 2
    assert "tables/table1" not in shown  # which would have no line
    files = done.folders[identity] / "files"
    figure2 = json.loads((files / shown["tables/figure2"]["path"]).read_text())
    lines = [dict(zip(figure2["columns"], line, strict=True)) for line in figure2["data"]]
    assert [(line["series"], line["n"], line["mean"], line["sd"]) for line in lines] == [
        ("baseB", 0, 0.875, None),
        ("BnB", 3, 0.75, None),
    ]
    picture = shown["figures/figure2"]
    assert picture["count"] == 1 and picture["captions"] == [
        "digits (10 classes, 1.44k images) alexnet_small quick lr=0.02"
    ]
    assert (files / picture["filenames"][0]).read_bytes().startswith(b"\x89PNG")


def test_tables_are_staged_beside_the_run(done: Done):
    (identity,) = set(done.folders) - {done.base.id, done.selffer.id}

    assert any((done.folders[identity] / "data/artifacts/staging").iterdir())
    assert not (done.cache / "wandb/data").exists()


def test_what_is_left_out_is_reported(done: Done):
    err = done.first[2]

    ids = {name: stores.located(Path(), stores.config(name)).id for name in ("A5B", "A7B", "B1B")}
    assert f"left out: A5B random0 {ids['A5B']} is failed: the loss is nan\n" in err
    assert f"left out because not finished: A7B random0 {ids['A7B']}\n" in err
    assert f"metrics.csv is not the curve of B1B {ids['B1B']} (it is missing)" in err
    assert f"to send them: wandb sync {done.base.folder.parent}/.wandb/offline-run-*\n" in err
    assert len(err.splitlines()) == 4


def test_a_second_sync_adds_nothing(done: Done):
    code, out, _ = done.again

    assert code == 0 and out.startswith("0 written, 3 unchanged, 3 left out: ")
    assert done.after == done.before


def test_nothing_is_sent_and_the_working_directory_stays_empty(done: Done):
    assert done.calls == 0
    assert done.here == []
    assert not any("latest-run" in name or "requirements" in name for name in done.after)


def test_no_service_process_is_left(done: Done):
    services = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if str(done.cache).encode() in path.read_bytes():
                services.append(path)
        except OSError:
            continue
    assert services == []


# --- what is written again, without W&B ---------------------------------------------------------


class Fake:
    """Replaces `mirrors.WandB`: makes its folder, and records its arguments."""

    runs: list[dict[str, Any]] = []

    def __init__(self, page: Page, *, folder: Path, mode: str, **more: Any) -> None:
        kind = "offline-run" if mode == "offline" else "run"
        run_folder = folder / f"{kind}-20261125_090000-{page.id}"
        run_folder.mkdir()
        summary: dict[str, Any] = {}
        self.run = SimpleNamespace(settings=SimpleNamespace(sync_dir=run_folder), summary=summary)
        Fake.runs.append({"id": page.id, "mode": mode, "page": page, "summary": summary, **more})

    def log(self, row: dict[str, Any]) -> None:
        pass

    def close(self, exit_code: int) -> None:
        pass


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> type[Fake]:
    Fake.runs = []
    for name in ("CACHE", "CONFIG", "DATA", "ARTIFACT"):
        monkeypatch.setenv(f"WANDB_{name}_DIR", name)
    for name in ("SILENT", "ERROR_REPORTING"):
        monkeypatch.setenv(f"WANDB_{name}", "true")
    monkeypatch.setattr(mirrors, "WandB", Fake)
    return Fake


def written(store: Path, *, online: bool = False, project: str | None = None) -> list[str]:
    """The labels of the runs that a sync of the store writes."""
    Fake.runs = []
    collected = entries.collect(store, project=project)
    runs = [entry for entry in collected.entries if entry.page.job_type != "report"]
    sync.write(runs, store / ".wandb", online=online, cache=Path("cache"))
    return [run["page"].name for run in Fake.runs]


def test_only_changed_entries_are_written_again_and_replace_the_old(
    tmp_path: Path, fake: type[Fake]
):
    base, _ = two_runs(tmp_path, study=False)
    assert sorted(written(tmp_path)) == ["B3B", "baseB"]
    assert written(tmp_path) == []

    stores.finish(tmp_path, "baseB", 0.5)
    curve(base, BASE_CURVE.replace("0.875", "0.5"))

    assert sorted(written(tmp_path)) == [
        "B3B",
        "baseB",
    ]  # of which the difference to its base changed
    assert len(list((tmp_path / ".wandb").glob(f"*{base.id}"))) == 1
    curve(base, BASE_CURVE.replace("0.875", "0.5").replace("800.1", "800.2"))
    assert written(tmp_path) == ["baseB"]


def test_an_interrupted_entry_is_replaced(
    tmp_path: Path, fake: type[Fake], monkeypatch: pytest.MonkeyPatch
):
    import wandb

    def interrupted(*_: Any) -> None:
        raise wandb.Error("interrupted")

    two_runs(tmp_path, study=False)
    with monkeypatch.context() as patched, pytest.raises(RunFailed):
        patched.setattr(Fake, "close", interrupted)
        written(tmp_path)
    assert len(list((tmp_path / ".wandb").glob("offline-run-*"))) == 1

    assert sorted(written(tmp_path)) == ["B3B", "baseB"]
    assert len(list((tmp_path / ".wandb").glob("offline-run-*"))) == 2


def test_folders_of_others_stay(tmp_path: Path, fake: type[Fake]):
    base, _ = two_runs(tmp_path, study=False)
    mirrored = tmp_path / ".wandb" / f"offline-run-20250101_000000-{base.id}"
    mirrored.mkdir(parents=True)
    written(tmp_path)

    assert mirrored.exists()
    assert len(list((tmp_path / ".wandb").glob(f"*{base.id}"))) == 2


def test_online_and_offline_runs_are_separate(tmp_path: Path, fake: type[Fake]):
    two_runs(tmp_path, study=False)
    written(tmp_path)

    assert len(written(tmp_path, online=True)) == 2
    assert {(run["mode"], run["rebuilt"]) for run in fake.runs} == {("online", True)}
    assert written(tmp_path, online=True) == []
    assert len(written(tmp_path, online=True, project="mine")) == 2
    assert {run["project"] for run in fake.runs} == {"mine"}


def test_another_sync_of_the_same_folder_is_refused(tmp_path: Path, fake: type[Fake]):
    two_runs(tmp_path, study=False)
    with (
        locks.held(tmp_path / ".wandb/lock", pytest.fail),
        pytest.raises(UserError, match="another sync is writing .*wandb: wait until"),
    ):
        written(tmp_path)


def test_a_failure_of_wandb_is_one_line(
    tmp_path: Path, fake: type[Fake], monkeypatch: pytest.MonkeyPatch
):
    import wandb

    def broken(*_: Any, **__: Any) -> None:
        raise wandb.Error("no\nanswer")

    two_runs(tmp_path, study=False)
    monkeypatch.setattr(mirrors, "WandB", broken)
    with pytest.raises(RunFailed, match="^Weights & Biases: (B3B|baseB): no answer$"):
        written(tmp_path)


# --- entries ------------------------------------------------------------------------------------


def by_name(store: Path, **options: Any) -> dict[str, Entry]:
    return {entry.page.name: entry for entry in entries.collect(store, **options).entries}


def test_the_live_mirror_has_the_same_page_without_the_study(tmp_path: Path):
    two_runs(tmp_path)
    mirrored = mirrors.page(make_run(stores.config("baseB")))

    page = by_name(tmp_path)["baseB"].page

    assert replace(page, group="random0", tags=()) == mirrored


def test_a_run_without_a_study_is_grouped_by_its_split_and_has_no_report(tmp_path: Path):
    curve(stores.finish(tmp_path, "baseB", 0.25, learned=False), BASE_CURVE)

    by_label = by_name(tmp_path)

    assert set(by_label) == {"baseB"}
    assert by_label["baseB"].page.group == "random0"
    assert by_label["baseB"].page.tags == ("random", "digits", "alexnet_small", "at chance level")


def test_a_study_can_be_selected(tmp_path: Path):
    two_runs(tmp_path)
    stores.finish(tmp_path, "A1B", 0.5)
    stores.planned(tmp_path, "more", "A1B")

    assert set(by_name(tmp_path)) == {"baseB", "B3B", "A1B", "report quick", "report more"}
    assert set(by_name(tmp_path, study="quick")) == {"baseB", "B3B", "report quick"}
    with pytest.raises(UserError, match="study=less was never started .* more, quick"):
        entries.collect(tmp_path, study="less")


def test_a_study_without_a_finished_run_is_reported(tmp_path: Path):
    two_runs(tmp_path)
    stores.planned(tmp_path, "later", "A3A")

    collected = entries.collect(tmp_path)

    assert "study later has no finished run and so no report" in collected.left_out


def test_a_report_keeps_its_id_while_the_study_grows(tmp_path: Path):
    two_runs(tmp_path)
    before = by_name(tmp_path)["report quick"]
    stores.finish(tmp_path, "B1B", 0.5, finished="2026-11-25T10:05:37+0000")
    stores.planned(tmp_path, "quick", "B1B")

    after = by_name(tmp_path)["report quick"]

    assert after.page.id == before.page.id and after.digest != before.digest


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        (None, "it is missing"),
        ("", "its last row differs from the run's record"),
        (BASE_CURVE.splitlines()[1], "its last row differs from the run's record"),
        (BASE_CURVE.replace("0.875", "0.75"), "its last row differs from the run's record"),
        (BASE_CURVE + BASE_CURVE, "its steps do not increase"),
        (BASE_CURVE.replace("1.25", "nan"), "train/loss='nan' is not a finite number"),
        (BASE_CURVE.replace("1.25", "x"), "train/loss='x' is not a finite number"),
        (BASE_CURVE.replace(",4.125,800.1", ""), "a line has more or fewer values"),
        (BASE_CURVE.replace("800.1", "800.1,7"), "a line has more or fewer values"),
    ],
)
def test_an_incomplete_curve_is_refused(tmp_path: Path, rows: str | None, reason: str):
    base, _ = two_runs(tmp_path, study=False)
    base.metrics_file.unlink() if rows is None else base.metrics_file.write_text(
        f"{HEAD}\n{rows or ''}"
    )
    entry = by_name(tmp_path)["baseB"]

    with pytest.raises(UserError) as raised:
        entry.rows()

    message = str(raised.value)
    assert message.startswith(f"{base.metrics_file} is not the curve of baseB {base.id} (")
    assert reason in message
    assert message.endswith(f"restore the file, or delete {base.folder} to train the run again")


# --- usage errors -------------------------------------------------------------------------------


def test_a_missing_store_is_refused(place: Path):
    assert "store is not a store: name one with --store DIR" in refused(place, "sync")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--store", "store", "--online"], "you are not logged in to Weights & Biases: run"),
        (["--store", "published:yosinski2014"], "published:yosinski2014 is not a folder of runs"),
        (["--store", "store", "--out", "file"], "wandb cannot be written: Not a directory; choose"),
        (["--store", "store", "more"], "unrecognized arguments: more"),
    ],
)
def test_errors_are_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
):
    two_runs(tmp_path / "store")
    (tmp_path / "file").touch()
    monkeypatch.chdir(tmp_path)
    for name in ("WANDB_API_KEY", "NETRC"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))

    assert main(["sync", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ") and message in err and len(err.splitlines()) == 1
