"""Studies: from grids in YAML, and overrides, to the runs that they mean."""

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from transferlab.errors import UserError
from transferlab.experiment import plan, study
from transferlab.experiment.conf import CONF
from transferlab.experiment.config import RunConfig
from transferlab.experiment.keys import flatten
from transferlab.experiment.resolve import resolve_all

NO_STAGE = (
    "transfer.n=x is no stage: choose a number or one of conv1 conv2 conv3 conv4 conv5 fc6 fc7 fc8"
)


def written(folder: Path, text: str, name: str = "mine.yaml") -> study.Study:
    """The study of a user's file."""
    (folder / name).write_text(text)
    return study.load(str(folder / name))


def expanded(folder: Path, text: str, *overrides: str) -> tuple[RunConfig, ...]:
    return study.expand(written(folder, text), overrides)


def labels(configs: Sequence[RunConfig]) -> str:
    return " ".join(config.label for config in configs)


def refusal(folder: Path, text: str, *overrides: str) -> str:
    with pytest.raises(UserError) as error:
        expanded(folder, text, *overrides)
    return str(error.value).replace(str(folder), "DIR")


# --- grids --------------------------------------------------------------------------------------

GRID = """
- split: random
  transfer.variant: [AnB, BnB]
  transfer.n: [1, 2]
"""
FILTERS = """
- split: whole
  transfer.variant: baseB
- split: whole
  transfer.variant: RnB
  transfer.n: [1, 2]
"""


def test_a_grid_is_all_combinations_the_last_key_fastest(tmp_path: Path):
    assert labels(expanded(tmp_path, GRID)) == "A1B A2B B1B B2B"


def test_a_study_is_the_union_of_its_grids_and_the_plan_has_every_run_once(tmp_path: Path):
    text = GRID + "- {split: random, transfer.variant: [B2B, baseA, A2A]}\n"

    found = expanded(tmp_path, text)

    assert labels(found) == "A1B A2B B1B B2B B2B baseA A2A"
    assert [run.label for run in plan.order(resolve_all(found))] == [
        "baseA", "baseB", "A1B", "A2B", "B1B", "B2B", "A2A",
    ]  # fmt: skip


def test_groups_are_chosen_and_keys_set_in_each_combination(tmp_path: Path):
    text = """
- split: [random, whole]
  train: [quick, small32]
  transfer.variant: B3B
  seed: [5, 6]
  train.momentum: 0.5
"""
    found = expanded(tmp_path, text)

    assert [(run.split.name, run.train.batch_size, run.seed) for run in found] == [
        ("random", 32, 5), ("random", 32, 6), ("random", 128, 5), ("random", 128, 6),
        ("whole", 32, 5), ("whole", 32, 6), ("whole", 128, 5), ("whole", 128, 6),
    ]  # fmt: skip
    assert {run.train.momentum for run in found} == {0.5}


def test_runs_of_a_grid_share_the_sections_in_which_they_do_not_differ(tmp_path: Path):
    first, second, *_ = expanded(tmp_path, GRID)

    assert first.data is second.data and first.train is second.train


def test_no_images_are_needed_to_expand_a_study(tmp_path: Path):
    configs = expanded(tmp_path, GRID, "data=image_folder", f"data.root={tmp_path}/missing")

    assert labels(configs) == "A1B A2B B1B B2B"
    with pytest.raises(UserError, match=r"data\.root="):
        resolve_all(configs)


def test_a_value_that_is_a_list_is_one_of_a_list(tmp_path: Path):
    grid = "- {split: random, transfer.n: 3, data.scales: [null, [32, 40]], data.mean: [[1, 2, 3]]}"
    configs = expanded(tmp_path, grid)
    assert [(c.data.scales, c.data.mean) for c in configs] == [
        (None, (1.0, 2.0, 3.0)), ((32, 40), (1.0, 2.0, 3.0)),
    ]  # fmt: skip
    (config,) = expanded(tmp_path, "- {split: random, transfer.n: 3}", "data.scales=[32,48]")
    assert config.data.scales == (32, 48)
    nested = "- {split: random, transfer.n: 3, data.scales: [[[32]]]}"
    assert refusal(tmp_path, nested).endswith("data.scales must be a value or a list of values")


