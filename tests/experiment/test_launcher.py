"""The keys of conf/launcher/: their defaults, what a job of each role asks for, what is refused."""

import functools
from dataclasses import replace
from typing import Any

import pytest
from support import configs

from transferlab.errors import UserError
from transferlab.experiment import compose, sbatch
from transferlab.experiment.launcher import (
    LocalSettings,
    Resources,
    SlurmSettings,
    build_launcher,
    launcher_dict,
    recorded_launcher,
    require_consistent,
)

NOTHING = Resources(*[None] * 10)


def raw(*words: str) -> dict[str, Any]:
    """What `sweep` composes for the launcher."""
    return compose.plain(configs.composed(words, "sweep"))["launcher"]


@functools.cache
def defaults() -> dict[str, Any]:
    return raw("launcher=slurm")


def slurm(*words: str) -> SlurmSettings:
    found = build_launcher(raw("launcher=slurm", *words))
    assert isinstance(found, SlurmSettings)
    return found


def refusal(*words: str) -> str:
    with pytest.raises(UserError) as error:
        build_launcher(raw(*words))
    return str(error.value)


# --- what conf/ says ----------------------------------------------------------------------------


def test_the_local_launcher_has_one_worker_with_one_thread_by_default():
    assert build_launcher(raw()) == LocalSettings(
        "local", jobs=1, threads=1, gpus=None, fail_fast=False, changed_code="warn"
    )
    words = ["launcher.jobs=3", "launcher.threads=2", "launcher.gpus=[0,1]"]
    assert build_launcher(raw(*words, "launcher.fail_fast=true")) == LocalSettings(
        "local", jobs=3, threads=2, gpus=(0, 1), fail_fast=True, changed_code="warn"
    )


def test_a_job_of_slurm_requests_a_gpu_for_a_day_by_default():
    found = slurm()

    asked = Resources(None, None, None, "24:00:00", "gpu:1", 8, "32G", None, None, ())
    assert (found.name, found.threads, found.signal_s) == ("slurm", 1, 120)
    assert (found.requeues, found.template) == (20, None)
    assert found.base == found.transfer == found.pack == NOTHING
    for role in ("base", "transfer", "pack"):
        assert found.resources(role) == asked


def test_a_role_says_otherwise_for_its_own_jobs_alone():
    found = slurm(
        "launcher.partition=gpu",
        "launcher.memory=64000",
        'launcher.extra=["--exclude=node7"]',
        "launcher.base.time=48:00:00",
        "launcher.base.extra=[]",
        "launcher.pack.throttle=4",
        "launcher.transfer.partition=short",
    )

    common = replace(
        found.resources("transfer"), partition="gpu", extra=("--exclude=node7",), memory=64000
    )
    assert found.resources("base") == replace(common, time="48:00:00", extra=())
    assert found.resources("pack") == replace(common, throttle=4)
    assert found.resources("transfer") == replace(common, partition="short")
    assert common.time == "24:00:00"


@pytest.mark.parametrize("name", ["local", "slurm"])
def test_settings_that_were_written_down_are_built_again(name: str):
    found = build_launcher(raw(f"launcher={name}", "launcher.threads=3"))

    assert build_launcher(launcher_dict(found)) == found
    assert found.threads == 3


