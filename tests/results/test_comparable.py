"""Which runs may be averaged together, and the names and ids of experiments."""

import json
from pathlib import Path

import pytest
from support.stores import finish

from transferlab import results
from transferlab.errors import UserError
from transferlab.results import comparable

WHOLE = {"split.name": "whole"}
ID = "e-0f7153"
DIGITS = "digits (10 classes, 1.44k images) alexnet_small quick lr=0.02"


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return tmp_path / "runs"


def experiments(store: Path) -> dict[str, list[str]]:
    """Name of each experiment -> the labels of its runs."""
    parts = results.load(store).experiments
    return {part.name: sorted(part.runs["label"]) for part in parts}


def test_split_seed_and_variant_do_not_distinguish_experiments(runs: Path):
    finish(runs, "baseB", 0.8)
    finish(runs, "A3B", 0.7, {"seed": 1})
    finish(runs, "B5A+", 0.7, split=2)
    finish(runs, "A7B", 0.6, {"split.name": "manmade_natural"})
    finish(runs, "R2B", 0.6, WHOLE)

    assert experiments(runs) == {DIGITS: ["A3B", "A7B", "B5A+", "R2B", "baseB"]}


@pytest.mark.parametrize(
    ("other", "end"),
    [
        ({"data.digest": "e" * 64}, "quick lr=0.02 digest=eeeeeeee"),
        ({"data.per_class": 50}, "quick lr=0.02 per_class=50"),
        ({"data.per_class": 50, "data.digest": "e" * 64}, "quick lr=0.02 per_class=50"),
        ({"train.epochs": 16}, "quick epochs=16 lr=0.02"),
        ({"train.lr": 0.01}, "quick"),
        ({"data.mean": "none"}, "quick lr=0.02 mean=none"),
        ({"data.mean": [1, 2, 3]}, "quick lr=0.02 mean=1.0 2.0 3.0"),
        ({"data.scale": [1, 2, 3]}, "quick lr=0.02 scale=1.0 2.0 3.0"),
        ({"model.num_outputs": 1000}, "quick lr=0.02 num_outputs=1000"),
        ({"revision": 1}, "quick lr=0.02 revision=1"),
    ],
)
def test_data_network_and_recipe_distinguish_experiments_and_are_named(
    other: dict[str, object], end: str, runs: Path
):
    finish(runs, "A3B", 0.7)
    finish(runs, "A5B", 0.7, other)

    assert {tuple(labels) for labels in experiments(runs).values()} == {("A3B",), ("A5B",)}
    (name,) = (name for name, labels in experiments(runs).items() if labels == ["A5B"])
    assert name == f"digits (10 classes, 1.44k images) alexnet_small {end}"


def test_another_data_set_is_another_experiment(runs: Path):
    finish(runs, "A3B", 0.7)
    finish(runs, "A3B", 0.7, {"data.name": "cifar10"}, data_images=50_000)

    cifar = "cifar10 (10 classes, 50k images) alexnet_small quick lr=0.02"
    assert experiments(runs) == {DIGITS: ["A3B"], cifar: ["A3B"]}


def folder(root: str, digest: str) -> dict[str, object]:
    return {"data.name": "image_folder", "data.root": root, "data.digest": digest * 64}


def test_an_experiment_has_the_name_of_its_folder_and_the_counts_of_its_data_set(runs: Path):
    small32 = {"train.batch_size": 128, "train.epochs": 9.0, "train.mirror": True,
               "train.channels_last": True, "train.val_batch_size": 250}  # fmt: skip
    tiny = {**folder("/data/tiny-imagenet-32", "e"), **small32}
    counts = {"data_classes": 200, "data_images": 90_000}
    # each half has 100 classes
    finish(runs, "baseA", 0.3, tiny, num_classes=100, train_images=45_000, **counts)
    finish(runs, "baseB", 0.3, tiny, num_classes=100, train_images=45_000, **counts)

    (name,) = experiments(runs)
    assert name.startswith("tiny-imagenet-32 (200 classes, 90k images) alexnet_small small32")
    assert set(results.load(runs).table["data_set"]) == {"tiny-imagenet-32"}
    assert set(results.load(runs).table["data"]) == {"image_folder"}


def test_folders_of_one_name_have_a_digest_only_where_nothing_else_tells_them_apart(runs: Path):
    finish(runs, "baseB", 0.3, folder("/a/birds", "e"))
    finish(runs, "baseB", 0.3, folder("/b/birds", "f"))
    finish(runs, "baseB", 0.3, folder("/b/fish", "d"))
    finish(runs, "baseB", 0.3, {**folder("/c/birds", "c"), "data.size": 64, "data.crop": 64})

    assert {name.replace(" (10 classes, 1.44k images) alexnet_small quick lr=0.02", ":")
            for name in experiments(runs)} == {
        "birds: size=32 digest=eeeeeeee", "birds: size=32 digest=ffffffff", "fish:",
        "birds: size=64",
    }  # fmt: skip


def test_a_record_without_counts_and_a_recipe_of_ones_own_are_named(runs: Path):
    own = {"train.lr": 0.3, "train.batch_size": 7, "train.epochs": 2.0, "train.momentum": 0.1}
    run = finish(runs, "baseB", 0.3, {**own, **folder("/" + "x" * 200, "e")})
    record = json.loads(run.result_file.read_text())
    del record["data_classes"], record["data_images"]
    run.result_file.write_text(json.dumps(record))

    (name,) = experiments(runs)
    assert name == f"{'x' * 39}\N{HORIZONTAL ELLIPSIS} alexnet_small own recipe"


