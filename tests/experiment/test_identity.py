"""One form for all spellings of a run, the base it needs, and its id, which must never change."""

import hashlib
import json
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from support.records import BASE_B, ELSEWHERE, SCIENCE, SECOND, YOSINSKI, changed, made, written

from transferlab.experiment import identity
from transferlab.experiment.build import build_config
from transferlab.experiment.config import RunConfig, TransferConfig
from transferlab.experiment.identity import NEUTRAL, NOT_IN_ID, base_of, run_id
from transferlab.experiment.keys import flatten
from transferlab.experiment.variations import Variations

# --- canonical form -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "config",
    [
        written("A3B"),
        written("A3B", n=3),
        written("A3B", target="B"),
        written("AnB", n=3),
        written("AnB", n=3, target="B"),
    ],
)
def test_two_spellings_of_a_run_are_one_run(config: RunConfig):
    assert config == made()
    assert config.transfer == TransferConfig(variant="AnB", n=3, target="B", keep=0)
    assert config.label == "A3B"


@pytest.mark.parametrize(
    "config",
    [
        written("base", target="B"),
        written("baseB"),
        written("baseB", n=0, target="B"),
        written("AnB", n=0),
        written("AnB+", n=0),
        written("BnB", n=0, target="B"),
        written("B0B+"),
        written("RnB", n=0),
    ],
)
def test_with_n_zero_all_spellings_are_the_base_network_of_the_target(config: RunConfig):
    assert config.transfer == TransferConfig(variant="base", n=0, target="B", keep=0)
    assert config == written("baseB")
    assert config != written("baseA")
    assert config.label == "baseB"


def test_plus_and_keep_are_part_of_the_label_and_of_the_run():
    kept, fine_tuned = made(keep=2), written("A3B+")

    assert kept.label == "A3B-keep2"
    assert fine_tuned.label == "A3B+"
    assert fine_tuned.transfer.variant == "AnB+"
    assert kept.transfer == TransferConfig(variant="AnB", n=3, target="B", keep=2)
    assert made(variant="A3B+", n=None, keep=1).label == "A3B+-keep1"


def test_cut_points_of_two_digits_keep_their_number_out_of_the_variant():
    assert written("A12B+").transfer == TransferConfig("AnB+", 12, "B", 0)


def test_natural_and_manmade_halves_have_no_seed():
    some, other = ({"split.name": "manmade_natural", "split.seed": seed} for seed in (0, 7))

    assert made(some) == made(other)
    assert made(some).split.seed is None
    assert made(some).split_label == "manmade_natural"
    assert made().split_label == "random0"


def test_the_whole_has_no_seed():
    unseeded, *seeded = (
        made({"split.name": "whole", "split.seed": seed}, variant="BnB") for seed in (None, 0, 7)
    )

    assert seeded == [unseeded, unseeded]
    assert unseeded.split.seed is None
    assert unseeded.split_label == "whole"


def test_base_of_a_selffer_on_the_whole_is_the_base_network_of_the_whole():
    whole = {"split.name": "whole", "split.seed": None}

    assert base_of(made(whole, variant="BnB")) == made({**whole, **BASE_B})
    assert base_of(made(whole, variant="RnB")) is None


@pytest.mark.parametrize("name", ["A3B", "B3B", "baseA", "R3B"])
@pytest.mark.parametrize("mean", ["base", "target", "none"])
def test_a_config_keeps_what_was_written_where_two_words_come_to_the_same(name: str, mean: str):
    written_so = {"data.mean": mean, "train.lr_step": 7, "train.lr_factor": 0.5}

    flat = flatten(made(written_so, variant=name, n=None, target=None))

    assert flat["train.schedule"] == "cosine"
    assert {key: flat[key] for key in written_so} == written_so


@pytest.mark.parametrize(
    ("name", "base"),
    [
        ("A3B", "baseA"),
        ("A3B+", "baseA"),
        ("B3B", "baseB"),
        ("B5A", "baseB"),
        ("A1A+", "baseA"),
    ],
)
def test_base_of_a_run_is_the_base_network_of_the_half_before_its_number(name: str, base: str):
    assert base_of(written(name)) == written(base)


@pytest.mark.parametrize("name", ["baseA", "baseB", "R3A", "R3B"])
def test_base_networks_and_random_prefixes_need_no_base(name: str):
    assert base_of(written(name)) is None


def test_all_runs_from_one_half_share_its_base_whatever_their_mean_keep_cuts_and_n():
    runs = [
        made(),
        made(keep=2),
        made(n=7),
        made({"data.mean": "target"}),
        made({"model.cuts": "fine"}),
        made(variant="AnA+", target="A"),
    ]
    bases = [base_of(run) for run in runs]

    assert {base and base.label for base in bases} == {"baseA"}
    assert {base and run_id(base) for base in bases} == {run_id(written("baseA"))}


# --- the run id ---------------------------------------------------------------------------------


LATER = (  # keys that were added later, all of them neutral here
    "data.decode", "data.scales", "data.pad", "data.pca", "data.grey", "model.cuts",
    "model.reduction", "train.lr_steps", "train.norm_lr_factor", "train.norm_decay_factor",
    "train.loss",
)  # fmt: skip


