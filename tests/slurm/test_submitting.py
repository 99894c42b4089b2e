"""A study on SLURM from the first command to the last: nothing twice, nothing lost."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import commandline
from support import user as users
from support.cluster import Cluster
from support.user import Essence, User

FOUR = ("baseA", "baseB", "A1B", "A3B", "B1B+", "B3B+")


def only(essence: Essence, *labels: str) -> Essence:
    return {label: essence[label] for label in labels}


def columns(table: str) -> list[list[str]]:
    """Of a printed table the columns run, top-1, vs chance, vs base, steps."""
    return [line.split()[:5] for line in table.splitlines() if line.startswith(("base", "A", "B"))]


# --- a study -------------------------------------------------------------------------------------


def test_the_quick_study_has_the_same_table_on_slurm_as_here(user: User, tmp_path: Path):
    recipe = (
        "+study=quick", "split.seed=0", "transfer.variant=AnB,BnB,AnB+,BnB+",
        "transfer.n=range(1,8)", "data.size=16", "data.crop=16", "runtime.accelerator=cpu",
        "runtime.threads=1", "train.epochs=null", "train.total_steps=20", "train.val_every=10",
    )  # fmt: skip
    answer = user.ordered("sweep", *recipe, *users.SMALL_JOBS)
    assert "study quick: 30 runs (base 2, AnB 7, BnB 7, AnB+ 7, BnB+ 7)" in answer.out
    base, *others = user.jobs()
    assert [len(job["packs"]) for job in user.jobs()] == [2, 2, 2]
    assert [user.cluster.job(job["id"])["Dependency"] for job in others] == [
        f"afterok:{base['id']}_0(unfulfilled)", f"afterok:{base['id']}_1(unfulfilled)",
    ]  # fmt: skip
    user.wait_until(
        lambda: user.states()["A3B"]["words"] == "Dependency", "SLURM has looked at it", 20
    )
    here = users.arrive(tmp_path / "here", user.cluster, user.cache)
    table = here.ordered("sweep", *recipe, "launcher.jobs=2").out
    user.wait_until_done(30, timeout_s=200)
    assert users.essence(user.results()) == users.essence(here.results())
    again = user.ordered("sweep", *recipe, *users.SMALL_JOBS)
    assert "all 30 are done: nothing to do" in again.out
    assert columns(again.out) == columns(table)
    assert len(columns(table)) == 30
    assert len(user.jobs()) == 3


def test_dependents_of_a_failed_base_never_start_and_retry_finishes_the_study(
    user: User, tmp_path: Path
):
    classes = {name: 10 for name in "abcdefgh"}
    root = commandline.images(tmp_path / "images", "train", classes)
    bad = next(iter(_train_images_of_half_a(root)))
    good = bad.read_bytes()
    bad.write_bytes(good[:40] + bytes(len(good) - 40))  # another size would be other data
    words = ("data=image_folder", f"data.root={root}", "data.holdout=0.2", "data.val=null")
    recipe = [w for w in users.RECIPE if not w.startswith("data.name")]
    user.ordered("sweep", "+study=four.yaml", *words, *recipe, *users.SMALL_JOBS)
    user.wait_until(lambda: not user.queue(), "all is over")
    states = user.states()
    reason = f"{bad} cannot be read: "
    assert {label: state["state"] for label, state in states.items()} == {
        "baseA": "failed", "baseB": "done", "A1B": "blocked", "A3B": "blocked",
        "B1B+": "done", "B3B+": "done",
    }  # fmt: skip
    assert states["baseA"]["words"].startswith(reason)
    assert states["baseA"]["code"] == 2
    assert "cannot be read" in Path(states["baseA"]["log"]).read_text()
    assert states["A1B"]["words"].startswith(f"baseA failed: {reason}")
    assert not list(user.store.glob("A?B-*"))
    before = users.essence(user.results())
    bad.write_bytes(good)
    assert "retrying 3 runs: baseA A1B A3B" in user.ordered("retry").err
    user.wait_until_done(6)
    assert user.summary() == dict.fromkeys(FOUR, "done")
    assert {**users.essence(user.results()), **before} == users.essence(user.results())
    assert user.runs_in_jobs().total() == 9


def _train_images_of_half_a(root: Path) -> list[Path]:
    """None whose content is part of the digest, nor one that is held out."""
    from transferlab.data.datasets import folder as folder_module
    from transferlab.data.datasets import listing
    from transferlab.experiment import compose
    from transferlab.experiment.splits.random import random_halves

    index = folder_module.scan(str(root), None, 0.2)
    half = random_halves(index.classes, 0).half("A")
    assert compose  # the split of seed 0 is conf's default
    every = listing.list_files(root / "train", index.classes).files
    sampled = set(every.paths[listing._sample(every)].tolist())
    files = [os.fsdecode(path) for path in index.train.paths.tolist() if path not in sampled]
    return [root / "train" / file for file in files if file.split("/")[0] in half]


# --- submitting twice, and half ------------------------------------------------------------------


SBATCH = """#!/bin/bash
calls=$(( $(cat {folder}/calls 2>/dev/null || echo 0) + 1 ))
echo $calls >{folder}/calls
{what}
exec {sbatch} "$@"
"""


def with_sbatch(user: User, folder: Path, what: str) -> User:
    """The user with an `sbatch` that first executes a given script."""
    folder.mkdir()
    text = SBATCH.format(folder=folder, what=what, sbatch=shutil.which("sbatch"))
    (folder / "sbatch").write_text(text)
    (folder / "sbatch").chmod(0o755)
    path = f"{folder}:{user.cluster.environment['PATH']}"
    return users.User(user.place, user.cluster, user.cache, {"PATH": path})


def test_several_sweeps_at_once_submit_every_run_once(
    user: User, tmp_path: Path, undisturbed: Essence
):
    user.slow_down(1)
    slow = with_sbatch(user, tmp_path / "bin", "sleep 1")
    processes = [slow.start(*slow.line(study)) for study in ("four", "four", "all")]
    for process in processes:
        _, err = process.communicate(timeout=100)
        assert process.returncode == 0, err
    user.hurry()
    counts = user.runs_in_jobs()
    assert (len(counts), set(counts.values())) == (7, {1})
    user.wait_until_done(7)
    assert users.essence(user.results()) == undisturbed
    assert len(user.reads_by_process()) == len(user.jobs()) + 1  # one has both bases


@pytest.mark.parametrize(
    ("what", "submitted"),
    [
        ("if [ $calls = 2 ]; then kill -9 $PPID; exit 1; fi", 1),
        # It keeps running without its parent while the next sweep starts
        ("if [ $calls = 1 ]; then kill -9 $PPID; sleep 5; fi", 0),
    ],
    ids=["between_two_sbatch", "before_an_id_is_recorded"],
)
def test_a_sweep_killed_while_it_submits_is_completed_by_the_next_one(
    user: User, tmp_path: Path, undisturbed: Essence, what: str, submitted: int
):
    user.slow_down(4)  # a job that was not reported is looked for for a minute
    victim = with_sbatch(user, tmp_path / "bin", what)
    assert victim.call(*victim.line("four")).code == -9
    assert len([job for job in user.jobs() if job["id"] is not None]) == submitted
    user.sweep("four")
    user.hurry()
    counts = user.runs_in_jobs()
    assert (len(counts), set(counts.values())) == (6, {1})
    names = user.cluster.run("squeue", "--noheader", "--array", "--format=%j").split()
    assert len(names) == 4
    user.wait_until_done(6)
    assert users.essence(user.results()) == only(undisturbed, *FOUR)
    assert len(user.reads_by_process()) == 4


# --- cancelling ----------------------------------------------------------------------------------


def test_cancel_takes_this_stores_jobs_and_no_others_and_the_same_sweep_resumes(
    user: User, tmp_path: Path, undisturbed: Essence
):
    other = users.arrive(tmp_path / "other", user.cluster, user.cache)
    for each, study, pace in ((other, "base", 3), (user, "pair", 0.3)):
        each.slow_down(pace)
        each.sweep(study)
    plain = user.cluster.submit("--output=/dev/null", "--wrap=sleep 100")
    user.wait_until_trained(8)
    mine = user.queue()
    assert len(mine) == 2
    assert [line.split()[0] for line in user.ordered("cancel").out.splitlines()] == mine
    user.wait_until(lambda: not user.queue(), "its jobs are gone")
    assert other.summary() == {"baseB": "running"}
    assert f"{plain} RUNNING" in user.cluster.squeue()
    assert user.summary() == {"baseB": "interrupted", "B2B+": "missing"}
    assert user.ordered("cancel").out == ""
    user.hurry()
    user.sweep("pair")
    user.wait_until_done(2)
    assert users.essence(user.results()) == only(undisturbed, "baseB", "B2B+")
    assert sum(user.reads_by_process()[:2]) <= users.STEPS + 3


# --- what changes after submitting ---------------------------------------------------------------


def test_edits_to_conf_do_not_change_what_is_queued(
    cluster: Cluster, cache: Path, tmp_path: Path, undisturbed: Essence
):
    user = users.arrive_with_source(tmp_path / "tree", cluster, cache)
    user.sweep("pair", 'launcher.extra=["--hold"]')
    for path in (user.place / "conf").rglob("*.yaml"):
        path.write_text("nonsense: [\n")
    (user.place / "slurm" / "job.sbatch").write_text("#!/bin/bash\nexit 1\n")
    (user.place / "pair.yaml").write_text("nonsense: [\n")
    assert user.call(*user.line("four")).code == 2  # those are the files that count
    for job in user.jobs():
        cluster.run("scontrol", "release", job["id"])
    user.wait_until_done(2)
    assert users.essence(user.results()) == only(undisturbed, "baseB", "B2B+")


def test_a_job_whose_base_slurm_has_forgotten_fails_immediately(user: User, undisturbed: Essence):
    user.sweep("pair", 'launcher.base.extra=["--hold"]')
    base, after = (job["id"] for job in user.jobs())
    # What SLURM does by itself when the base's job has ended MinJobAge, 300 s, ago
    user.cluster.run("scontrol", "update", f"jobid={after}", "dependency=")
    user.wait_until(lambda: len(user.queue()) == 1, "the dependent has ended")
    assert "error: B2B+ cannot start: baseB is not finished" in user.logs()
    assert user.summary() == {"baseB": "queued", "B2B+": "failed"}
    assert user.reads() == []
    user.cluster.run("scontrol", "release", base)
    assert "retrying 1 run: B2B+" in user.ordered("retry").err
    user.wait_until_done(2)
    assert users.essence(user.results()) == only(undisturbed, "baseB", "B2B+")


# --- refusals ------------------------------------------------------------------------------------


def test_an_unknown_partition_is_refused_with_the_message_of_sbatch(user: User):
    answer = user.call(*user.line("pair", "launcher.partition=nowhere"))
    assert answer.code == 2
    assert answer.err.strip().splitlines()[-1] == (
        "error: sbatch refused the job: sbatch: error: invalid partition specified: nowhere; "
        "sbatch: error: Batch job submission failed: Invalid partition name specified"
    )
    assert user.jobs() == []
    assert user.summary() == {"baseB": "missing", "B2B+": "missing"}


# --- the disk ------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(user: User) -> Iterator[Path]:
    """The store on a disk of 24 MB."""
    user.store.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(user.store)]
    done = subprocess.run(mount, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {done.stderr.strip()}")
    yield user.store
    subprocess.run(["umount", "--lazy", str(user.store)], check=True)


def test_a_run_whose_disk_fills_up_reports_it_and_resumes_when_there_is_space(
    user: User, small_disk: Path, undisturbed: Essence
):
    user.slow_down(0.2)
    user.sweep("base")
    user.wait_until_trained(5)
    filler = small_disk / ".filler"
    with filler.open("wb") as file:
        free = os.statvfs(small_disk)
        file.write(b"x" * (free.f_bavail * free.f_frsize - 64 * 1024))
    user.hurry()
    user.wait_until(lambda: not user.queue(), "the job is over")
    state = user.states()["baseB"]
    assert state["state"] == "failed"
    assert state["words"].startswith(
        f"{user.folder('baseB')}/last.ckpt cannot be written: No space left on device; make room"
    )
    filler.unlink()
    user.ordered("retry")
    user.wait_until_done(1)
    assert users.essence(user.results()) == only(undisturbed, "baseB")
