"""A run's config: composed from conf/ and built strictly. For its id see test_config_id."""

import copy
import dataclasses
import json
from collections.abc import Callable
from typing import Any

import pytest
import yaml
from support.records import BASE_B, ELSEWHERE, RECORD, SCIENCE, YOSINSKI, changed, leaves, made

from transferlab.errors import UserError
from transferlab.experiment import compose
from transferlab.experiment.config import (
    NEUTRAL,
    RunConfig,
    build_config,
    config_dict,
    flatten,
    known_keys,
    total_steps,
    vary_config,
)
from transferlab.experiment.identity import run_id


def refusal(record: dict[str, Any]) -> str:
    with pytest.raises(UserError) as error:
        build_config(record)
    return str(error.value)


def refused(changes: dict[str, Any]) -> str:
    """The message for a config with these values: the same whether it is built or varied."""
    message = refusal(changed(changes))
    with pytest.raises(UserError) as error:
        vary_config(made(), changes)
    assert str(error.value) == message
    return message


# --- conf/ --------------------------------------------------------------------------------------

FILES = sorted((group, choice) for group in compose.groups() for choice in compose.choices(group))


def test_conf_has_a_group_for_every_part_of_a_run_and_one_for_the_logger():
    parts = {field.name for field in dataclasses.fields(RunConfig)} - {"seed"}

    assert {group for group, _ in FILES} == {*parts, "logger"}


@pytest.mark.parametrize(("group", "choice"), FILES)
def test_each_file_in_conf_composes_and_builds_with_its_values(
    config: Callable[..., RunConfig], group: str, choice: str
):
    plus = "+" if group == "split" else ""
    split = [] if group == "split" else ["+split=random"]

    half_a = [] if choice != "whole" else ["transfer.variant=BnB"]  # it has none
    built = config_dict(config(*split, "transfer.n=3", *half_a, f"{plus}{group}={choice}"))

    values = yaml.safe_load((compose.conf_folder() / group / f"{choice}.yaml").read_text())
    place = "runtime" if group == "logger" else group
    theirs = ("store", "cache") if group == "runtime" else ("n", "target")  # set by others
    expected = {key: value for key, value in values.items() if key not in (*theirs, "defaults")}
    assert expected
    assert {key: built[place][key] for key in expected} == expected


def test_paper_is_composed_with_the_published_constants(config: Callable[..., RunConfig]):
    flat = flatten(
        config(
            "+split=random", "data=imagenet", "model=alexnet", "train=yosinski2014", "transfer.n=7"
        )
    )

    assert {key: flat[key] for key in YOSINSKI} == YOSINSKI
    assert (flat["data.size"], flat["data.crop"], flat["data.scale"]) == (256, 227, 1.0)
    assert (flat["train.momentum"], flat["train.weight_decay"]) == (0.9, 0.0005)
    assert (flat["train.bias_lr_factor"], flat["train.bias_decay_factor"]) == (2.0, 0.0)


def test_a_split_is_never_chosen_for_the_user(config: Callable[..., RunConfig]):
    with pytest.raises(UserError) as error:
        config("transfer.n=3")

    assert str(error.value) == (
        "no split is given: choose +split=random, +split=manmade_natural or +split=whole"
    )


# --- strict building ----------------------------------------------------------------------------


def test_a_stored_config_is_built_again_as_it_was():
    config = made()

    assert {key: flatten(config)[key] for key in leaves(RECORD)} == leaves(RECORD)
    assert build_config(json.loads(json.dumps(config_dict(config)))) == config
    assert flatten(config)["train.lr"] == 0.02
    assert list(flatten(config)) == known_keys()


def test_a_config_cannot_be_changed():
    for part in (made(), made().train, made().runtime):
        with pytest.raises(dataclasses.FrozenInstanceError):
            part.seed = 1  # type: ignore[misc,union-attr]