def hashed(config: RunConfig, *, without: str | None = None, **changes: Any) -> str:
    """The hash of the id's part of a config, with changes and without a field."""
    science = {
        key: value
        for key, value in {**flatten(config), **changes}.items()
        if key not in (*ELSEWHERE, *SECOND, *LATER) and key != without
    }
    text = json.dumps(science, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def test_id_is_twelve_hexadecimal_digits_of_the_hash_of_what_counts():
    config = written("baseB")

    assert config.data.mean == "base"
    assert run_id(config) == hashed(config, base_id=None, **{"data.mean": "target"})


def test_id_covers_the_id_of_the_base():
    assert run_id(made()) == hashed(made(), base_id=run_id(written("baseA")))


@pytest.mark.parametrize("name", ["baseA", "baseB", "B3B", "B3B+", "A3A", "A3A+", "R3A", "R3B"])
def test_with_one_half_the_mean_of_the_base_and_of_the_target_are_one_run(name: str):
    base, target, none = (
        run_id(made({"data.mean": mean}, variant=name, n=None, target=None))
        for mean in ("base", "target", "none")
    )

    assert base == target
    assert none != target


@pytest.mark.parametrize("name", ["A3B", "A3B+", "B3A", "B3A+"])
def test_with_two_halves_each_mean_is_a_run_of_its_own(name: str):
    ids = {
        run_id(made({"data.mean": mean}, variant=name, n=None, target=None))
        for mean in ("base", "target", "none")
    }

    assert len(ids) == 3


@pytest.mark.parametrize("unused", [{"train.lr_step": 7}, {"train.lr_factor": 0.5}])
def test_the_drops_of_the_rate_count_only_where_there_are_some(unused: dict[str, Any]):
    steps = {"train.schedule": "step", "train.lr_step": 100, "train.lr_factor": 0.1}

    assert run_id(made(unused)) == run_id(made())
    assert run_id(made({**steps, **unused})) != run_id(made(steps))


def test_eight_keys_beside_runtime_are_not_in_the_id():
    of_a = {"split.a.root", "split.a.val", "split.a.unreadable", "split.weights"}
    assert {*NOT_IN_ID} - of_a == {key for key in ELSEWHERE if not key.startswith("runtime.")}
    assert of_a < {*NOT_IN_ID}


@pytest.mark.parametrize(("key", "value"), ELSEWHERE.items())
def test_where_a_run_is_carried_out_does_not_change_its_id(key: str, value: object):
    other = made({key: value})

    assert flatten(other)[key] != flatten(made())[key]
    assert run_id(other) == run_id(made())


def test_every_other_field_changes_the_id_each_in_its_own_way():
    ids = {key: run_id(made(changes)) for key, changes in SCIENCE.items()}

    assert len({run_id(made()), *ids.values()}) == len(SCIENCE) + 1 == 52


@pytest.mark.parametrize("key", ["data.digest", "split.digest"])
def test_an_unresolved_config_has_no_id(key: str):
    with pytest.raises(AssertionError, match="an unresolved config has no id"):
        run_id(made({key: None}))


@pytest.mark.parametrize(
    ("old", "golden", "changes"),
    [
        ("8e6e0ade1557", "287e69f6b8fb", {}),
        ("abad55b9dc23", "d45a5fbcfbcf", BASE_B),
        ("0db32f369c11", "c7ae96916a44", {**BASE_B, "transfer.target": "A", "seed": 3}),
        (
            "41e1e5d5c2f7",
            "06eee1d24652",
            {"transfer.variant": "B5B+", "transfer.n": None, "train.epochs": 2},
        ),
        ("8b16859dcc62", "20116eb916f7", {"transfer.variant": "RnB", "transfer.n": 2}),
        (
            "11448349805d",
            "3cab9005201e",
            {"transfer.variant": "AnB+", "transfer.keep": 2, "split.seed": 3},
        ),
        (
            "032e954c7950",
            "390eb201d41d",
            {**YOSINSKI, "model.name": "alexnet", "model.num_outputs": 1000},
        ),
        (
            "628c7a69d076",
            "056c9aa1e7ba",
            {"transfer.n": 7, "data.per_class": 10, "data.mean": "none"},
        ),
        (
            "31377e4b1163",
            "b2c0f6f28447",
            {"split.name": "manmade_natural", "split.seed": None, "data.val": "test"},
        ),
        ("23a39e99808a", "2310531736e9", {"split.name": "whole", "split.seed": None, **BASE_B}),
        (
            "b549d23f85d9",
            "133a6bb8f72b",
            {"train.precision": "bfloat16", "train.channels_last": True, "data.crop": 28},
        ),
    ],
)
def test_ids_are_golden(old: str, golden: str, changes: dict[str, Any]):
    """Golden: a run's folder is found by its id. An id that changes loses every run on every disk.

    `old` is the id of a record that has no revision, from before there was one. Never write a new
    id here. A new field goes into `identity.NEUTRAL`, with the value that reproduces the runs made
    before it; then these records, which lack it, keep building and keep their ids. Only a change
    that makes the old numbers wrong changes ids, by a new `identity.REVISION` ([ids], CHANGELOG):
    then every revision has its column here.
    """
    assert run_id(made(changes)) == golden

    record = changed(changes)
    del record["revision"]
    assert run_id(build_config(record)) == old


@pytest.mark.parametrize(
    ("golden", "changes"),
    [
        ("287e69f6b8fb", {"train.lr_step": 7, "train.lr_factor": 0.5}),
        ("287e69f6b8fb", {"transfer.variant": "A3B", "transfer.n": None, "transfer.target": None}),
        ("d45a5fbcfbcf", {**BASE_B, "data.mean": "target", "train.lr_step": 7}),
        (
            "06eee1d24652",
            {"transfer.variant": "BnB+", "transfer.n": 5, "train.epochs": 2, "data.mean": "target"},
        ),
        ("20116eb916f7", {"transfer.variant": "R2B", "transfer.n": 2, "data.mean": "target"}),
    ],
)
def test_other_spellings_of_these_runs_have_their_golden_ids(golden: str, changes: dict[str, Any]):
    assert run_id(made(changes)) == golden


def one_object(config: RunConfig) -> str:
    """The id as it is defined: the digest of one JSON object, nothing of it remembered."""
    base, variant, flat = base_of(config), config.variant, flatten(config)
    if base is None or variant.base == variant.target:
        flat["data.mean"] = {"base": "target"}.get(flat["data.mean"], flat["data.mean"])
    unused = {"cosine": ("lr_step", "lr_steps", "lr_factor"), "step": ("lr_steps",),
              "steps": ("lr_step",)}[config.train.schedule]  # fmt: skip
    flat |= {f"train.{key}": None for key in unused}
    kept = {
        key: value
        for key, value in flat.items()
        if not key.startswith(("runtime.", "split.a."))
        and key not in NOT_IN_ID
        and (key not in NEUTRAL or NEUTRAL[key] != value)
    }
    kept["base_id"] = None if base is None else one_object(base)
    text = json.dumps(kept, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def test_ids_of_a_study_are_those_of_its_runs_alone():
    draw = random.Random(0)
    values: dict[str, tuple[Any, ...]] = {
        "seed": (0, 1, 2**40), "split.seed": (0, 1, 2), "data.size": (32, 64), "data.pad": (0, 4),
        "data.per_class": (None, 1, 5), "data.mean": ("base", "target", "none", (1, 2, 3)),
        "data.scale": (1, 0.5, (1, 2, 3)), "model.cuts": ("stage", "fine"), "transfer.n": (0, 1, 3),
        "transfer.target": (None, "B"), "transfer.variant": ("AnB", "BnB", "AnB+", "RnB"),
        "train.schedule": ("step", "steps", "cosine"), "train.lr_step": (5, 6),
        "train.lr_steps": ((1, 2), (1, 3)), "train.lr_factor": (0.1, 0.2), "train.lr": (1, 0.1),
        "train.loss": ("cross_entropy", "binary"), "runtime.threads": (1, 2),
    }  # fmt: skip
    points = [{key: draw.choice(values[key]) for key in values} for _ in range(300)]
    variations = Variations(made(), tuple(values))

    configs = [variations.at(tuple(point.values())) for point in points]
    ids = [run_id(config) for config in configs]

    assert ids == [one_object(config) for config in configs]
    assert 250 < len({*ids}) <= 300


@pytest.fixture
def make_neutral() -> Iterator[Callable[[str, object], None]]:
    """Gives a key a neutral value; what was computed with other ones is forgotten, here and after
    the test."""
    before = dict(NEUTRAL)

    def set_to(values: dict[str, object]) -> None:
        NEUTRAL.clear()
        NEUTRAL.update(values)
        for function in (identity._section_json, identity._value_json, identity._base_id):
            function.cache_clear()

    yield lambda key, value: set_to({**before, key: value})
    set_to(before)


@pytest.mark.parametrize(
    ("key", "neutral", "other"),
    [("train.mirror", False, True), ("data.per_class", None, 5), ("seed", 0, 1)],
)
def test_a_new_field_with_its_neutral_value_leaves_ids_and_old_records_as_they_were(
    make_neutral: Callable[[str, object], None], key: str, neutral: object, other: object
):
    before = written("baseB")
    without_field = hashed(before, without=key, base_id=None, **{"data.mean": "target"})
    id_of_other = run_id(made({**BASE_B, key: other}))
    old_record = changed(BASE_B)
    group, _, leaf = key.rpartition(".")
    del (old_record[group] if group else old_record)[leaf]

    make_neutral(key, neutral)

    assert run_id(made(BASE_B)) == without_field
    assert run_id(made({**BASE_B, key: other})) == id_of_other
    assert build_config(old_record) == before
    assert leaf not in (old_record[group] if group else old_record)


def test_a_neutral_value_is_left_out_of_the_id_of_the_base_too(
    make_neutral: Callable[[str, object], None],
):
    make_neutral("train.mirror", False)
    without_field = hashed(made(), without="train.mirror", base_id=run_id(written("baseA")))

    assert run_id(made()) == without_field
