"""A run's config: composed from conf/ and built strictly. For its id see test_identity."""

import copy
import dataclasses
import itertools
import json
import random
import re
from collections.abc import Callable
from typing import Any

import pytest
import yaml
from support.records import (
    BASE_B,
    ELSEWHERE,
    RECORD,
    SCIENCE,
    SECOND,
    YOSINSKI,
    changed,
    leaves,
    made,
)

from transferlab.errors import UserError
from transferlab.experiment import compose
from transferlab.experiment.build import build_config, config_dict, vary_config
from transferlab.experiment.conf import CONF, conf_folder
from transferlab.experiment.config import RunConfig, total_steps
from transferlab.experiment.identity import NEUTRAL, run_id
from transferlab.experiment.keys import flatten, known_keys
from transferlab.experiment.variations import Variations


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

FILES = sorted((group, choice) for group in CONF.groups() for choice in CONF.choices(group))


def test_conf_has_a_group_for_every_part_of_a_run_and_one_for_the_logger():
    parts = {field.name for field in dataclasses.fields(RunConfig)} - {"revision", "seed"}

    assert {group for group, _ in FILES} == {*parts, "logger"}


def written(group: str, choice: str) -> dict[str, Any]:
    """What a file sets itself, without what others must set: those it inherits from are others."""
    values = yaml.safe_load((conf_folder() / group / f"{choice}.yaml").read_text())
    assert values
    theirs = ("store", "cache") if group == "runtime" else ("n", "target")
    theirs += ("weights",) if choice == "pretrained" else ()
    return {key: value for key, value in values.items() if key not in (*theirs, "defaults")}


@pytest.mark.parametrize(("group", "choice"), [file for file in FILES if file[0] != "model"])
def test_each_file_in_conf_composes_and_builds_with_its_values(
    config: Callable[..., RunConfig], group: str, choice: str
):
    plus = "+" if group == "split" else ""
    split = [] if group == "split" else ["+split=random"]

    needed = {"whole": ["transfer.variant=BnB"], "pretrained": ["split.weights=FILE"]}
    run = config(*split, "transfer.n=3", *needed.get(choice, []), f"{plus}{group}={choice}")
    built = json.loads(json.dumps(config_dict(run)))  # with lists, as a file has them

    expected = written(group, choice)
    place = built["runtime" if group == "logger" else group]
    assert {key: place[key] for key in expected} == expected


@pytest.mark.parametrize("choice", CONF.choices("model"))
def test_each_network_of_conf_composes_and_builds_with_its_values(choice: str):
    """Of the hundred, Hydra composes the file alone: it would take twice as long for all keys."""
    composed = CONF.composed([], name=f"model/{choice}")

    assert set(composed) == {"hydra", "model"}
    model = config_dict(build_config({**RECORD, "model": compose.plain(composed)["model"]}))[
        "model"
    ]
    expected = written("model", choice)
    assert {key: model[key] for key in expected} == expected


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
        "missing split: choose +split=random or +split=manmade_natural or "
        "+split=size_matched or +split=whole or +split=datasets or +split=pretrained"
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
    assert set(known_keys()) == {*SCIENCE, *ELSEWHERE, *SECOND}


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("lr", "unknown key lr: did you mean train.lr (conf/train/)?"),
        (
            "train.lrr",
            "unknown key train.lrr: did you mean train.lr (conf/train/)?",
        ),
        (
            "model.lr",
            "unknown key model.lr: did you mean train.lr (conf/train/)?",
        ),
        (
            "bach_size",
            "unknown key bach_size: did you mean train.batch_size (conf/train/)?",
        ),
        ("sede", "unknown key sede: did you mean seed (conf/config.yaml)?"),
        (
            "modle",
            "unknown key modle: did you mean model.name (conf/model/)?",
        ),
        ("qqqq", "unknown key qqqq: python -m transferlab --cfg job lists all keys"),
    ],
)
def test_an_unknown_key_is_refused_with_the_nearest_known_one(key: str, message: str):
    assert refused({key: 1}) == message


def test_an_unknown_group_is_refused_by_its_own_name():
    message = "unknown key qqqq: python -m transferlab --cfg job lists all keys"

    assert refusal({**RECORD, "qqqq": {"lr": 1}}) == message


def test_an_unknown_key_is_reported_before_the_key_that_it_replaces():
    record = copy.deepcopy(RECORD)
    record["train"]["lrr"] = record["train"].pop("lr")

    assert refusal(record) == ("unknown key train.lrr: did you mean train.lr (conf/train/)?")


