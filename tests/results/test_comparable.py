"""Which runs may be averaged together."""

from pathlib import Path

import pytest
from support.stores import finish

from transferlab import results
from transferlab.results import comparable

WHOLE = {"split.name": "whole"}


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return tmp_path / "runs"


def experiments(store: Path) -> dict[str, list[str]]:
    """Name of each experiment -> the labels of its runs."""
    parts = comparable.split(results.load(store).table)
    return {part.name: sorted(part.runs["label"]) for part in parts}


def test_split_seed_and_variant_do_not_distinguish_experiments(runs: Path):
    finish(runs, "baseB", 0.8)
    finish(runs, "A3B", 0.7, {"seed": 1})
    finish(runs, "B5A+", 0.7, split=2)
    finish(runs, "A7B", 0.6, {"split.name": "manmade_natural"})
    finish(runs, "R2B", 0.6, WHOLE)

    assert experiments(runs) == {"digits alexnet_small": ["A3B", "A7B", "B5A+", "R2B", "baseB"]}


@pytest.mark.parametrize(
    ("other", "differences"),
    [
        ({"data.digest": "e" * 64}, "data.digest=eeeeeeee"),
        ({"data.per_class": 50}, "data.per_class=50"),
        ({"train.epochs": 16}, "train.epochs=16.0"),
        ({"train.lr": 0.03}, "train.lr=0.03"),
        ({"data.mean": "none"}, "data.mean=none"),
        ({"model.num_outputs": 1000}, "model.num_outputs=1000"),
    ],
)
def test_data_network_and_recipe_distinguish_experiments_and_are_named(
    other: dict[str, object], differences: str, runs: Path
):
    finish(runs, "A3B", 0.7)
    finish(runs, "A5B", 0.7, other)

    assert {tuple(labels) for labels in experiments(runs).values()} == {("A3B",), ("A5B",)}
    (name,) = (name for name, labels in experiments(runs).items() if labels == ["A5B"])
    assert name == f"digits alexnet_small {differences}"


def test_another_data_set_is_another_experiment(runs: Path):
    finish(runs, "A3B", 0.7)
    finish(runs, "A3B", 0.7, {"data.name": "cifar10"})

    assert experiments(runs) == {"digits alexnet_small": ["A3B"], "cifar10 alexnet_small": ["A3B"]}


def test_runs_within_one_half_belong_to_experiments_with_either_mean(runs: Path):
    finish(runs, "baseB", 0.8)
    finish(runs, "B3B", 0.75)
    finish(runs, "A3B", 0.7)
    finish(runs, "A3B", 0.71, {"data.mean": "target"})

    assert experiments(runs) == {
        "digits alexnet_small data.mean=base": ["A3B", "B3B", "baseB"],
        "digits alexnet_small data.mean=target": ["A3B", "B3B", "baseB"],
    }


def test_runs_without_a_mean_are_a_separate_experiment(runs: Path):
    finish(runs, "baseB", 0.8)
    finish(runs, "A3B", 0.7)
    finish(runs, "baseB", 0.6, {"data.mean": "none"})

    assert sorted(experiments(runs).values()) == [["A3B", "baseB"], ["baseB"]]


def test_experiments_have_different_names_where_no_mean_is_bound(runs: Path):
    finish(runs, "baseB", 0.8)
    finish(runs, "baseB", 0.6, {"data.mean": "none"})

    assert set(experiments(runs)) == {"digits alexnet_small", "digits alexnet_small data.mean=none"}


def test_a_network_for_all_classes_has_the_outputs_of_the_others(runs: Path):
    # `resolve` drops num_outputs=1000 for 1,000 classes and keeps it for their halves
    finish(runs, "A3B", 0.7, {"model.num_outputs": 1000})
    finish(runs, "baseB", 0.6, WHOLE)

    assert experiments(runs) == {"digits alexnet_small": ["A3B", "baseB"]}


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