# --- what is refused ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["++launcher.job=2"],
            "unknown key launcher.job of launcher=local: did you mean launcher.jobs?",
        ),
        (
            ["++launcher.partition=gpu"],
            "unknown key launcher.partition of launcher=local: it belongs to launcher=slurm",
        ),
        (
            ["launcher=slurm", "++launcher.jobs=2"],
            "unknown key launcher.jobs of launcher=slurm: it belongs to launcher=local",
        ),
        (
            ["++launcher.xyz=1"],
            "unknown key launcher.xyz of launcher=local: choose one of name, jobs, threads, gpus, "
            "fail_fast, changed_code",
        ),
        (
            ["launcher=slurm", "++launcher.partitionn=x"],
            "unknown key launcher.partitionn of launcher=slurm: did you mean launcher.partition?",
        ),
        (
            ["launcher=slurm", "++launcher.base.tim=1"],
            "unknown key launcher.base.tim of launcher=slurm: did you mean launcher.base.time?",
        ),
        (
            ["launcher=slurm", "++launcher.base.requeues=1"],
            "unknown key launcher.base.requeues of launcher=slurm: choose one of partition, "
            "account, qos, time, gres, cpus, memory, constraint, throttle, extra",
        ),
        (
            ["++launcher.name=slrm"],
            "unknown launcher.name=slrm: choose one of local, slurm",
        ),
        (["launcher.jobs=0"], "launcher.jobs=0 must be at least 1"),
        (["launcher.jobs=2.5"], "launcher.jobs=2.5 must be an integer, not a float"),
        (["launcher.jobs=null"], "launcher.jobs=null must be an integer"),
        (["launcher.threads=0"], "launcher.threads=0 must be at least 1"),
        (["launcher.gpus=1"], "launcher.gpus=1 must be a list or null, not an integer"),
        (["launcher.gpus=[a]"], "launcher.gpus[0]=a must be an integer, not a string"),
        (["launcher.fail_fast=1"], "launcher.fail_fast=1 must be true or false, not an integer"),
        (["launcher=slurm", "launcher.cpus=0"], "launcher.cpus=0 must be at least 1"),
        (
            ["launcher=slurm", "launcher.pack.cpus=0"],
            "launcher.pack.cpus=0 must be at least 1",
        ),
        (
            ["launcher=slurm", "launcher.base.throttle=0"],
            "launcher.base.throttle=0 must be at least 1",
        ),
        (
            ["launcher=slurm", "launcher.signal_s=-1"],
            "launcher.signal_s=-1 must be at least 0",
        ),
        (
            ["launcher=slurm", "launcher.requeues=-1"],
            "launcher.requeues=-1 must be at least 0",
        ),
        (
            ["launcher=slurm", "launcher.gres=1"],
            "launcher.gres=1 must be a string or null, not an integer",
        ),
        (
            ["launcher=slurm", "launcher.time=true"],
            "launcher.time=true must be a string or an integer or null, not a boolean",
        ),
        (
            ["launcher=slurm", "launcher.base=null"],
            "launcher.base=null must be a group of keys and values",
        ),
        (
            ["launcher=slurm", "launcher.extra=[-x]"],
            "launcher.extra=-x is not an option of sbatch: write it as --exclude=node7",
        ),
        (
            ["launcher=slurm", "launcher.pack.extra=[node7]"],
            "launcher.pack.extra=node7 is not an option of sbatch: write it as --exclude=node7",
        ),
        (
            ["launcher=slurm", "launcher.extra=[3]"],
            "launcher.extra[0]=3 must be a string, not an integer",
        ),
        (
            ["launcher=slurm", 'launcher.partition="a\tb"'],
            "launcher.partition='a\\tb' has unprintable characters: remove them",
        ),
        (
            ["launcher=slurm", 'launcher.base.extra=["--comment=a\tb"]'],
            "launcher.base.extra='--comment=a\\tb' has unprintable characters: remove them",
        ),
    ],
)
def test_wrong_settings_are_refused(words: list[str], message: str):
    assert refusal(*words) == message


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["launcher.time=2"],
            "launcher.time=2 (120 s) is not longer than launcher.signal_s=120: a job would be "
            "asked to save before it has trained; increase the time, or decrease launcher.signal_s",
        ),
        (["launcher.base.time=1:30"], "launcher.base.time=1:30 (90 s) is not longer"),
        (["launcher.pack.time=0:01:59"], "launcher.pack.time=0:01:59 (119 s) is not longer"),
        (["launcher.signal_s=86400"], "launcher.signal_s=86400 must be at most 65535"),
        (
            ["launcher.time=18:00:00", "launcher.signal_s=65000"],
            "launcher.time=18:00:00 (64800 s) is not longer",
        ),
        (
            ["launcher.time=soon"],
            "launcher.time=soon is not a time limit: write it as minutes, 90, as H:M:S, 36:00:00, "
            "or as D-H:M:S, 1-12:00:00",
        ),
        (
            ['launcher.extra=["--signal=TERM@10"]'],
            "launcher.extra=--signal=TERM@10 contradicts --signal, which every job has: use "
            "launcher.signal_s",
        ),
        (
            ['launcher.base.extra=["--no-requeue"]'],
            "launcher.base.extra=--no-requeue contradicts --no-requeue, which every job has: use "
            "launcher.requeues=0",
        ),
        (
            ['launcher.extra=["--cpus=4"]'],
            "launcher.extra=--cpus=4 contradicts launcher.cpus=8: use launcher.cpus",
        ),
    ],
)
def test_settings_that_contradict_each_other_are_refused(words: list[str], message: str):
    assert refusal("launcher=slurm", *words).startswith(message)