def test_known_keys_are_the_fields_of_all_groups():
    assert set(known_keys()) == {*SCIENCE, *ELSEWHERE}


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("lr", "lr is not a key of a run: did you mean train.lr (it lives in conf/train/)?"),
        (
            "train.lrr",
            "train.lrr is not a key of a run: did you mean train.lr (it lives in conf/train/)?",
        ),
        (
            "model.lr",
            "model.lr is not a key of a run: did you mean train.lr (it lives in conf/train/)?",
        ),
        (
            "bach_size",
            "bach_size is not a key of a run: did you mean train.batch_size "
            "(it lives in conf/train/)?",
        ),
        ("sede", "sede is not a key of a run: did you mean seed (it lives in conf/config.yaml)?"),
        (
            "modle",
            "modle is not a key of a run: did you mean model.name (it lives in conf/model/)?",
        ),
        ("qqqq", "qqqq is not a key of a run: python -m transferlab --cfg job lists them all"),
    ],
)
def test_an_unknown_key_is_refused_with_the_nearest_there_is(key: str, message: str):
    assert refused({key: 1}) == message


def test_an_unknown_group_is_refused_by_its_own_name():
    message = "qqqq is not a key of a run: python -m transferlab --cfg job lists them all"

    assert refusal({**RECORD, "qqqq": {"lr": 1}}) == message


def test_an_unknown_key_is_told_before_what_is_missing_because_of_it():
    record = copy.deepcopy(RECORD)
    record["train"]["lrr"] = record["train"].pop("lr")

    assert refusal(record) == (
        "train.lrr is not a key of a run: did you mean train.lr (it lives in conf/train/)?"
    )


@pytest.mark.parametrize("group", ["split", "data", "model", "transfer", "train", "runtime"])
@pytest.mark.parametrize(("value", "shown"), [(3, "3"), ("none", "none"), ([1], "[1]")])
def test_a_group_that_is_no_group_is_refused(group: str, value: object, shown: str):
    assert refusal({**RECORD, group: value}) == f"{group}={shown} is not a group of keys"


@pytest.mark.parametrize("key", sorted({*SCIENCE, *ELSEWHERE} - {*NEUTRAL}))
def test_each_missing_key_is_refused_by_its_full_name(key: str):
    record = copy.deepcopy(RECORD)
    group, _, leaf = key.rpartition(".")
    del (record[group] if group else record)[leaf]

    assert refusal(record) == f"{key} is missing"


def test_a_missing_group_is_refused():
    record = copy.deepcopy(RECORD)
    del record["model"]

    assert refusal(record) == "model is missing"


@pytest.mark.parametrize("key", [*SCIENCE, *ELSEWHERE])
def test_each_key_refuses_a_list(key: str):
    assert refused({key: [1]}).startswith(f"{key}=[1] is of type list: need ")


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("train.lr", "high", "train.lr=high is text: need a number"),
        ("train.lr", "0.1", "train.lr=0.1 is text: need a number"),
        ("train.lr", None, "train.lr=null is null: need a number"),
        ("train.lr", True, "train.lr=True is true or false: need a number"),
        ("train.lr", float("nan"), "train.lr=nan is of type float: need a number"),
        ("train.lr", float("inf"), "train.lr=inf is of type float: need a number"),
        ("seed", 1.0, "seed=1.0 is of type float: need an integer"),
        ("seed", True, "seed=True is true or false: need an integer"),
        ("transfer.n", "3", "transfer.n=3 is text: need an integer or null"),
        ("train.epochs", "many", "train.epochs=many is text: need a number or null"),
        ("train.nesterov", 1, "train.nesterov=1 is of type int: need true or false"),
        ("train.schedule", "linear", "train.schedule=linear is text: need step or cosine"),
        ("data.mean", "half", "data.mean=half is text: need base or target or none"),
        ("model.name", 3, "model.name=3 is of type int: need text"),
        ("data.root", 3, "data.root=3 is of type int: need text or null"),
        (
            "runtime.logger",
            None,
            "runtime.logger=null is null: need csv or tensorboard or wandb",
        ),
    ],
)
def test_an_ill_typed_value_is_refused_with_what_is_needed(key: str, value: object, message: str):
    assert refused({key: value}) == message


