"""From a config to the parts of a run: whose mean, what is shared, how long, from which seed."""

from collections.abc import Callable

import pytest
import torch

from transferlab.experiment.config import RunConfig
from transferlab.experiment.resolve import resolve
from transferlab.training import build, inputs
from transferlab.training.build import Subject
from transferlab.training.seeds import seed_of

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
    member = build.member(Subject(run, None))
    assert (member.name, member.module.frozen_stages, member.shared) == (variant, frozen, shared)
    origin = run if run.base is None else run.base
    assert member.trunk == f"{origin.id}/{member.view}"


def test_runs_with_one_base_have_one_trunk_unless_their_means_differ(config: Compose):
    trunks = []
    for overrides in (["A2B"], ["A5B"], ["A5B", "data.mean=target"], ["B5B"]):
        variant, *more = overrides
        run = resolve(config("+split=random", f"transfer.variant={variant}", *more))
        trunks.append(build.member(Subject(run, None)).trunk)
    assert trunks[0] == trunks[1] and len(set(trunks)) == 3


def test_seeds_differ_by_whatever_they_are_for():
    others = [(0, "A3B", "init", "conv1"), (1, "A3B", "init", "conv1"), (0, "A4B", "init", "conv1"),
              (0, "A3B", "dropout", "conv1"), (0, "A3B", "init", "conv2")]  # fmt: skip
    seeds = [seed_of(*parts) for parts in others]
    assert len(set(seeds)) == 5 and all(0 <= seed < 2**63 for seed in seeds)
    assert seeds[0] == 4256497018622836079  # golden: all initial values hang on it