@pytest.mark.parametrize("group", ["split", "data", "model", "transfer", "train", "runtime"])
@pytest.mark.parametrize(("value", "shown"), [(3, "3"), ("none", "none"), ([1], "[1]")])
def test_a_group_must_be_a_mapping(group: str, value: object, shown: str):
    assert (
        refusal({**RECORD, group: value}) == f"{group}={shown} must be a group of keys and values"
    )


@pytest.mark.parametrize("key", sorted({*SCIENCE, *ELSEWHERE} - {*NEUTRAL}))
def test_each_missing_key_is_refused_by_its_full_name(key: str):
    record = copy.deepcopy(RECORD)
    group, _, leaf = key.rpartition(".")
    del (record[group] if group else record)[leaf]

    assert refusal(record) == f"missing key {key}"


def test_a_missing_group_is_refused():
    record = copy.deepcopy(RECORD)
    del record["model"]

    assert refusal(record) == "missing key model"


@pytest.mark.parametrize("key", [*SCIENCE, *ELSEWHERE])
def test_each_key_refuses_a_list(key: str):
    shown = "[0]=0" if key == "train.lr_steps" else "=[0]"  # a list of steps, counted from 1
    assert refused({key: [0]}).startswith(f"{key}{shown} must be ")


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("train.lr", "high", "train.lr=high must be a number, not a string"),
        ("train.lr", "0.1", "train.lr=0.1 must be a number, not a string"),
        ("train.lr", None, "train.lr=null must be a number"),
        ("train.lr", True, "train.lr=true must be a number, not a boolean"),
        ("train.lr", float("nan"), "train.lr=nan must be a number, and finite"),
        ("train.lr", float("inf"), "train.lr=inf must be a number, and finite"),
        ("seed", 1.0, "seed=1.0 must be an integer, not a float"),
        ("seed", True, "seed=true must be an integer, not a boolean"),
        ("transfer.n", "3", "transfer.n=3 must be an integer or null, not a string"),
        ("train.epochs", "many", "train.epochs=many must be a number or null, not a string"),
        ("train.nesterov", 1, "train.nesterov=1 must be true or false, not an integer"),
        (
            "train.schedule",
            "linear",
            "train.schedule=linear must be step or steps or cosine",
        ),
        (
            "runtime.accelerator",
            "abacus",
            "runtime.accelerator=abacus must be auto or cpu or gpu or cuda or mps",
        ),
        (
            "data.mean",
            "half",
            "data.mean=half must be base or target or none or a list of 3 numbers",
        ),
        (
            "data.mean",
            [1, 2],
            "data.mean=[1, 2] must be base or target or none or a list of 3 numbers",
        ),
        ("data.mean", [1, 2, "3"], "data.mean[2]=3 must be a number, not a string"),
        (
            "data.scale",
            [1, 2, 3, 4],
            "data.scale=[1, 2, 3, 4] must be a number or a list of 3 numbers",
        ),
        ("model.name", 3, "model.name=3 must be a string, not an integer"),
        ("data.root", 3, "data.root=3 must be a string or null, not an integer"),
        (
            "runtime.logger",
            None,
            "runtime.logger=null must be csv or tensorboard or wandb",
        ),
    ],
)
def test_an_ill_typed_value_is_refused_with_what_is_needed(key: str, value: object, message: str):
    assert refused({key: value}) == message


def test_one_scale_for_all_channels_and_a_mean_of_zeros_have_a_shorter_spelling():
    assert made({"data.scale": [2, 2, 2]}) == made({"data.scale": 2.0})
    assert made({"data.mean": [0, 0, 0]}) == made({"data.mean": "none"})
    assert made({"data.scale": [2, 2, 3]}).data.scale == (2.0, 2.0, 3.0)
    ids = {run_id(made({"data.mean": mean})) for mean in ("none", [1, 2, 3], [1, 2, 4])}
    assert len(ids) == 3