def test_a_whole_number_passes_as_a_fraction_and_makes_the_same_run():
    whole, fraction = made({"train.epochs": 15}), made({"train.epochs": 15.0})

    assert type(whole.train.epochs) is float
    assert run_id(whole) == run_id(fraction)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seed": -1}, "seed=-1 is too small: 0 or more"),
        ({"runtime.memory_gb": 0.0}, "runtime.memory_gb=0.0 is too small: more than 0"),
        ({"split.seed": -1}, "split.seed=-1 is too small: 0 or more"),
        ({"split.seed": None}, "split.seed is not given: split=random needs one, split.seed=0"),
        ({"data.size": 0, "data.crop": 0}, "data.size=0 is too small: 1 or more"),
        ({"data.crop": 0}, "data.crop=0 is too small: 1 or more"),
        ({"data.crop": 33}, "data.crop=33 is larger than data.size=32"),
        ({"data.per_class": 0}, "data.per_class=0 is too small: 1 or more"),
        (
            {"data.holdout": 0},
            "data.holdout=0.0 is not a part of a class: between 0 and 1",
        ),
        ({"data.holdout": 1}, "data.holdout=1.0 is not a part of a class: between 0 and 1"),
        ({"data.val": "a/b"}, "data.val=a/b is not the plain name of a folder in data.root"),
        ({"data.val": ".."}, "data.val=.. is not the plain name of a folder in data.root"),
        ({"data.val": ""}, "data.val= is not the plain name of a folder in data.root"),
        ({"data.scale": 0}, "data.scale=0 makes every image the same: need another number"),
        ({"model.num_outputs": 1}, "model.num_outputs=1 is too small: 2 or more"),
        ({"transfer.keep": -1}, "transfer.keep=-1 is too small: 0 or more"),
        ({"transfer.n": -1}, "transfer.n=-1 is negative: a cut point is 0 or more"),
        ({"train.batch_size": 0}, "train.batch_size=0 is too small: 1 or more"),
        (
            {"train.total_steps": 0, "train.epochs": None},
            "train.total_steps=0 is too small: 1 or more",
        ),
        (
            {"train.total_steps": 10},
            "give exactly one of train.total_steps and train.epochs; null the other",
        ),
        (
            {"train.epochs": None},
            "give exactly one of train.total_steps and train.epochs; null the other",
        ),
        ({"train.epochs": 0}, "train.epochs=0.0 is too small: more than 0"),
        ({"train.lr": -0.1}, "train.lr=-0.1 is too small: 0 or more"),
        ({"train.lr_factor": -0.1}, "train.lr_factor=-0.1 is too small: 0 or more"),
        ({"train.bias_lr_factor": -1}, "train.bias_lr_factor=-1.0 is too small: 0 or more"),
        ({"train.bias_decay_factor": -1}, "train.bias_decay_factor=-1.0 is too small: 0 or more"),
        ({"train.momentum": -0.1}, "train.momentum=-0.1 is too small: 0 or more"),
        ({"train.momentum": 1}, "train.momentum=1.0 never forgets: below 1"),
        ({"train.momentum": 0}, "train.nesterov=true needs train.momentum above 0"),
        ({"train.weight_decay": -1}, "train.weight_decay=-1.0 is too small: 0 or more"),
        ({"train.warmup": -0.1}, "train.warmup=-0.1 is too small: 0 or more"),
        ({"train.warmup": 1}, "train.warmup=1.0 is not a part of the steps: below 1"),
        ({"train.lr_step": 0}, "train.lr_step=0 is too small: 1 or more"),
        (
            {"train.schedule": "step", "train.lr_step": 10},
            "train.schedule=step needs train.lr_step and train.lr_factor",
        ),
        (
            {"train.schedule": "step", "train.lr_factor": 0.1},
            "train.schedule=step needs train.lr_step and train.lr_factor",
        ),
        ({"train.val_every": 0}, "train.val_every=0 is too small: 1 or more"),
        ({"train.val_batch_size": 0}, "train.val_batch_size=0 is too small: 1 or more"),
        ({"runtime.devices": 0}, "runtime.devices=0 is too small: 1 or more"),
        (
            {"runtime.devices": 3},
            "train.batch_size=32 is the global batch and cannot be shared out evenly over "
            "runtime.devices=3",
        ),
        ({"runtime.workers": -1}, "runtime.workers=-1 is too small: 0 or more"),
        ({"runtime.threads": 0}, "runtime.threads=0 is too small: 1 or more"),
        (
            {"runtime.checkpoint_every_s": -1},
            "runtime.checkpoint_every_s=-1.0 is too small: 0 or more",
        ),
        (
            {"runtime.checkpoint_least_s": -1},
            "runtime.checkpoint_least_s=-1.0 is too small: 0 or more",
        ),
        (
            {**BASE_B, "transfer.keep": 2},
            "transfer.keep=2 copies stages behind the cut and baseB has none to copy from: use "
            "AnB, BnB and the like",
        ),
        (
            {"transfer.variant": "RnB", "transfer.keep": 2},
            "transfer.keep=2 copies stages behind the cut and R3B has none to copy from: use "
            "AnB, BnB and the like",
        ),
    ],
)
def test_a_value_out_of_its_range_is_refused(changes: dict[str, Any], message: str):
    assert refused(changes) == message


