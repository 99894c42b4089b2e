"""Interpolations: the same in a run, a study and an override; values of the environment stay out
of every record."""

import copy
import json
import pickle
from pathlib import Path

import pytest
from omegaconf import OmegaConf
from support import configs

from transferlab.errors import UserError
from transferlab.experiment import command, compose, interpolation, study, variables
from transferlab.experiment.build import build_config, config_dict
from transferlab.experiment.conf import Conf
from transferlab.experiment.config import RunConfig, cache_folder
from transferlab.experiment.keys import flatten, recorded
from transferlab.experiment.resolve import resolve
from transferlab.experiment.run import make_run
from transferlab.store import mirrors
from transferlab.store.manifest import Manifest

SECRET = "/disks/hunter2"
ROOT = "data.root=${oc.env:PHOTOS}/small"
RUN = ("+split=random", "data=image_folder", "transfer.variant=B2B")
DIGESTS = ("data.digest='11'", "split.digest='22'")


@pytest.fixture(autouse=True)
def photos(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHOTOS", SECRET)


def run(*overrides: str) -> RunConfig:
    return build_config(compose.plain(configs.composed([*RUN, *overrides])))


def of_study(folder: Path, *overrides: str, grid: str = "") -> RunConfig:
    (folder / "one.yaml").write_text(
        f"- {{split: random, data: image_folder, transfer.variant: B2B{grid}}}"
    )
    (config,) = study.expand(study.load(str(folder / "one.yaml")), overrides)
    return config


# --- what is supported --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("train.epochs", "${transfer.keep}5", None),
        ("train.epochs", "${data.size}", 32.0),
        ("seed", "${oc.decode:'${data.crop}'}", 32),
        ("model.num_outputs", "${oc.select:data.nothing,7}", 7),
        ("data.val", "${data.mean}-${model.name}", "base-alexnet_small"),
        ("data.root", "${oc.env:PHOTOS}/small", f"{SECRET}/small"),
        ("data.root", "${oc.env:NOT_SET,/elsewhere}", "/elsewhere"),
        ("data.root", "${oc.env:PHOTOS,/elsewhere}", SECRET),
        ("runtime.store", "${data.root}/runs", f"{SECRET}/small/runs"),
    ],
)
def test_it_is_the_same_in_a_run_a_study_and_an_override(
    tmp_path: Path, key: str, text: str, value: object
):
    more = [ROOT] if key == "runtime.store" else []
    override = f'{key}="{text}"'
    if value is None:  # a text where a number belongs
        for made in (lambda: run(override), lambda: of_study(tmp_path, override)):
            with pytest.raises(UserError, match=f"^{key}=05 must be a number or null"):
                made()
        return
    grid = f', {key}: "{text}"'

    for config in (
        run(*more, override),
        of_study(tmp_path, *more, override),
        of_study(tmp_path, *more, grid=grid),
    ):
        assert flatten(config)[key] == value


def test_it_is_resolved_at_every_point_of_a_grid(tmp_path: Path):
    text = "- {split: random, transfer.variant: BnB, transfer.n: [1, 2], train.epochs: '${seed}'}"
    (tmp_path / "own.yaml").write_text(text)
    own = study.load(str(tmp_path / "own.yaml"))

    configs = study.expand(own, ["seed=3,4", 'train.val_every="${transfer.n}"'])

    assert [(c.seed, c.train.epochs, c.transfer.n, c.train.val_every) for c in configs] == [
        (3, 3.0, 1, 1), (4, 4.0, 1, 1), (3, 3.0, 2, 2), (4, 4.0, 2, 2),
    ]  # fmt: skip


