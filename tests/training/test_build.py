"""From a config to the parts of a run: whose mean, what is shared, how long, from which seed."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from transferlab.experiment.config import RunConfig
from transferlab.experiment.resolve import resolve
from transferlab.experiment.run import Run
from transferlab.experiment.splits import Split, SplitRule
from transferlab.experiment.splits.random import random_halves
from transferlab.models.transfer import same_bits
from transferlab.training import build, inputs
from transferlab.training.build import Subject
from transferlab.training.seeds import image_seed, network_seed

Compose = Callable[..., RunConfig]


@pytest.mark.parametrize(
    ("variant", "mean", "letter"),
    [
        ("A3B", "base", "A"),  # the authors' choice
        ("B3A+", "base", "B"),
        ("B3B", "base", "B"),
        ("R3B", "base", "B"),
        ("baseA", "base", "A"),
        ("A3B", "target", "B"),
        ("B3A", "target", "A"),
        ("A3B", "none", "none"),
        ("baseB", "none", "none"),
    ],
)
def test_a_run_subtracts_the_mean_of_its_base_half(
    config: Compose, variant: str, mean: str, letter: str
):
    run_config = config("+split=random", f"transfer.variant={variant}", f"data.mean={mean}")
    assert inputs.mean_letter(run_config) == letter


@pytest.mark.parametrize("variant", ["baseB", "B3B", "R3B"])
def test_a_run_on_the_whole_has_all_classes_and_their_mean(config: Compose, variant: str):
    small = ("data.size=16", "data.crop=16")
    run = resolve(config("+split=whole", f"transfer.variant={variant}", *small))
    half = inputs.half(run, inputs.load_images(run.config), "B")

    assert half.classes == tuple("0123456789")
    assert len(half.train) + len(half.val) == 1797
    assert inputs.mean_letter(run.config) == "B"
    assert build.network(run)(torch.zeros(2, 3, 16, 16)).shape == (2, 10)


@pytest.mark.parametrize(
    ("variant", "frozen", "shared"),
    [
        ("baseB", 0, 0),
        ("A2B", 2, 2),
        ("A6B", 6, 6),
        ("A7B", 7, 6),  # fc7 begins with dropout, which each has for itself
        ("A5B+", 0, 0),
        ("R3B", 3, 3),
    ],
)
def test_what_a_member_shares_is_frozen_and_without_dropout(
    config: Compose, variant: str, frozen: int, shared: int
):
    run = resolve(config("+split=random", f"transfer.variant={variant}"))
    member = build.member(Subject(run, None, {}))
    assert (member.name, member.module.frozen_stages, member.shared) == (variant, frozen, shared)
    origin = run if run.base is None else run.base
    assert member.trunk == f"{origin.id}/{member.view}"


def test_runs_with_one_base_have_one_trunk_unless_their_means_differ(config: Compose):
    trunks = []
    for overrides in (["A2B"], ["A5B"], ["A5B", "data.mean=target"], ["B5B"]):
        variant, *more = overrides
        run = resolve(config("+split=random", f"transfer.variant={variant}", *more))
        trunks.append(build.member(Subject(run, None, {})).trunk)
    assert trunks[0] == trunks[1] and len(set(trunks)) == 3


def test_network_seeds_differ_by_whatever_they_are_for():
    seeds = [network_seed(*parts) for parts in (
        (0, "ab", "A3B", "init", "conv1"), (1, "ab", "A3B", "init", "conv1"),
        (0, "cd", "A3B", "init", "conv1"), (0, "ab", "A4B", "init", "conv1"),
        (0, "ab", "A3B", "dropout", "conv1"), (0, "ab", "A3B", "init", "conv2"),
    )]  # fmt: skip
    assert len(set(seeds)) == 6 and all(0 <= seed < 2**63 for seed in seeds)
    assert seeds[0] == 1370741410661398765  # golden: all initial values hang on it


def test_image_seeds_differ_by_seed_split_and_half_and_are_no_network_seeds():
    seeds = [
        image_seed(*parts)
        for parts in ((0, "ab", "A"), (1, "ab", "A"), (0, "cd", "A"), (0, "ab", "B"))
    ]
    assert len(set(seeds)) == 4 and all(0 <= seed < 2**63 for seed in seeds)
    assert seeds[0] == 9029810068610009783  # golden: the order of all images hangs on it


def same_halves(classes: tuple[str, ...], **_: object) -> Split:
    return random_halves(classes, seed=0)


SAME_HALVES = SplitRule(same_halves)


def fresh(run: Run) -> dict[str, Tensor]:
    return build.fresh(Subject(run, None, {})).state_dict()


def test_runs_on_one_half_share_order_and_crops_and_splits_share_nothing(config: Compose):
    def run(variant: str, *overrides: str) -> Run:
        return resolve(config("+split=random", f"transfer.variant={variant}", *overrides))

    first = run("A3B")
    on_b = {inputs.image_seed(run(variant)) for variant in ("A3B", "B3B", "A5B+", "baseB", "R3B")}
    assert on_b == {inputs.image_seed(first)}

    others = [run("B3A"), run("A3B", "split.seed=1"), run("A3B", "seed=1")]
    assert len({inputs.image_seed(other) for other in (first, *others)}) == 4
    for other in others:
        values = zip(fresh(first).items(), fresh(other).values(), strict=True)
        assert not any(torch.equal(a, b) for (name, a), b in values if name.endswith("weight"))


def test_the_same_halves_under_another_name_have_the_same_numbers(config: Compose):
    named = resolve(config("+split=random", "transfer.variant=baseB"))
    renamed = resolve(
        config("+split=random", f"split.name={__name__}:SAME_HALVES", "transfer.variant=baseB")
    )

    assert named.id != renamed.id
    assert inputs.image_seed(named) == inputs.image_seed(renamed)
    assert same_bits(fresh(named), fresh(renamed))
