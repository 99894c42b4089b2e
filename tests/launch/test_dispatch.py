"""Orders: what is to be trained, what is done, the cost, and the report of the rest."""

import json
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest
from support.fake_cluster import FakeCluster
from support.records import made, made_run
from support.stores import record
from support.studies import by_label, finish, make_local, make_slurm

from transferlab import store
from transferlab.errors import RunFailed, UserError
from transferlab.experiment.config import RunConfig
from transferlab.experiment.cost.networks import network_of
from transferlab.experiment.launcher import Launcher
from transferlab.experiment.run import Run
from transferlab.launch import dispatch
from transferlab.launch.local import Progress
from transferlab.models.facts import Footprint, NetworkFacts, NetworkShape, StageFacts
from transferlab.store import records, survey, sweeps

# Of each image, 3 kB are kept, 1 kB of them the output
BYTES = Footprint(kept=3_000, output=1_000, widest=2_000)
STAGES = tuple(StageFacts(name, 1_000_000, 1_000_000, BYTES, BYTES) for name in "12345678")
Asked = list[tuple[list[str], bool]]


@pytest.fixture
def store_folder(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def gpu_bytes() -> int | None:
    """The memory of this machine's GPU, None without one."""
    return None


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, gpu_bytes: int | None) -> Asked:
    """Which runs' networks are looked at, and whether they are timed; all have eight stages."""
    calls: Asked = []

    def facts(
        runs: Iterable[Run], *, timed: bool, threads: int | None, cache: Path
    ) -> Mapping[NetworkShape, NetworkFacts]:
        found = list(runs)
        calls.append(([run.label for run in found], timed))
        assert (threads, cache) == (1, Path("cache"))
        timing = (1e-9, "cpu") if timed else (None, None)
        return {network_of(run): NetworkFacts(STAGES, gpu_bytes, *timing) for run in found}

    monkeypatch.setattr(dispatch.networks, "facts", facts)
    return calls


def configs(store_folder: Path, *names: str, **changes: Any) -> list[RunConfig]:
    leaves = {
        "runtime.store": str(store_folder),
        **{k.replace("__", "."): v for k, v in changes.items()},
    }
    return [made(leaves, variant=name, n=None, target=None) for name in names]


def ordered(
    store_folder: Path, *names: str, launcher: Launcher | None = None, pack: int | None = 1
) -> dispatch.Order:
    return order_of(configs(store_folder, *names), launcher or make_local(), pack)


def order_of(
    wanted: list[RunConfig], launcher: Launcher | None = None, pack: int | None = 1
) -> dispatch.Order:
    launcher = launcher or make_local()
    return dispatch.order("mine", dispatch.resolved(wanted, launcher), launcher, pack=pack)


def labels(runs: Iterable[Run]) -> str:
    return " ".join(run.label for run in runs)


# --- the order ----------------------------------------------------------------------------------


def test_an_order_is_the_plan_of_the_runs_in_their_store(store_folder: Path):
    launcher = make_local(jobs=3)

    order = ordered(store_folder, "A1B", "A2B", launcher=launcher, pack=None)

    assert (order.study, order.launcher, order.store) == ("mine", launcher, store_folder)
    assert labels(order.runs) == labels(order.todo) == "baseA A1B A2B"
    assert [pack.labels for pack in order.packs] == ["baseA", "A1B A2B"]
    assert not store_folder.exists()  # nothing is written by looking


def test_finished_runs_are_not_to_do_and_not_packed(store_folder: Path):
    runs = by_label(ordered(store_folder, "A1B", "A2B").runs)
    finish(runs["baseA"], runs["A1B"])

    order = ordered(store_folder, "A1B", "A2B", pack=None)

    assert labels(order.runs) == "baseA A1B A2B"
    assert labels(order.todo) == "A2B"
    assert [pack.labels for pack in order.packs] == ["A2B"]


def test_a_run_without_a_record_is_not_finished(store_folder: Path):
    """Its folder is there, with a checkpoint perhaps; only `result.json` counts."""
    (run,) = ordered(store_folder, "baseA").runs
    run.folder.mkdir(parents=True)
    run.checkpoint_file.touch()

    assert store.unfinished([run]) == (run,)
    store.finish(run, record(run.config, 0.5))
    assert store.unfinished([run]) == ()