def test_a_number_is_written_as_anywhere_in_conf(tmp_path: Path):
    text = "- {split: random, transfer.variant: baseA, train.lr: [1e-3, 0.01, 1]}"

    assert [run.train.lr for run in expanded(tmp_path, text)] == [0.001, 0.01, 1.0]


# --- overrides ----------------------------------------------------------------------------------


NO_STAGE = (
    "transfer.n=x is no stage: choose a number or one of conv1 conv2 conv3 conv4 conv5 fc6 fc7 fc8"
)


@pytest.mark.parametrize(
    ("overrides", "found"),
    [
        (["transfer.n=2"], "A2B B2B"),
        (["transfer.n=3,4"], "A3B A4B B3B B4B"),
        (["transfer.n=range(5,8)"], "A5B A6B A7B B5B B6B B7B"),
        (["transfer.variant=BnA+"], "B1A+ B2A+"),
        (["transfer.variant=choice(RnA,AnA)", "transfer.n=7"], "R7A A7A"),
    ],
)
def test_an_override_replaces_what_the_grids_say(tmp_path: Path, overrides: list[str], found: str):
    assert labels(expanded(tmp_path, GRID, *overrides)) == found


@pytest.mark.parametrize("word", ["split.seed=0,1,2", "+split.seed=range(3)", "++split.seed=0,1,2"])
def test_an_override_of_a_key_that_no_grid_names_makes_more_runs(tmp_path: Path, word: str):
    found = expanded(tmp_path, GRID, word)

    assert [run.split.seed for run in found] == [0, 1, 2] * 4
    assert labels(found[::3]) == "A1B A2B B1B B2B"


def test_new_keys_vary_in_the_order_of_the_command_line(tmp_path: Path):
    """In a plan that is made twice the runs come in the same order."""
    text = "- {split: random, transfer.variant: baseA}"
    keys = ("seed", "data.per_class", "train.momentum", "train.epochs", "train.warmup")
    words = [f"{key}=0.5,0.25" if "train" in key else f"{key}=8,9" for key in keys]

    found = expanded(tmp_path, text, *words)

    flat = [flatten(run) for run in (found[0], found[1], found[16])]
    assert [[values[key] for key in keys] for values in flat] == [
        [8, 8, 0.5, 0.5, 0.5],
        [8, 8, 0.5, 0.5, 0.25],
        [9, 8, 0.5, 0.5, 0.5],
    ]


def test_an_override_of_a_group_replaces_it(tmp_path: Path):
    found = expanded(tmp_path, GRID, "split=whole", "transfer.variant=BnB", "train=small32")

    assert {(run.split.name, run.train.batch_size) for run in found} == {("whole", 128)}
    assert labels(found) == "B1B B2B"


def test_what_a_run_transfers_is_replaced_only_where_a_grid_names_it(tmp_path: Path):
    assert labels(expanded(tmp_path, FILTERS)) == "baseB R1B R2B"
    assert labels(expanded(tmp_path, FILTERS, "transfer.n=3")) == "baseB R3B"
    assert [run.seed for run in expanded(tmp_path, FILTERS, "seed=7")] == [7, 7, 7]


def test_what_a_run_transfers_is_not_replaced_where_no_grid_names_it(tmp_path: Path):
    assert refusal(tmp_path, FILTERS, "transfer.keep=1") == (
        "transfer.keep is in no grid of study=mine: write a study of your own"
    )


@pytest.mark.parametrize(
    ("word", "message"),
    [
        (
            "train.lrr=1",
            "unknown key train.lrr: did you mean train.lr (conf/train/)?",
        ),
        ("dta=digits", "unknown group dta: did you mean data=?"),
        (
            "data=digits,digit",
            "unknown data=digit: did you mean digits? choose one of cifar10, cifar100, "
            "digits, image_folder, imagenet, imagenet_torchvision, prepared, voc2007 (conf/data/)",
        ),
        (
            "transfer.n=[1,2]",
            "transfer.n=[1,2] must be a value or a list of values, as KEY=1,2",
        ),
        ("~transfer.n", "~transfer.n cannot be part of a study: write KEY=VALUE"),
        ("data@there=digits", "data@there=digits cannot be part of a study: write KEY=VALUE"),
        (
            "transfer.n=range(1,1)",
            "transfer.n=range(1,1) has no values: a list needs at least one, or no run is started",
        ),
        (
            "transfer.n=interval(1,2)",
            "transfer.n=interval(1,2) has no values to choose from: write a list or a range",
        ),
        (
            "transfer.n=1,x",
            NO_STAGE,
        ),
        (
            "transfer.n=x",
            NO_STAGE,
        ),
        ("train.momentum=0.5,1", "train.momentum=1.0 must be below 1"),
    ],
)
def test_an_override_that_means_nothing_is_refused(tmp_path: Path, word: str, message: str):
    assert refusal(tmp_path, GRID, word) == message


