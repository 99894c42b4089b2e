"""One form for all spellings of a run, the base it needs, and its id, which must never change."""

import hashlib
import json
from typing import Any

import pytest
from records import BASE_B, ELSEWHERE, SCIENCE, YOSINSKI, changed, made, written

from transferlab import config as configs
from transferlab.config import RunConfig

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
    assert config.transfer == configs.TransferConfig(variant="AnB", n=3, target="B", keep=0)
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
    assert config.transfer == configs.TransferConfig(variant="base", n=0, target="B", keep=0)
    assert config == written("baseB")
    assert config != written("baseA")
    assert config.label == "baseB"


def test_plus_and_keep_are_part_of_the_label_and_of_the_run():
    kept, fine_tuned = made(keep=2), written("A3B+")

    assert kept.label == "A3B-keep2"
    assert fine_tuned.label == "A3B+"
    assert fine_tuned.transfer.variant == "AnB+"
    assert kept.transfer == configs.TransferConfig(variant="AnB", n=3, target="B", keep=2)
    assert made(variant="A3B+", n=None, keep=1).label == "A3B+-keep1"


def test_cut_points_of_two_digits_keep_their_number_out_of_the_variant():
    assert written("A12B+").transfer == configs.TransferConfig("AnB+", 12, "B", 0)


def test_natural_and_manmade_halves_have_no_seed():
    some, other = ({"split.name": "manmade_natural", "split.seed": seed} for seed in (0, 7))

    assert made(some) == made(other)
    assert made(some).split.seed is None
    assert made(some).split_label == "manmade_natural"
    assert made().split_label == "random0"


@pytest.mark.parametrize(
    ("name", "mean"),
    [
        ("A3B", "base"),
        ("A3B+", "base"),
        ("B3A", "base"),
        ("B3B", "target"),
        ("A3A+", "target"),
        ("baseA", "target"),
        ("R3B", "target"),
    ],
)
def test_mean_of_the_base_is_called_mean_of_the_target_where_they_are_one_half(
    name: str, mean: str
):
    assert written(name).data.mean == mean
    assert made({"data.mean": "target"}, variant=name, n=None, target=None).data.mean == "target"
    assert made({"data.mean": "none"}, variant=name, n=None, target=None).data.mean == "none"


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
    assert configs.base_of(written(name)) == written(base)


@pytest.mark.parametrize("name", ["baseA", "baseB", "R3A", "R3B"])
def test_base_networks_and_random_prefixes_need_no_base(name: str):
    assert configs.base_of(written(name)) is None


def test_all_runs_from_one_half_share_its_base_whatever_their_mean_keep_and_n():
    runs = [
        made(),
        made(keep=2),
        made(n=7),
        made({"data.mean": "target"}),
        made(variant="AnA+", target="A"),
    ]
    bases = {configs.base_of(run) for run in runs}

    assert bases == {written("baseA")}


# --- the run id ---------------------------------------------------------------------------------


def test_id_is_twelve_hexadecimal_digits_of_the_hash_of_what_counts():
    config = written("baseB")
    science = {key: value for key, value in configs.flat(config).items() if key not in ELSEWHERE}
    text = json.dumps({**science, "base_id": None}, sort_keys=True, separators=(",", ":"))

    assert configs.run_id(config) == hashlib.sha256(text.encode()).hexdigest()[:12]


def test_id_covers_the_id_of_the_base():
    config = made()
    science = {key: value for key, value in configs.flat(config).items() if key not in ELSEWHERE}
    science["base_id"] = configs.run_id(written("baseA"))
    text = json.dumps(science, sort_keys=True, separators=(",", ":"))

    assert configs.run_id(config) == hashlib.sha256(text.encode()).hexdigest()[:12]


def test_places_are_the_four_keys_that_say_where_or_what_to_do():
    assert set(configs.PLACES) == {key for key in ELSEWHERE if not key.startswith("runtime.")}