def test_a_choice_of_the_users_that_refers_to_another_key_follows_it(tmp_path: Path):
    """data/mine.yaml takes the crop from the size, which a grid varies."""
    folder = tmp_path / "own"
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "mine.yaml").write_text("defaults: [digits, _self_]\ncrop: ${.size}\n")
    (tmp_path / "s.yaml").write_text(
        "- {split: random, data: mine, transfer.variant: baseA, data.size: [16, 24]}"
    )
    conf = Conf(directory=folder)

    configs = study.expand(study.load(str(tmp_path / "s.yaml"), conf), [], conf)

    assert [(config.data.size, config.data.crop) for config in configs] == [(16, 16), (24, 24)]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("seed=${nothing}", "seed=${nothing}: Interpolation key 'nothing' not found"),
        (
            "runtime.wandb_project=${hydra:job.name}",
            "runtime.wandb_project=${hydra:job.name} is of Hydra's job, which not every run has: "
            "write the value",
        ),
        (
            "data.root=${oc.env:NOT_SET}/x",
            "data.root=${oc.env:NOT_SET}/x needs the environment variable NOT_SET, which is not "
            "set here: set it, on the nodes of a cluster as well, or write the value out",
        ),
        (
            "data.root=\"${oc.decode:'${oc.env:QUOTED}'}\"",
            "data.root=${oc.decode:'${oc.env:QUOTED}'} changes a value from the environment, which "
            "a record cannot show: write ${oc.env:NAME} into a text, or the value",
        ),
        (
            r'data.root="\\${oc.env:PHOTOS}"',
            "data.root=${oc.env:PHOTOS} would be read from a record as a variable of the "
            "environment: rename the folder",
        ),
    ],
)
def test_what_is_not_supported_is_refused_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, override: str, message: str
):
    monkeypatch.setenv("QUOTED", "'/a'")
    override = override.replace(r"\\$", r"\$")
    for made in (lambda: run(override), lambda: of_study(tmp_path, override)):
        with pytest.raises(UserError) as error:
            made()
        assert str(error.value) == message


def test_hydra_resolves_its_own_interpolations_afterwards(monkeypatch: pytest.MonkeyPatch):
    run(ROOT)

    assert OmegaConf.create({"a": "${oc.env:PHOTOS}", "b": "${now:x}"})["a"] == SECRET
    with pytest.raises(UserError):
        interpolation.plain(OmegaConf.create({"seed": "${oc.env:NOT_SET}"}))
    assert OmegaConf.create({"a": "${oc.env:PHOTOS}"})["a"] == SECRET


# --- values of the environment ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("seed", "${oc.decode:${oc.env:NUMBER}}"),
        ("train.lr", "${oc.decode:${oc.env:NUMBER}}"),
        ("model.name", "${oc.env:NUMBER}"),
        ("model.name", "${oc.env:NOT_SET,alexnet_small}"),
        ("data.val", "${oc.env:NUMBER}"),
        ("data.val", "x-${data.root}"),
        ("runtime.workers", "${oc.decode:${oc.env:NUMBER}}"),
        ("runtime.wandb_project", "${oc.env:NUMBER}"),
    ],
)
def test_only_a_path_may_come_from_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str, text: str
):
    monkeypatch.setenv("NUMBER", "4711")
    override = f'{key}="{text}"'
    for made in (lambda: run(ROOT, override), lambda: of_study(tmp_path, ROOT, override)):
        with pytest.raises(UserError) as error:
            made()
        assert str(error.value) == (
            f"{key}={text} takes a value from the environment, which no record shows: write it "
            "out. Only runtime.store, runtime.cache, data.root, split.a.root, split.groups, "
            "which decide no numbers, may come from there"
        )


def test_launcher_settings_are_recorded_and_may_not_either():
    with pytest.raises(UserError, match="^launcher.partition=.* takes a value from the environ"):
        compose.compose("sweep", ["launcher=slurm", "launcher.partition=${oc.env:PHOTOS}"])


@pytest.mark.parametrize("absolute", [False, True])
def test_the_value_is_used_and_every_record_has_what_was_written(absolute: bool):
    config = run(ROOT, 'split.groups="${data.root}/g.csv"', *DIGESTS)
    config = study.absolute(config) if absolute else config

    assert config.data.root == f"{SECRET}/small"
    assert config.split.groups == f"{SECRET}/small/g.csv"
    for record in (
        json.dumps(config_dict(config)),
        json.dumps(recorded(config)),
        Manifest.of([make_run(config)]).json,
        command.line(config),
        json.dumps(mirrors.page(make_run(config)).config),  # for Weights & Biases
    ):
        assert "hunter2" not in record
        assert "small" in record