def test_a_whole_number_passes_as_a_fraction_and_makes_the_same_run():
    whole, fraction = made({"train.epochs": 15}), made({"train.epochs": 15.0})

    assert type(whole.train.epochs) is float
    assert run_id(whole) == run_id(fraction)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seed": -1}, "seed=-1 must be at least 0"),
        ({"seed": 2**63}, "seed=9223372036854775808 must be below 9223372036854775808"),
        ({"split.seed": 10**30}, f"split.seed={10**30} must be below 9223372036854775808"),
        ({"runtime.memory_gb": 0.0}, "runtime.memory_gb=0.0 must be above 0"),
        ({"split.seed": -1}, "split.seed=-1 must be at least 0"),
        (
            {"split.seed": None},
            "missing split.seed: split=random needs it, as split.seed=0",
        ),
        ({"data.size": 0, "data.crop": 0}, "data.size=0 must be at least 1"),
        ({"data.crop": 0}, "data.crop=0 must be at least 1"),
        ({"data.crop": 33}, "data.crop=33 must be at most data.size=32"),
        ({"data.per_class": 0}, "data.per_class=0 must be at least 1"),
        (
            {"data.holdout": 0},
            "data.holdout=0.0 must be above 0",
        ),
        ({"data.holdout": 1}, "data.holdout=1.0 must be below 1"),
        ({"data.val": "a/b"}, "data.val=a/b must be the plain name of a folder in data.root"),
        ({"data.val": ".."}, "data.val=.. must be the plain name of a folder in data.root"),
        ({"data.val": ""}, "data.val= must be the plain name of a folder in data.root"),
        ({"data.scale": 0}, "data.scale=0.0 makes all images the same: choose another number"),
        (
            {"data.scale": [1, 0, 1]},
            "data.scale=[1.0,0.0,1.0] makes all images the same: choose another number",
        ),
        (
            {"data.scales": [31, 40]},
            "data.scales=[31,40] must be two sides in ascending order, both at least data.crop=32",
        ),
        (
            {"data.scales": [48, 40]},
            "data.scales=[48,40] must be two sides in ascending order, both at least data.crop=32",
        ),
        ({"data.pad": -1}, "data.pad=-1 must be at least 0"),
        ({"data.pca": -0.1}, "data.pca=-0.1 must be at least 0"),
        (
            {"data.pad": 4, "data.resize": "side"},
            "data.pad=4 surrounds images of one size: set data.resize to warp or crop, and "
            "data.scales to null",
        ),
        (
            {"data.pad": 32},
            "data.pad=32 must be below data.crop=32: some crops would show nothing of their image",
        ),
        ({"model.num_outputs": 1}, "model.num_outputs=1 must be at least 2"),
        ({"transfer.keep": -1}, "transfer.keep=-1 must be at least 0"),
        ({"transfer.n": -1}, "transfer.n=-1 must be at least 0"),
        ({"train.batch_size": 0}, "train.batch_size=0 must be at least 1"),
        (
            {"train.total_steps": 10**30, "train.epochs": None},
            f"train.total_steps={10**30} must be below 9223372036854775808",
        ),
        (
            {"train.total_steps": 0, "train.epochs": None},
            "train.total_steps=0 must be at least 1",
        ),
        (
            {"train.total_steps": 10},
            "train.total_steps=10 and train.epochs=15.0: set exactly one of them, and the other "
            "to null",
        ),
        (
            {"train.epochs": None},
            "train.total_steps=null and train.epochs=null: set exactly one of them, and the other "
            "to null",
        ),
        ({"train.epochs": 0}, "train.epochs=0.0 must be above 0"),
        ({"train.lr": -0.1}, "train.lr=-0.1 must be at least 0"),
        ({"train.lr_factor": -0.1}, "train.lr_factor=-0.1 must be at least 0"),
        ({"train.bias_lr_factor": -1}, "train.bias_lr_factor=-1.0 must be at least 0"),
        ({"train.bias_decay_factor": -1}, "train.bias_decay_factor=-1.0 must be at least 0"),
        ({"train.momentum": -0.1}, "train.momentum=-0.1 must be at least 0"),
        ({"train.momentum": 1}, "train.momentum=1.0 must be below 1"),
        ({"train.momentum": 0}, "train.nesterov=true needs train.momentum above 0"),
        ({"train.weight_decay": -1}, "train.weight_decay=-1.0 must be at least 0"),
        ({"train.warmup": -0.1}, "train.warmup=-0.1 must be at least 0"),
        ({"train.warmup": 1}, "train.warmup=1.0 must be below 1"),
        ({"train.lr_step": 0}, "train.lr_step=0 must be at least 1"),
        (
            {"train.schedule": "step", "train.lr_step": 10},
            "train.schedule=step needs train.lr_step and train.lr_factor",
        ),
        (
            {"train.schedule": "step", "train.lr_factor": 0.1},
            "train.schedule=step needs train.lr_step and train.lr_factor",
        ),
        (
            {"train.schedule": "steps", "train.lr_factor": 0.1, "train.lr_step": 10},
            "train.schedule=steps needs train.lr_steps and train.lr_factor",
        ),
        (
            {"train.schedule": "steps", "train.lr_factor": 0.1, "train.lr_steps": [30, 20]},
            "train.lr_steps=[30,20] must be steps in ascending order",
        ),
        (
            {"train.schedule": "steps", "train.lr_factor": 0.1, "train.lr_steps": []},
            "train.lr_steps=[] must be steps in ascending order",
        ),
        ({"train.val_every": 0}, "train.val_every=0 must be at least 1"),
        ({"train.val_batch_size": 0}, "train.val_batch_size=0 must be at least 1"),
        ({"runtime.devices": 0}, "runtime.devices=0 must be at least 1"),
        (
            {"runtime.devices": 3},
            "train.batch_size=32 is the global batch and must be a multiple of runtime.devices=3",
        ),
        ({"runtime.workers": -1}, "runtime.workers=-1 must be at least 0"),
        ({"runtime.threads": 0}, "runtime.threads=0 must be at least 1"),
        (
            {"runtime.checkpoint_every_s": -1},
            "runtime.checkpoint_every_s=-1.0 must be at least 0",
        ),
        (
            {"runtime.checkpoint_least_s": -1},
            "runtime.checkpoint_least_s=-1.0 must be at least 0",
        ),
        (
            {**BASE_B, "transfer.keep": 2},
            "transfer.keep=2 copies stages after the cut, and baseB has no base network to "
            "copy from: choose AnB, BnB, AnB+ or BnB+",
        ),
        (
            {"transfer.variant": "RnB", "transfer.keep": 2},
            "transfer.keep=2 copies stages after the cut, and R3B has no base network to "
            "copy from: choose AnB, BnB, AnB+ or BnB+",
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
def test_split_whole_refuses_variants_that_need_half_a(name: str):
    changes = {"split.name": "whole", "transfer.variant": name, "transfer.target": None}

    assert refused(changes | {"transfer.n": None}) == (
        f"split=whole has no half A, which {name} needs: choose one of base BnB BnB+ RnB"
    )


@pytest.mark.parametrize("name", ["baseB", "B3B", "B3B+", "R3B", "A0B"])
def test_split_whole_takes_variants_of_half_b(name: str):
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


def test_many_configs_are_varied_as_strictly_as_one():
    frozen = {"transfer.variant": "AnB", "transfer.n": 3, "transfer.keep": 2}
    sound = {
        "seed": 1, "train.batch_size": 1, "split.name": "random", "split.seed": 0, "data.crop": 32,
        **frozen,
    }  # fmt: skip
    variations = Variations(made(), tuple(sound))
    assert variations.at(tuple(sound.values())).label == "A3B-keep2"

    for values, message in (
        ({"seed": True}, "seed=true must be an integer"),  # which is equal to 1
        ({"train.batch_size": 1.0}, "train.batch_size=1.0 must be an integer"),
        ({"transfer.variant": "RnB"}, "transfer.keep=2 copies stages after the cut"),
        ({"split.name": "whole"}, "split=whole has no half A"),
        ({"split.seed": None}, "missing split.seed"),
        ({"data.crop": 33}, "data.crop=33 must be at most data.size=32"),
    ):
        for _ in range(2):  # no answer is remembered for a config that was refused
            with pytest.raises(UserError, match=re.escape(message)):
                variations.at(tuple({**sound, **values}.values()))
    with pytest.raises(UserError, match="unknown key data.sise: did you mean data.size"):
        Variations(made(), ("seed", "data.sise"))


def test_many_configs_are_varied_independently_of_one_another():
    grid: dict[str, tuple[Any, ...]] = {
        "seed": (0, 1), "split.seed": (0, 2**40), "data.mean": ("base", "target", (0, 0, 0)),
        "model.cuts": ("stage", "fine"), "transfer.n": (0, 3), "train.lr": (1, 1.5),
    }  # fmt: skip
    points = [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]
    random.Random(0).shuffle(points)
    variations = Variations(made(), tuple(grid))

    for values in points:
        assert repr(variations.at(tuple(values.values()))) == repr(made(values))


# --- steps --------------------------------------------------------------------------------------


def test_the_steps_are_given_or_follow_from_the_epochs():
    given = made({"train.epochs": None, "train.total_steps": 7})

    assert total_steps(made(), 717) == 337  # 15 epochs of 717 images in batches of 32
    assert total_steps(given, 717) == 7