def test_every_run_is_sought_in_its_own_store(store_folder: Path, tmp_path: Path):
    (here,), (there,) = (
        order_of(configs(where, "baseA")).runs for where in (store_folder, tmp_path / "other")
    )
    finish(there)

    assert store.unfinished([here, there]) == (here,)


@pytest.mark.parametrize("launcher", [make_local(threads=3), make_slurm(threads=3)])
def test_threads_default_to_the_launchers_and_never_change_the_id(
    store_folder: Path, launcher: Launcher
):
    told = configs(store_folder, "A1B", runtime__threads=5)
    mute = configs(store_folder, "A1B")

    five, three = (order_of(given, launcher).runs for given in (told, mute))

    assert [run.config.runtime.threads for run in (*five, *three)] == [5, 5, 3, 3]
    assert [run.id for run in five] == [run.id for run in three]


def test_nothing_to_plan_is_refused():
    with pytest.raises(UserError) as error:
        dispatch.order("mine", [], make_local(), pack=1)

    assert str(error.value) == "study=mine has no runs"


def test_a_study_in_two_stores_is_refused(store_folder: Path, tmp_path: Path):
    """Also if it is the same runs in both."""
    for name in ("baseA", "baseB"):
        runs = [*configs(store_folder, "baseA"), *configs(tmp_path / "other", name)]
        with pytest.raises(UserError) as error:
            order_of(runs)
        assert str(error.value) == (
            "runtime.store is a list: a study needs one store, runtime.store=DIR"
        )


def test_a_store_that_cannot_be_read_is_refused(store_folder: Path):
    store_folder.write_text("a file")

    with pytest.raises(UserError) as error:
        ordered(store_folder, "baseA")

    assert str(error.value) == f"{store_folder} cannot be read: Not a directory; name a folder"