def test_an_override_that_cannot_be_parsed_is_refused_with_itself(tmp_path: Path):
    assert refusal(tmp_path, GRID, "transfer.n").startswith("transfer.n: ")


def test_quotes_are_hydras_and_not_part_of_a_value(tmp_path: Path):
    one = expanded(tmp_path, GRID, "runtime.wandb_project='my project'")
    two = expanded(tmp_path, GRID, "runtime.wandb_project='my project',\"another\"")

    assert {run.runtime.wandb_project for run in one} == {"my project"}
    assert {run.runtime.wandb_project for run in two} == {"my project", "another"}


# --- paths --------------------------------------------------------------------------------------


def test_all_paths_are_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "me"))
    monkeypatch.setenv("TRANSFERLAB_CACHE", "~/cache")
    grid = "- {split: manmade_natural, transfer.variant: [A1B, A2B]}"

    for run in expanded(tmp_path, grid, "runtime.store=mine", "split.groups='~/groups.csv'"):
        assert run.runtime.store == f"{tmp_path}/mine"
        assert run.runtime.cache == f"{tmp_path}/me/cache"
        assert run.split.groups == f"{tmp_path}/me/groups.csv"
        assert run.data.root is None


def test_paths_of_a_list_are_made_absolute_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    for name in ("one", "two"):
        for place in ("train/a", "train/b", "train/c", "train/d"):
            (tmp_path / name / place).mkdir(parents=True)
            for file in ("0.png", "1.png"):
                (tmp_path / name / place / file).write_bytes(name.encode())

    found = expanded(
        tmp_path, GRID, "data=image_folder", "data.holdout=0.5", "data.root=one,two", "transfer.n=1"
    )

    assert [run.data.root for run in found] == [f"{tmp_path}/one", f"{tmp_path}/two"] * 2
    assert len({run.config.data.digest for run in resolve_all(found)}) == 2


# --- files --------------------------------------------------------------------------------------


def test_a_users_study_is_named_by_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "own.yml").write_text(GRID)

    assert study.load("own.yml") == study.load("~/own.yml") == written(tmp_path, GRID, "own.yaml")
    assert study.load("own.yml").name == "own"
    assert study.load("own.yml").grids == (
        {"split": ("random",), "transfer.variant": ("AnB", "BnB"), "transfer.n": (1, 2)},
    )