@pytest.mark.parametrize(
    ("option", "meant"),
    [
        ("--job-name=x", "--job-name"), ("--array=0-3", "--array"), ("--arr=0-3", "--array"),
        ("--out=x", "--output"), ("--open-mode=truncate", "--open-mode"), ("--chd=/", "--chdir"),
        ("--sig=TERM", "--signal"), ("--dep=singleton", "--dependency"), ("--requeue", "--requeue"),
        ("--req", "--requeue"), ("--no-re", "--no-requeue"), ("--kill-on=no", "--kill-on"),
        ("--time=3", "--time"), ("--wait", "--wait"), ("--wrap=true", "--wrap"),
        ("--test-only", "--test-only"), ("--nodes=2", "--nodes"),
        ("--ntasks-per-node=2", "--ntasks-per-node"), ("--mem=1G", "launcher.memory=32G"),
        ("--mem-per-cpu=1G", "launcher.memory=32G"), ("--gres=gpu:2", "launcher.gres=gpu:1"),
    ],
)  # fmt: skip
def test_an_option_that_a_job_has_is_refused_also_abbreviated(option: str, meant: str):
    with pytest.raises(UserError) as error:
        build_launcher({**defaults(), "extra": [option]})
    assert str(error.value).startswith(f"launcher.extra={option} contradicts {meant}")


@pytest.mark.parametrize(
    "changes",
    [
        {"extra": ["--exclude=n7", "--ntasks=1", "--nice", "--hold", "--time-min=10"]},
        {"extra": ["--partition=gpu", "--qos=long"]},  # which no setting requests
        {"gres": None, "extra": ["--gres=gpu:a100:1"]},
        {"time": 3},
        {"time": None, "extra": []},
        {"time": 0},  # of sbatch: no limit
        {"time": "UNLIMITED"},
        {"time": "0-1"},
        {"time": "1-0:30", "signal_s": 65535},
    ],
)
def test_settings_that_agree_are_accepted(changes: dict[str, Any]):
    build_launcher({**defaults(), **changes})


@pytest.mark.parametrize(
    ("limit", "seconds"),
    [
        (90, 5400), ("90", 5400), ("5:30", 330), ("1:00:30", 3630), ("2-3", 183_600),
        ("2-3:30", 185_400), ("2-3:30:15", 185_415), ("24:00:00", 86_400), (0, None),
        ("infinite", None), ("-1", None),
    ],
)  # fmt: skip
def test_a_time_limit_is_read_as_sbatch_does(limit: str | int, seconds: int | None):
    assert sbatch.seconds(limit, "launcher.time") == seconds


@pytest.mark.parametrize("limit", ["1:2:3:4", "1-2:3:4:5", "1h", "", "1-", "-5", "1.5"])
def test_a_time_limit_that_sbatch_does_not_understand_is_refused(limit: str):
    with pytest.raises(UserError, match="is not a time limit: write it as"):
        sbatch.seconds(limit, "launcher.time")


def test_recorded_settings_of_an_earlier_version_are_read():
    old = raw("launcher=slurm")
    del old["changed_code"]
    old |= {"time": 1, "extra": ["--signal=TERM@10"]}

    found = recorded_launcher(old)

    assert isinstance(found, SlurmSettings)
    assert (found.time, found.changed_code) == (1, "warn")
    with pytest.raises(UserError, match="is not longer than launcher.signal_s"):
        require_consistent(found)


def test_a_key_that_is_missing_is_refused_by_its_full_name():
    for key, message in (
        ("jobs", "missing key launcher.jobs"),
        ("name", "unknown launcher.name=None: choose one of local, slurm"),
    ):
        lacking = {name: value for name, value in raw().items() if name != key}
        with pytest.raises(UserError) as error:
            build_launcher(lacking)
        assert str(error.value) == message