# --- records that were read before ----------------------------------------------------------------


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The labels of the runs whose records are read."""
    read: list[str] = []
    real = records.read_result

    def spy(run: Run) -> records.Values | None:
        read.append(run.label)
        return real(run)

    monkeypatch.setattr(records, "read_result", spy)
    return read


def kept_as_it_was(file: Path) -> None:
    pass


def removed(file: Path) -> None:
    file.unlink()


def cut_off(file: Path) -> None:
    file.write_text(file.read_text()[:100])


def with_its_folder_renamed(file: Path) -> None:
    file.parent.rename(file.parent.with_name("elsewhere"))


def changed_in_place(file: Path) -> None:
    """With the size and time that it had."""
    before = file.stat()
    file.write_text(file.read_text().replace('"top1_final": 0.5', '"top1_final": 5.0'))
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def of_another_run(file: Path) -> None:
    other = json.dumps(record(made(), 0.5))
    file.with_name("new").write_text(other)
    file.with_name("new").rename(file)


def written_again(file: Path) -> None:
    file.with_name("new").write_text(file.read_text())
    file.with_name("new").rename(file)


@pytest.mark.parametrize(
    ("change", "todo", "fault", "read_again"),
    [
        (kept_as_it_was, "", "", ""),
        (removed, "baseA", "", ""),
        (with_its_folder_renamed, "baseA", "", ""),
        (cut_off, "", "enclosed in double quotes: line 7 column 13", "baseA"),
        (changed_in_place, "", "metrics.top1_final=5.0 must be between 0 and 1", "baseA"),
        (of_another_run, "", "it is not the record of run", "baseA"),
        (written_again, "", "", "baseA"),
    ],
)
def test_a_record_is_read_again_when_its_file_has_changed(
    change: Callable[[Path], None],
    todo: str,
    fault: str,
    read_again: str,
    store_folder: Path,
    read: list[str],
):
    runs = by_label(ordered(store_folder, "A1B").runs)
    finish(*runs.values())
    assert labels(ordered(store_folder, "A1B").todo) == ""
    assert read == ["baseA", "A1B"]
    read.clear()

    change(runs["baseA"].result_file)

    for _ in range(2 if fault else 1):  # what cannot be used is reported each time
        order = ordered(store_folder, "A1B")
        assert labels(order.todo) == todo
        assert [*order.left_out] == ([runs["baseA"].id] if fault else [])
        assert fault in "".join(order.left_out.values())
    assert " ".join(dict.fromkeys(read)) == read_again


def test_a_new_record_is_read_and_those_of_before_are_not(store_folder: Path, read: list[str]):
    runs = by_label(ordered(store_folder, "A1B", "A2B").runs)
    for labels_of_new in (["baseA"], ["A1B"], ["A2B"]):
        finish(*(runs[label] for label in labels_of_new))
        ordered(store_folder, "A1B", "A2B")

    assert read == ["baseA", "A1B", "A2B"]
    assert labels(ordered(store_folder, "A1B", "A2B").todo) == ""


def test_files_that_were_skipped_are_asked_about_though_the_record_is_not_read_again(
    store_folder: Path, read: list[str]
):
    (run,) = ordered(store_folder, "baseA").runs
    store.create(run)
    store.finish(run, record(run.config, 0.5, skipped={"a/1.png": "0" * 64}))

    for _ in range(2):
        with pytest.raises(UserError, match=r"baseA was trained without a/1\.png, which could not"):
            ordered(store_folder, "baseA")
    assert read == ["baseA"]


@pytest.mark.root
def test_the_store_of_another_user_is_read_once_too(store_folder: Path, read: list[str]):
    runs = ordered(store_folder, "baseA", "baseB").runs
    finish(*runs)
    for path in (store_folder, *store_folder.rglob("*")):
        os.chown(path, 12345, -1)

    for _ in range(2):
        assert labels(ordered(store_folder, "baseA", "baseB").todo) == ""
    assert read == ["baseA", "baseB"]


# --- what it takes ------------------------------------------------------------------------------


def test_networks_are_timed_only_without_a_record(store_folder: Path, asked: Asked):
    cost = dispatch.cost(dispatch.look(ordered(store_folder, "A1B", "baseB")))

    assert asked == [(["baseA", "baseB", "A1B"], False), (["baseA", "baseB", "A1B"], True)]
    # 336 steps on half A, 339 on half B, of 32 images; 8e6 multiply-accumulates forward and twice
    # that back, but not back through one frozen stage; 1e-9 s each
    macs = (336 * 24e6 + 339 * 24e6 + 339 * 22e6) * 32
    assert cost.device_hours == pytest.approx(macs * 1e-9 / 3600)
    assert cost.source.startswith("from multiply-accumulates: 1.0e9 a second in a probe")


def test_runs_at_once_are_the_workers_here_and_all_on_a_cluster(store_folder: Path, asked: Asked):
    """Each needs room for a checkpoint: 8e6 parameters, of 16 bytes."""
    names = ("baseA", "baseB", "R1A", "R1B")
    for launcher, at_once in ((make_local(jobs=1), 1), (make_local(jobs=3), 3), (make_slurm(), 4)):
        cost = dispatch.cost(dispatch.look(ordered(store_folder, *names, launcher=launcher)))
        assert cost.peak_disk_gb - cost.disk_gb == pytest.approx(at_once * 0.128)


def test_a_cut_that_no_network_has_is_refused_before_anything_is_timed(
    store_folder: Path, asked: Asked
):
    with pytest.raises(UserError) as error:
        dispatch.look(ordered(store_folder, "A8B"))

    assert str(error.value) == (
        "transfer.n=8 is not a cut point of alexnet_small (8 stages): choose 0..7"
    )
    assert [timed for _, timed in asked] == [False]


# --- packs that fit -----------------------------------------------------------------------------


def cuts(count: int) -> list[str]:
    return [f"A{n}B" for n in range(1, count + 1)]


@pytest.mark.parametrize(
    ("gpu_bytes", "launcher", "bytes_of_each"),
    [
        (None, make_local(jobs=1), 64_000_000_000),  # the processor's, shared
        (None, make_local(jobs=4), 16_000_000_000),
        (80_000_000_000, make_local(jobs=1), 80_000_000_000),
        (80_000_000_000, make_local(jobs=4), 20_000_000_000),  # on the one that all see
        (80_000_000_000, make_local(jobs=4, gpus=[0, 1]), 40_000_000_000),
        (80_000_000_000, make_local(jobs=3, gpus=[0, 1, 2, 3]), 80_000_000_000),
        (80_000_000_000, make_slurm(), None),  # of another machine
    ],
)
def test_a_worker_has_its_share_of_this_machines_device(
    store_folder: Path, asked: Asked, monkeypatch: pytest.MonkeyPatch, launcher: Launcher,
    bytes_of_each: int | None,
):  # fmt: skip
    monkeypatch.setattr(dispatch.machine, "total_bytes", lambda: 64_000_000_000)

    order = dispatch.look(ordered(store_folder, "A1B", launcher=launcher))

    assert order.room is not None
    assert order.room.device_bytes == bytes_of_each
    assert order.room.limit(made_run({"runtime.memory_gb": 3})) == 3_000_000_000


@pytest.mark.parametrize("gpu_bytes", [1_250_000_000])
def test_packs_are_cut_to_the_device_once_its_memory_is_known(store_folder: Path, asked: Asked):
    """Each run needs about 100 MB, and every process a gigabyte."""
    order = ordered(store_folder, *cuts(4), pack=None)
    assert [pack.labels for pack in order.packs] == ["baseA", "A1B A2B A3B A4B"]

    order = dispatch.look(order)

    assert [pack.labels for pack in order.packs] == ["baseA", "A1B A2B", "A3B A4B"]
    assert asked == [(["baseA", *cuts(4)], False)]


@pytest.mark.parametrize("gpu_bytes", [1_250_000_000])
def test_local_and_slurm_cut_the_same_packs(
    store_folder: Path, asked: Asked, monkeypatch: pytest.MonkeyPatch
):
    given: list[object] = []

    def carry_out(sweep: sweeps.Sweep, todo: object, board: object, *, fits: object) -> Progress:
        given.append(fits)
        finish(*sweep.runs())
        return Progress(total=5)

    monkeypatch.setattr(dispatch.local, "carry_out", carry_out)
    order = dispatch.look(ordered(store_folder, *cuts(4), pack=None))
    dispatch.train(order)
    assert given == [order.fits]

    slurm = order_of(
        configs(store_folder / "2", *cuts(4), runtime__memory_gb=1.25), make_slurm(), None
    )
    submission = dispatch.submit(dispatch.look(slurm), FakeCluster())
    assert [[len(pack) for pack in job.packs] for job in submission.jobs] == [[1], [2, 2]]


# --- carried out --------------------------------------------------------------------------------


def carried_out(
    monkeypatch: pytest.MonkeyPatch, *finished: str, **reasons: dict[str, str]
) -> list[str]:
    """Stands for the local launcher: finishes some runs, and says why not the others."""
    given: list[str] = []

    def carry_out(
        sweep: sweeps.Sweep, todo: tuple[Run, ...], board: object, *, fits: object
    ) -> Progress:
        given.append(f"{sweep.study}: {labels(todo)}")
        finish(*(run for run in todo if run.label in finished))
        return Progress(total=len(todo), **reasons)

    monkeypatch.setattr(dispatch.local, "carry_out", carry_out)
    return given


def test_only_missing_runs_are_trained_here(store_folder: Path, monkeypatch: pytest.MonkeyPatch):
    given = carried_out(monkeypatch, "A1B", "A2B")
    finish(ordered(store_folder, "A1B").runs[0])

    dispatch.train(ordered(store_folder, "A1B", "A2B"))

    assert given == ["mine: A1B A2B"]
    (sweep,) = survey.require(store_folder).sweeps
    assert labels(sweep.runs()) == "baseA A1B A2B"


def test_runs_that_are_not_done_fail_the_command_and_are_counted(
    store_folder: Path, monkeypatch: pytest.MonkeyPatch
):
    order = ordered(store_folder, "A1B", "A2B", "B1B")
    carried_out(monkeypatch, "baseB", "B1B", failed={"1": "nan"}, blocked={"2": "", "3": ""})

    with pytest.raises(RunFailed) as error:
        dispatch.train(order)

    assert str(error.value) == (
        "3 of 5 runs are not finished, 1 failed, 2 blocked by a failed base: run the same command "
        f"to retry; for the reasons, python -m transferlab status --store {store_folder}"
    )


def test_a_cluster_gets_only_missing_runs(store_folder: Path):
    finish(ordered(store_folder, "A1B").runs[0])
    cluster = FakeCluster()

    submission = dispatch.submit(
        ordered(store_folder, "A1B", "A2B", launcher=make_slurm(), pack=None), cluster
    )

    (job,) = submission.jobs
    (sweep,) = survey.require(store_folder).sweeps
    by_id = {run.id: run.label for run in sweep.runs()}
    assert [[by_id[run] for run in pack] for pack in job.packs] == [["A1B", "A2B"]]
    assert submission.active == frozenset()
    assert [each.name for each in cluster.jobs.values()] == [job.name]