@pytest.mark.parametrize(("key", "value"), ELSEWHERE.items())
def test_where_a_run_is_carried_out_does_not_change_its_id(key: str, value: object):
    other = made({key: value})

    assert configs.flat(other)[key] != configs.flat(made())[key]
    assert configs.run_id(other) == configs.run_id(made())


def test_every_other_field_changes_the_id_each_in_its_own_way():
    ids = {key: configs.run_id(made(changes)) for key, changes in SCIENCE.items()}

    assert len({configs.run_id(made()), *ids.values()}) == len(SCIENCE) + 1 == 40


@pytest.mark.parametrize("key", ["data.digest", "split.digest"])
def test_an_unresolved_config_has_no_id(key: str):
    with pytest.raises(AssertionError, match="an unresolved config has no id"):
        configs.run_id(made({key: None}))


@pytest.mark.parametrize(
    ("golden", "changes"),
    [
        ("8e6e0ade1557", {}),
        ("abad55b9dc23", BASE_B),
        ("0db32f369c11", {**BASE_B, "transfer.target": "A", "seed": 3}),
        ("41e1e5d5c2f7", {"transfer.variant": "B5B+", "transfer.n": None, "train.epochs": 2}),
        ("8b16859dcc62", {"transfer.variant": "RnB", "transfer.n": 2}),
        ("11448349805d", {"transfer.variant": "AnB+", "transfer.keep": 2, "split.seed": 3}),
        ("032e954c7950", {**YOSINSKI, "model.name": "alexnet", "model.num_outputs": 1000}),
        ("628c7a69d076", {"transfer.n": 7, "data.per_class": 10, "data.mean": "none"}),
        ("31377e4b1163", {"split.name": "manmade_natural", "split.seed": None, "data.val": "test"}),
        (
            "b549d23f85d9",
            {"train.precision": "bfloat16", "train.channels_last": True, "data.crop": 28},
        ),
    ],
)
def test_ids_are_golden(golden: str, changes: dict[str, Any]):
    """Golden: a run's folder is found by its id. An id that changes loses every run on every disk.

    Never write a new id here. A new field goes into `config.NEUTRAL`, with the value that
    reproduces the runs made before it; then these records, which lack it, keep building and keep
    their ids. Only a change that makes the old numbers wrong may change an id ([ids], CHANGELOG).
    """
    assert configs.run_id(made(changes)) == golden


@pytest.mark.parametrize(
    ("key", "neutral", "other"),
    [("train.mirror", False, True), ("data.per_class", None, 5), ("seed", 0, 1)],
)
def test_a_new_field_with_its_neutral_value_leaves_ids_and_old_records_as_they_were(
    monkeypatch: pytest.MonkeyPatch, key: str, neutral: object, other: object
):
    before = written("baseB")
    science = {
        name: value
        for name, value in configs.flat(before).items()
        if name not in ELSEWHERE and name != key
    }
    text = json.dumps({**science, "base_id": None}, sort_keys=True, separators=(",", ":"))
    without_field = hashlib.sha256(text.encode()).hexdigest()[:12]
    id_of_other = configs.run_id(made({**BASE_B, key: other}))
    old_record = changed(BASE_B)
    group, _, leaf = key.rpartition(".")
    del (old_record[group] if group else old_record)[leaf]

    monkeypatch.setitem(configs.NEUTRAL, key, neutral)

    assert configs.run_id(made(BASE_B)) == without_field
    assert configs.run_id(made({**BASE_B, key: other})) == id_of_other
    assert configs.build(old_record) == before
    assert leaf not in (old_record[group] if group else old_record)


def test_a_neutral_value_is_left_out_of_the_id_of_the_base_too(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(configs.NEUTRAL, "train.mirror", False)
    science = {
        key: value
        for key, value in configs.flat(made()).items()
        if key not in ELSEWHERE and key != "train.mirror"
    }
    science["base_id"] = configs.run_id(written("baseA"))
    text = json.dumps(science, sort_keys=True, separators=(",", ":"))

    assert configs.run_id(made()) == hashlib.sha256(text.encode()).hexdigest()[:12]