def test_an_archive_is_not_named_after_the_folder_where_it_is_unpacked(runs: Path):
    finish(runs, "baseB", 0.3, {"data.name": "cifar10", "data.root": "/downloads"})

    (name,) = experiments(runs)
    assert name.startswith("cifar10 (")


def test_an_experiments_id_is_the_same_whatever_else_is_in_the_store(runs: Path):
    finish(runs, "baseB", 0.8)
    (alone,) = results.load(runs).experiments
    assert alone.id == ID
    finish(runs, "A3B", 0.7)
    finish(runs, "A3B", 0.7, folder("/a/birds", "e"))

    by_id = {part.id: part for part in results.load(runs).experiments}
    assert sorted(by_id[ID].runs["label"]) == ["A3B", "baseB"]
    assert len(by_id) == 2


def test_an_experiment_is_chosen_by_its_id_or_any_part_of_its_name(runs: Path):
    finish(runs, "baseB", 0.8)
    finish(runs, "baseB", 0.3, folder("/a/birds", "e"))
    finish(runs, "baseB", 0.3, {**folder("/a/birds", "e"), "train.lr": 0.025})
    known = results.load(runs).experiments
    birds = "birds (10 classes, 1.44k images) alexnet_small quick lr=0.02"

    assert comparable.chosen(known, ID).name == DIGITS
    assert comparable.chosen(known, "Digits quick").name == DIGITS
    assert comparable.chosen(known, birds).name == birds  # although it begins another
    assert comparable.chosen(known, "lr=0.025").name == f"{birds}5"
    with pytest.raises(UserError, match="--experiment 'birds' is ambiguous") as ambiguous:
        comparable.chosen(known, "birds")
    with pytest.raises(UserError, match="--experiment 'fish' is unknown") as unknown:
        comparable.chosen(known, "fish")
    assert str(ambiguous.value).splitlines()[1:] == [
        f"  {part.id}  {part.name}" for part in known if part.name.startswith("birds")
    ]
    assert str(unknown.value).splitlines()[1:] == [f"  {part.id}  {part.name}" for part in known]


def test_runs_within_one_half_belong_to_experiments_with_either_mean(runs: Path):
    finish(runs, "baseB", 0.8)
    finish(runs, "B3B", 0.75)
    finish(runs, "A3B", 0.7)
    finish(runs, "A3B", 0.71, {"data.mean": "target"})

    assert experiments(runs) == {
        f"{DIGITS} mean=base": ["A3B", "B3B", "baseB"],
        f"{DIGITS} mean=target": ["A3B", "B3B", "baseB"],
    }


def test_runs_without_a_mean_are_a_separate_experiment(runs: Path):
    finish(runs, "baseB", 0.8)
    finish(runs, "A3B", 0.7)
    finish(runs, "baseB", 0.6, {"data.mean": "none"})

    assert sorted(experiments(runs).values()) == [["A3B", "baseB"], ["baseB"]]


def test_experiments_have_different_names_where_no_mean_is_bound(runs: Path):
    finish(runs, "baseB", 0.8)
    finish(runs, "baseB", 0.6, {"data.mean": "none"})

    assert set(experiments(runs)) == {DIGITS, f"{DIGITS} mean=none"}


def test_base_networks_belong_to_the_experiments_of_either_kind_of_cut(runs: Path):
    finish(runs, "baseB", 0.8)
    finish(runs, "A3B", 0.7)
    finish(runs, "A3B", 0.71, {"model.cuts": "fine"})

    assert experiments(runs) == {
        f"{DIGITS} cuts=stage": ["A3B", "baseB"],
        f"{DIGITS} cuts=fine": ["A3B", "baseB"],
    }


def test_the_steps_at_which_a_rate_drops_distinguish_experiments_and_are_text(runs: Path):
    drops = {"train.schedule": "steps", "train.lr_factor": 0.1}
    finish(runs, "baseB", 0.8, {**drops, "train.lr_steps": [100, 300]})
    finish(runs, "baseB", 0.7, {**drops, "train.lr_steps": [100, 400]})

    assert len(experiments(runs)) == 2
    assert set(results.load(runs).table["train.lr_steps"]) == {"100 300", "100 400"}


def test_a_network_for_all_classes_has_the_outputs_of_the_others(runs: Path):
    # `resolve` drops num_outputs=1000 for 1,000 classes and keeps it for their halves
    finish(runs, "A3B", 0.7, {"model.num_outputs": 1000})
    finish(runs, "baseB", 0.6, WHOLE)

    assert experiments(runs) == {DIGITS: ["A3B", "baseB"]}


def test_every_run_belongs_to_an_experiment(runs: Path):
    finish(runs, "baseB", 0.8)
    finish(runs, "A3B", 0.7, {"model.num_outputs": 1000})
    finish(runs, "baseB", 0.6, WHOLE)
    finish(runs, "baseB", 0.6, {**WHOLE, "data.per_class": 5})
    finish(runs, "A5B", 0.6, {"data.mean": "none", "train.lr": 0.5})

    table = results.load(runs).table
    parts = comparable.split(table)
    assert set().union(*(part.runs["id"] for part in parts)) == set(table["id"])


def test_an_empty_table_has_no_experiment(runs: Path):
    finish(runs, "A3B", 0.7).result_file.write_text("{")

    assert experiments(runs) == {}
