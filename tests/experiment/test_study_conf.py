"""The studies of conf/: how many runs each is; the paper's, network for network."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from support import weights
from support.golden_networks import NETWORKS, Network

from transferlab.experiment import plan, study
from transferlab.experiment.conf import CONF
from transferlab.experiment.resolve import resolve_all
from transferlab.experiment.run import Run

FIGURE2 = ("AnB", "BnB", "AnB+", "BnB+", "BnA", "AnA", "BnA+", "AnA+")
COUNTS = {
    "averaging": {"base": 12},
    "averaging_imagenet": {"base": 6},
    "bn_rates": {"base": 10},
    "bn_rates_imagenet": {"base": 5},
    "choice": {"base": 4, "AnB": 21, "AnB+": 21, "BnB": 21, "RnB": 21},  # of seven cuts
    "chatfield2014": {"base": 14},
    "chatfield2014_imagenet": {"base": 7},
    "chatfield2014_tune": {"base": 1, "AnB+": 4},
    "families": {"base": 12, "AnB": 6, "BnB": 6},
    "filters": {"base": 21},
    "filters_imagenet": {"base": 7},
    "plain_residual": {"base": 8},
    "plain_residual_cifar10": {"base": 10},
    "plain_residual_imagenet": {"base": 4},
    "vgg_scales": {"base": 9},
    "vgg_scales_imagenet": {"base": 6},
    "vgg_depth": {"base": 18},
    "vgg_depth_imagenet": {"base": 6},
    "quick": {"base": 4, **dict.fromkeys(FIGURE2, 8)},
    "random_splits": {"base": 8, **dict.fromkeys(FIGURE2, 28)},
    "manmade_natural": {"base": 2, "AnB": 7, "BnA": 7, "BnB": 7, "AnA": 7},
    "random_filters": {"base": 1, "RnB": 7},
    "small_random": {
        "base": 8, **dict.fromkeys((*FIGURE2, "RnB", "RnA"), 28),
    },
    "small_cifar100": {
        "base": 8, **dict.fromkeys((*FIGURE2, "RnB", "RnA"), 28),
    },
    "small_manmade_natural": {
        "base": 2, **dict.fromkeys((*FIGURE2, "RnB", "RnA"), 7),
    },
    "small_size_matched": {"base": 2, "AnB": 7, "BnB": 7, "BnA": 7, "AnA": 7},
    "reduced": {"base": 12},
    "reduction": {"base": 12, "AnB": 24, "BnB": 24},
    "yosinski2014": {
        "base": 23, "AnA": 28, "AnB": 35, "BnA": 35, "AnA+": 14, "AnB+": 14, "BnA+": 14,
    },
}  # fmt: skip


def planned(name: str, *overrides: str) -> tuple[Run, ...]:
    return plan.order(resolve_all(study.expand(study.load(name), overrides)))


def test_every_study_of_conf_is_counted():
    assert CONF.choices("study") == sorted(COUNTS)


@pytest.mark.parametrize("name", sorted(COUNTS))
def test_a_study_of_conf_is_so_many_runs(imagenet: Path, name: str, tmp_path: Path):
    own = weights.given(name, tmp_path)
    runs = planned(name, "data=imagenet", f"data.root={imagenet}", "data.holdout=null", *own)

    assert plan.count_variants(runs) == COUNTS[name]
    assert {run.config.data.name for run in runs} - {"weights"} == {"imagenet"}


def test_quick_is_trained_on_few_digits_as_it_is():
    found = study.expand(study.load("quick"), [])

    assert " ".join(run.label for run in found[:8]) == "A1B A3B A5B A7B B1B B3B B5B B7B"
    assert Counter((run.data.name, run.split_label, run.seed) for run in found) == {
        ("digits", "random0", 0): 32, ("digits", "random1", 0): 32,
    }  # fmt: skip
    assert {(run.data.per_class, run.data.holdout, run.train.epochs) for run in found} == {
        (20, 0.5, 40)
    }


def test_small_cifar100_is_small_random_with_its_own_images():
    cifar, photographs = (
        [replace(run, data=replace(run.data, name="any")) for run in study.expand(found, [])]
        for found in map(study.load, ("small_cifar100", "small_random"))
    )

    assert {run.data.name for run in study.expand(study.load("small_cifar100"), [])} == {"cifar100"}
    assert len(cifar) == 280
    assert cifar == photographs


def test_the_papers_study_is_its_163_networks_and_what_each_starts_from(imagenet: Path):
    """Network for network and edge for edge."""
    runs = planned("yosinski2014", f"data.root={imagenet}")

    found = Counter(
        Network(
            run.config.split_label,
            run.label,
            run.config.data.per_class,
            None if run.base is None else run.base.label,
        )
        for run in runs
    )
    assert len(NETWORKS) == 163
    assert found == Counter(NETWORKS)
    assert all(run.base is None or run.base.config.split == run.config.split for run in runs)


def test_the_papers_networks_are_all_made_by_its_recipes(imagenet: Path):
    found = [run.config for run in planned("yosinski2014", f"data.root={imagenet}")]

    assert {run.model.name for run in found} == {"alexnet"}
    # None where the classes say so
    assert {(run.split.name, run.model.num_outputs) for run in found} == {
        ("random", 1000), ("manmade_natural", 1000), ("whole", None),
    }  # fmt: skip
    reduced = {run.data.per_class for run in found if run.train.lr == 0.0125}
    assert reduced == {1, 2, 5, 10, 25, 50, 100, 250, 500, 750, 1000, 1300}
    assert {run.data.per_class for run in found if run.train.lr == 0.01} == {None}
    assert {run.train.lr for run in found} == {0.01, 0.0125}


def test_the_papers_networks_are_two_waves_with_one_base_and_target_in_every_pack(imagenet: Path):
    runs = planned("yosinski2014", f"data.root={imagenet}")

    first, second = plan.waves(plan.packs(runs, None))

    assert [len(pack.runs) for pack in first] == [1] * 23
    assert [len(pack.runs) for pack in second] == [7] * 20
    assert {pack.base for pack in first} == {None}
    bases = {pack.runs[0].id for pack in first}
    for pack in second:
        assert {run.base_id for run in pack.runs} <= bases
        variants = {run.config.variant for run in pack.runs}
        assert sorted(variant.n for variant in variants) == [1, 2, 3, 4, 5, 6, 7]
        assert len({(v.base, v.target, v.fine_tuned) for v in variants}) == 1
        assert len({run.config.split for run in pack.runs}) == 1