@pytest.mark.parametrize(
    "changes",
    [
        {"data.crop": 1, "data.size": 1},
        {"data.val": "test"},
        {"data.per_class": 1},
        {"model.num_outputs": 2},
        {"train.lr": 0},
        {"train.batch_size": 1, "train.val_batch_size": 1},
        {"data.scale": -1},
        {"train.warmup": 0.999},
        {"train.momentum": 0.999},
        {"train.momentum": 0, "train.nesterov": False},
        {"train.weight_decay": 0, "train.bias_lr_factor": 0, "train.bias_decay_factor": 0},
        {"train.schedule": "step", "train.lr_step": 1, "train.lr_factor": 0},
        {"runtime.devices": 32, "runtime.workers": 0},
        {"runtime.checkpoint_every_s": 0, "runtime.checkpoint_least_s": 0},
    ],
)
def test_a_value_at_the_end_of_its_range_passes(changes: dict[str, Any]):
    flat = flatten(made(changes))

    assert {key: flat[key] for key in changes} == changes


@pytest.mark.parametrize("name", ["baseA", "A3B", "A3B+", "B3A", "B3A+", "A3A", "A3A+", "R3A"])
def test_the_whole_refuses_what_needs_half_a(name: str):
    changes = {"split.name": "whole", "transfer.variant": name, "transfer.target": None}

    assert refused(changes | {"transfer.n": None}) == (
        f"split=whole has no half A: {name} needs one; use baseB, BnB, BnB+ or RnB"
    )


@pytest.mark.parametrize("name", ["baseB", "B3B", "B3B+", "R3B", "A0B"])
def test_the_whole_has_what_needs_half_b_alone(name: str):
    config = made({"split.name": "whole"}, variant=name, n=None, target=None)

    assert config.label == ("baseB" if name == "A0B" else name)
    assert config.split_label == "whole"


# --- varied -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes", [*SCIENCE.values(), *({key: value} for key, value in ELSEWHERE.items())]
)
def test_a_config_that_is_varied_is_the_one_that_is_built_with_these_values(
    changes: dict[str, Any],
):
    varied = vary_config(made(), changes)

    assert varied != made()
    assert repr(varied) == repr(made(changes))  # 1 is not 1.0 here


def test_a_config_that_is_varied_is_canonical():
    spelled = {"transfer.variant": "A0B+", "transfer.n": None, "transfer.target": None}
    whole = {"split.name": "whole", "transfer.variant": "BnB"}

    assert vary_config(made(), spelled) == made(BASE_B)
    assert vary_config(made(), whole).split.seed is None
    assert vary_config(made(), {}) == made()


def test_only_the_sections_that_change_are_new():
    config = made()

    varied = vary_config(config, {"transfer.n": 4, "seed": 1})

    assert varied.train is config.train and varied.data is config.data
    assert (varied.seed, varied.label, config.seed, config.label) == (1, "A4B", 0, "A3B")


# --- steps --------------------------------------------------------------------------------------


def test_the_steps_are_given_or_follow_from_the_epochs():
    given = made({"train.epochs": None, "train.total_steps": 7})

    assert total_steps(made(), 717) == 337  # 15 epochs of 717 images in batches of 32
    assert total_steps(given, 717) == 7
