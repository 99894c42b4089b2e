"""Bases before the runs that need them, each run once; the paper's study counted."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

import pytest
from records import made

from transferlab import config as configs
from transferlab import plan
from transferlab.config import RunConfig, SplitConfig

# The letters of the release's random splits are the paper's: AA is AnA there and here
RANDOM_DIRECTIONS = ("AnA", "AnB", "BnA")


@pytest.fixture
def start() -> RunConfig:
    """A config to vary. Planning looks at no data."""
    return made()


def variant_of(config: RunConfig, name: str, split: SplitConfig) -> RunConfig:
    transfer = replace(config.transfer, variant=name, n=None, target=None)
    return configs.build(configs.to_dict(replace(config, transfer=transfer, split=split)))


def random_split(seed: int) -> SplitConfig:
    return SplitConfig("random", seed, groups=None, digest=f"{seed}" * 64)


def named(config: RunConfig, *names: str) -> list[RunConfig]:
    """The variants of one split, by their names."""
    return [variant_of(config, name, random_split(0)) for name in names]


def labels(runs: Iterable[RunConfig]) -> list[str]:
    return [run.label for run in runs]


def test_a_run_comes_after_its_base(start: RunConfig):
    assert labels(plan.order(named(start, "A3B"))) == ["baseA", "A3B"]
    assert labels(plan.order(named(start, "B3B+"))) == ["baseB", "B3B+"]


def test_base_of_a_run_is_the_run_its_plan_puts_first(start: RunConfig):
    (run,) = named(start, "A3B")

    assert plan.order([run]) == (plan.base_of(run), run)
    assert plan.base_of(run) == named(start, "baseA")[0]


def test_a_base_network_comes_alone(start: RunConfig):
    assert labels(plan.order(named(start, "baseB"))) == ["baseB"]


def test_a_random_prefix_needs_no_base(start: RunConfig):
    assert labels(plan.order(named(start, "R3A", "R2B"))) == ["R3A", "R2B"]


def test_nothing_wanted_is_an_empty_plan():
    assert plan.order([]) == ()


def test_a_base_that_several_need_or_that_is_wanted_too_comes_once_and_first(start: RunConfig):
    runs = plan.order(named(start, "A3B", "B3B", "baseB", "A4B", "baseA", "A3B+"))

    assert labels(runs) == ["baseA", "baseB", "A3B", "B3B", "A4B", "A3B+"]


def test_a_run_wanted_twice_in_two_spellings_comes_once(start: RunConfig):
    spelled = replace(start.transfer, variant="AnB", n=3, target="B")
    again = configs.build(configs.to_dict(replace(start, transfer=spelled, split=random_split(0))))

    assert labels(plan.order([*named(start, "A3B", "A3B"), again])) == ["baseA", "A3B"]


def test_a_run_wanted_with_two_words_for_one_mean_comes_once(start: RunConfig):
    other = replace(start, data=replace(start.data, mean="target"))
    assert start.data.mean == "base"

    assert labels(plan.order([*named(start, "B3B"), *named(other, "B3B")])) == ["baseB", "B3B"]


def test_runs_with_two_means_share_their_base(start: RunConfig):
    other = replace(start, data=replace(start.data, mean="target"))

    runs = plan.order([*named(start, "A3B"), *named(other, "A3B", "baseA")])

    assert labels(runs) == ["baseA", "A3B", "A3B"]


def test_runs_of_two_splits_have_bases_of_their_own(start: RunConfig):
    runs = plan.order([variant_of(start, "A3B", random_split(seed)) for seed in (0, 1)])

    assert labels(runs) == ["baseA", "baseA", "A3B", "A3B"]
    assert [run.split.seed for run in runs] == [0, 1, 0, 1]


def test_figure_two_of_one_split_is_two_bases_and_28_runs(start: RunConfig):
    grid = [
        f"{name[0]}{n}{name[2:]}" for name in ("AnB", "BnB", "AnB+", "BnB+") for n in range(1, 8)
    ]

    runs = plan.order(named(start, *grid))

    assert len(grid) == 28
    assert len(runs) == 30
    assert labels(runs[:2]) == ["baseA", "baseB"]
    assert labels(runs[2:]) == grid


def test_study_of_the_paper_is_10_base_networks_and_then_the_140_that_need_them(start: RunConfig):
    """Source: yosinski/convnet_transfer README.md: not a full product, no BnB of a half B."""
    natural = SplitConfig("manmade_natural", None, groups=None, digest="n" * 64)
    frozen = [
        variant_of(start, name.replace("n", str(n)), random_split(seed))
        for seed in range(4)
        for name in RANDOM_DIRECTIONS
        for n in range(1, 8)
    ]
    manmade_natural = [
        variant_of(start, name.replace("n", str(n)), natural)
        for name in ("AnB", "BnA")
        for n in range(1, 8)
    ]
    fine_tuned = [
        variant_of(start, name.replace("n", str(n)) + "+", random_split(seed))
        for seed in (0, 1)
        for name in RANDOM_DIRECTIONS
        for n in range(1, 8)
    ]
    assert (len(frozen), len(manmade_natural), len(fine_tuned)) == (84, 14, 42)

    runs = plan.order([*frozen, *manmade_natural, *fine_tuned])

    assert len(runs) == 150
    assert Counter((run.split_label, run.label) for run in runs[:10]) == Counter(
        (split, base)
        for split in ("random0", "random1", "random2", "random3", "manmade_natural")
        for base in ("baseA", "baseB")
    )
    assert set(runs[10:]) == {*frozen, *manmade_natural, *fine_tuned}
    assert all(run.variant.n > 0 for run in runs[10:])
    assert len({configs.run_id(run) for run in runs}) == 150


def test_every_run_of_a_plan_comes_after_the_base_it_needs(start: RunConfig):
    names = ["B7A+", "R1B", "A2A", "baseB", "A1B", "B1B"]
    runs = plan.order(
        variant_of(start, name, random_split(seed)) for seed in (2, 0, 1) for name in names
    )

    for place, run in enumerate(runs):
        base = plan.base_of(run)
        assert base is None or base in runs[:place]
    assert len(runs) == 3 * 7


def test_packs_are_the_runs_in_order_one_each(start: RunConfig):
    runs = plan.order(named(start, "A3B", "B3B"))

    assert plan.packs(runs) == tuple((run,) for run in runs)
    assert plan.packs([]) == ()