def test_it_survives_what_happens_to_a_config():
    config = run(ROOT)

    for other in (copy.deepcopy(config), pickle.loads(pickle.dumps(config))):
        assert other.data.root == f"{SECRET}/small"
        assert config_dict(other)["data"]["root"] == "${oc.env:PHOTOS}/small"


def test_the_command_that_resumes_a_run_has_what_was_written():
    config = run(ROOT, *DIGESTS)
    words = command.line(config).split()

    assert """'data.root="${oc.env:PHOTOS}/small"'""" in words
    assert not [word for word in words if "runtime.store" in word]


def test_a_relative_value_is_below_the_folder_of_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PHOTOS", "mine")

    config = study.absolute(run(ROOT))

    assert config.data.root == f"{tmp_path}/mine/small"
    assert config_dict(config)["data"]["root"] == f"{tmp_path}/${{oc.env:PHOTOS}}/small"


def test_the_id_of_a_run_does_not_depend_on_where_its_paths_come_from():
    ids = {make_run(run(each, *DIGESTS)).id for each in (ROOT, f"data.root={SECRET}/small")}

    assert len(ids) == 1


def test_another_process_reads_a_record_with_its_own_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    for place in ("train/a", "train/b", "train/c", "train/d"):
        (tmp_path / "small" / place).mkdir(parents=True)
        for file in ("0.png", "1.png"):
            (tmp_path / "small" / place / file).write_bytes(b"x")
    monkeypatch.setenv("PHOTOS", str(tmp_path))
    record = json.loads(json.dumps(config_dict(resolve(run(ROOT, "data.holdout=0.5")).config)))

    again = resolve(build_config(record))

    assert again.config.data.root == f"{tmp_path}/small"
    assert config_dict(again.config)["data"]["root"] == "${oc.env:PHOTOS}/small"
    monkeypatch.setenv("PHOTOS", f"{tmp_path}/hunter2")
    with pytest.raises(UserError, match=r"^data\.root=\$\{oc\.env:PHOTOS\}/small is not a folder"):
        resolve(build_config(record))
    monkeypatch.delenv("PHOTOS")
    with pytest.raises(UserError, match=r"needs the environment variable PHOTOS, which is not set"):
        resolve(build_config(record))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("${oc.env:PHOTOS}", SECRET),
        ("${oc.env:NOT_SET,runs}/x", "runs/x"),
        ('${oc.env:NOT_SET,"a b"}', "a b"),
        ("${oc.env:NOT_SET,null}", None),
        ("${oc.env:PHOTOS,null}", SECRET),
        ("${oc.create:x}${hydra:a}${now:%Y}", "${oc.create:x}${hydra:a}${now:%Y}"),
        ("${oc.env:${oc.env:PHOTOS}}", "${oc.env:" + SECRET + "}"),
    ],
)
def test_nothing_but_a_variable_is_read_in_a_record(text: str, value: str | None):
    assert variables.expand("data.root", text) == value


def test_a_cache_that_comes_from_the_environment_is_where_this_process_has_it(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setenv("TRANSFERLAB_CACHE", f"{SECRET}/cache")
    config = build_config(config_dict(run()))

    assert config.runtime.cache == "${oc.env:TRANSFERLAB_CACHE,null}"
    assert cache_folder(config) == Path(f"{SECRET}/cache")


def test_a_message_is_recorded_with_what_was_written():
    root = variables.FromEnvironment("data", "${oc.env:D}")

    text = variables.conceal("data.root=data is empty: data/a, my-data, data2", [root, None, "x"])

    assert text == "data.root=${oc.env:D} is empty: ${oc.env:D}/a, my-data, data2"