@pytest.mark.parametrize(
    ("name", "near"), [("quik", "did you mean quick? "), ("mine", ""), ("conf/study/quick", "")]
)
def test_an_unknown_study_is_refused_with_the_known_ones(name: str, near: str):
    with pytest.raises(UserError) as error:
        study.load(name)

    assert str(error.value) == (
        f"unknown study={name}: {near}choose one of {', '.join(CONF.choices('study'))} "
        "(conf/study/), or name a YAML file of your own"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "- {split: random, transfer.m: 1}",
            "DIR/mine.yaml, grid 1: unknown key transfer.m: did you mean transfer.n "
            "(conf/transfer/)?",
        ),
        (
            GRID + "- {split: random, launcher.jobs: 2}",
            "DIR/mine.yaml, grid 2: launcher.jobs belongs to a sweep, not to a run: python -m "
            "transferlab sweep +study=NAME",
        ),
        (
            "- {split: randm}",
            "DIR/mine.yaml, grid 1: unknown split=randm: did you mean random? choose one of "
            "datasets, manmade_natural, pretrained, random, size_matched, "
            "whole (conf/split/)",
        ),
        ("- split: [", "study=DIR/mine.yaml is not YAML: while parsing a flow node"),
        (
            "- split: random\n  split: whole\n",
            "study=DIR/mine.yaml is not YAML: while constructing a mapping",
        ),
        ("", "study=DIR/mine.yaml must be a list of grids: see conf/study/quick.yaml"),
        ("[]", "study=DIR/mine.yaml must be a list of grids: see conf/study/quick.yaml"),
        (
            "split: random",
            "study=DIR/mine.yaml must be a list of grids: see conf/study/quick.yaml",
        ),
        (
            "3",
            "study=DIR/mine.yaml must be a list of grids: see conf/study/quick.yaml",
        ),
        (
            GRID + "- A3B",
            "DIR/mine.yaml, grid 2 must map keys to values: see conf/study/quick.yaml",
        ),
        (
            "- {}",
            "DIR/mine.yaml, grid 1 must map keys to values: see conf/study/quick.yaml",
        ),
        (
            "- {split: random, transfer: {n: 1}}",
            "DIR/mine.yaml, grid 1: transfer must be a value or a list of values",
        ),
        (
            "- {split: random, transfer.n: []}",
            "DIR/mine.yaml, grid 1: transfer.n must be a value or a list of values",
        ),
        (
            "- {transfer.variant: A1B, split.seed: [0, 1]}",
            "study=mine: missing split: choose +split=random or +split=manmade_natural or "
            "+split=size_matched or +split=whole",
        ),
        ("- {split: random}", "missing transfer.n: "),
        (
            "- {split: random, transfer.variant: AnB, transfer.n: [1, -1]}",
            "transfer.n=-1 must be at least 0",
        ),
    ],
)
def test_a_file_that_is_no_study_is_refused(tmp_path: Path, text: str, message: str):
    assert refusal(tmp_path, text).startswith(message)


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("&a\n- *a\n", "1 contains line 1"),
        ("- &a\n  split: random\n  seed: *a\n", "1 contains line 1"),
        ("- split: random\n  seed:\n    &b [1, *b]\n", "3 contains line 3"),
        ("- &a\n  split:\n    - *a\n", "1 contains line 3 contains line 1"),
        ("- &a {split: random, <<: *a}\n", "1 contains line 1"),
        ("- &a\n  <<:\n    <<: *a\n", "1 contains line 3 contains line 1"),
    ],
)
def test_a_study_that_contains_itself_is_refused_with_the_chain(
    tmp_path: Path, text: str, lines: str
):
    message = refusal(tmp_path, text)
    assert message == (
        f"DIR/mine.yaml, grid 1 contains itself: line {lines}; remove the alias (*NAME)"
    )


def test_anchors_of_grids_are_read(tmp_path: Path):
    shared = "- &a {split: random, transfer.n: &n [1, 2]}\n- {<<: *a, split: whole, seed: *n}\n"
    assert written(tmp_path, shared).grids == (
        {"split": ("random",), "transfer.n": (1, 2)},
        {"split": ("whole",), "transfer.n": (1, 2), "seed": (1, 2)},
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 3000, "study=DIR/mine.yaml is nested too deep: it must be a list of grids"),
        ("- {seed: 1" + "0" * 5000 + "}", "study=DIR/mine.yaml is not YAML: Exceeds the limit"),
        ("#" + "x" * 1_000_000, "study=DIR/mine.yaml cannot be read: it has more than 1,000,000 b"),
        ("- {split: random, <<: 3}", "DIR/mine.yaml, grid 1: << must name grids, as *GRID"),
        ("- {seed: &a [&b [&c [1, 1], *c], *b]}", "DIR/mine.yaml, grid 1: seed must be a value or"),
    ],
    ids=["deep", "digits", "large", "merge", "bomb"],
)  # fmt: skip
def test_a_file_that_expands_without_end_is_refused_at_once(
    tmp_path: Path, text: str, message: str
):
    assert refusal(tmp_path, text).startswith(message)


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path):
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe")
    (tmp_path / "folder.yaml").mkdir()
    (tmp_path / "loop.yaml").symlink_to("loop.yaml")
    os.mkfifo(tmp_path / "fifo.yaml")
    for name, message in (
        ("loop.yaml", "Too many levels of symbolic links"),
        ("fifo.yaml", "it is not a regular file"),
        ("none.yaml", "No such file or directory"),
        ("folder.yaml", "Is a directory"),
        ("bytes.yaml", "'utf-8' codec can't decode byte 0xff in position 0: invalid start byte"),
    ):
        with pytest.raises(UserError) as error:
            study.load(str(tmp_path / name))
        assert str(error.value) == f"study={tmp_path / name} cannot be read: {message}"
