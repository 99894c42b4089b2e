"""Bases before the runs that need them, each run once; which runs are packed together, and when.

The studies themselves are counted in test_study.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace

import pytest
from support.records import made

from transferlab.experiment import plan
from transferlab.experiment.build import build_config, config_dict, vary_config
from transferlab.experiment.config import RunConfig, SplitConfig
from transferlab.experiment.identity import run_id
from transferlab.experiment.keys import flatten
from transferlab.experiment.plan import Pack
from transferlab.experiment.run import Run, make_run

# The letters of the release's random splits are the paper's: AA is AnA there and here
RANDOM_DIRECTIONS = ("AnA", "AnB", "BnA")


@pytest.fixture
def start() -> RunConfig:
    """A config to vary. Planning reads no data."""
    return made()


def variant_of(config: RunConfig, name: str, split: SplitConfig) -> Run:
    transfer = replace(config.transfer, variant=name, n=None, target=None)
    return make_run(build_config(config_dict(replace(config, transfer=transfer, split=split))))


def random_split(seed: int) -> SplitConfig:
    return SplitConfig("random", seed, groups=None, digest=f"{seed}" * 64, weights=None, a=None)


def named(config: RunConfig, *names: str) -> list[Run]:
    """The variants of one split, by their names."""
    return [variant_of(config, name, random_split(0)) for name in names]


def labels(runs: Iterable[Run]) -> list[str]:
    return [run.label for run in runs]


def together(packs: Sequence[Pack]) -> list[str]:
    """`["baseA", "A1B A2B"]`."""
    return [pack.labels for pack in packs]


def test_a_run_comes_after_its_base(start: RunConfig):
    assert labels(plan.order(named(start, "A3B"))) == ["baseA", "A3B"]
    assert labels(plan.order(named(start, "B3B+"))) == ["baseB", "B3B+"]


def test_base_of_a_run_is_the_run_its_plan_puts_first(start: RunConfig):
    (run,) = named(start, "A3B")

    assert plan.order([run]) == (run.base, run)
    assert run.base == named(start, "baseA")[0]


def test_every_run_has_its_id_and_that_of_its_base(start: RunConfig):
    base, run, random = plan.order(named(start, "A3B", "R3B"))

    assert (base.id, base.base_id) == (run_id(base.config), None)
    assert (run.id, run.base_id) == (run_id(run.config), base.id)
    assert (random.id, random.base_id) == (run_id(random.config), None)


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
    config = build_config(config_dict(replace(start, transfer=spelled, split=random_split(0))))
    again = make_run(config)

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
    assert [run.config.split.seed for run in runs] == [0, 1, 0, 1]


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
    natural = SplitConfig(
        "manmade_natural", None, groups=None, digest="n" * 64, weights=None, a=None
    )
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
    assert Counter((run.config.split_label, run.label) for run in runs[:10]) == Counter(
        (split, base)
        for split in ("random0", "random1", "random2", "random3", "manmade_natural")
        for base in ("baseA", "baseB")
    )
    assert set(runs[10:]) == {*frozen, *manmade_natural, *fine_tuned}
    assert all(run.config.variant.n > 0 for run in runs[10:])
    assert len({run.id for run in runs}) == 150


def test_every_run_of_a_plan_comes_after_the_base_it_needs(start: RunConfig):
    names = ["B7A+", "R1B", "A2A", "baseB", "A1B", "B1B"]
    runs = plan.order(
        variant_of(start, name, random_split(seed)) for seed in (2, 0, 1) for name in names
    )

    for position, run in enumerate(runs):
        assert run.base is None or run.base_id in [earlier.id for earlier in runs[:position]]
    assert len(runs) == 3 * 7


def test_runs_are_counted_by_variant_as_they_come(start: RunConfig):
    runs = plan.order(named(start, "A3B", "A4B", "R1A", "B2B+"))

    assert list(plan.count_variants(runs).items()) == [
        ("base", 2),
        ("AnB", 2),
        ("RnA", 1),
        ("BnB+", 1),
    ]


# --- packs --------------------------------------------------------------------------------------

A_TO_B = tuple(f"A{n}B" for n in range(1, 8))


def test_packs_of_one_are_the_runs_in_their_order(start: RunConfig):
    runs = plan.order(named(start, "A3B", "B3B", "A4B"))

    assert plan.packs(runs) == tuple(Pack((run,)) for run in runs)
    assert together(plan.packs(runs, 1)) == ["baseA", "baseB", "A3B", "B3B", "A4B"]
    assert plan.packs([]) == plan.packs([], None) == ()


def test_a_pack_is_the_cuts_of_one_base_for_one_target(start: RunConfig):
    runs = plan.order(named(start, "A1B", "B1B", "A2B", "B2B", "A3B", "B1A", "R1B", "R2B", "A2A"))

    packs = plan.packs(runs, None)

    assert together(packs) == [
        "baseA", "baseB", "A1B A2B A3B", "B1B B2B", "B1A", "R1B R2B", "A2A",
    ]  # fmt: skip
    assert [pack.base for pack in packs[2:]] == [runs[0], runs[1], runs[1], None, runs[0]]
    assert all({run.base for run in pack.runs} == {pack.base} for pack in packs)


def test_frozen_and_fine_tuned_runs_are_not_packed_together(start: RunConfig):
    runs = plan.order(named(start, "A1B", "A1B+", "A2B", "A2B+"))

    assert together(plan.packs(runs, None)) == ["baseA", "A1B A2B", "A1B+ A2B+"]


@pytest.mark.parametrize(
    ("size", "cut"),
    [
        (2, ["A1B A2B", "A3B A4B", "A5B A6B", "A7B"]),
        (3, ["A1B A2B A3B", "A4B A5B A6B", "A7B"]),
        (7, [" ".join(A_TO_B)]),
        (100, [" ".join(A_TO_B)]),
        (None, [" ".join(A_TO_B)]),
    ],
)
def test_a_pack_has_at_most_so_many_runs(start: RunConfig, size: int | None, cut: list[str]):
    assert together(plan.packs(plan.order(named(start, *A_TO_B)), size)) == ["baseA", *cut]


def test_auto_is_at_most_eight_runs(start: RunConfig):
    keep = [
        make_run(vary_config(run.config, {"transfer.keep": keep}))
        for keep in (0, 1)
        for run in named(start, *A_TO_B[:6])
    ]

    sizes = [len(pack.runs) for pack in plan.packs(plan.order(keep), None)]

    assert sizes == [1, 8, 4]


@pytest.mark.parametrize(
    ("key", "value"),
    [("seed", 1), ("split.seed", 1), ("data.mean", "target"), ("train.lr", 0.5),
     ("data.per_class", 3), ("model.num_outputs", 50)],
)  # fmt: skip
def test_runs_of_other_streams_are_never_packed_together(start: RunConfig, key: str, value: object):
    """Another seed, split, image or recipe is another stream of batches."""
    others = [make_run(vary_config(run.config, {key: value})) for run in named(start, "A1B", "A2B")]

    packs = plan.packs(plan.order([*named(start, "A1B", "A2B"), *others]), None)

    alike = [{flatten(run.config)[key] for run in pack.runs} for pack in packs]
    assert together(packs)[-2:] == ["A1B A2B", "A1B A2B"]
    assert [len(values) for values in alike] == [1] * len(packs)


def test_runs_for_other_devices_are_never_packed_together(start: RunConfig):
    varied = named(vary_config(start, {"runtime.devices": 2}), "A3B", "A4B")

    packs = plan.packs(plan.order([*named(start, "A1B", "A2B"), *varied]), None)

    assert together(packs) == ["baseA", "A1B A2B", "A3B A4B"]


def test_bases_stay_alone_since_others_wait_for_them(start: RunConfig):
    bases = [
        variant_of(start, name, random_split(seed))
        for name in ("baseA", "baseB")
        for seed in (0, 1)
    ]
    packs = plan.packs(plan.order(bases), None)

    assert [len(pack.runs) for pack in packs] == [1, 1, 1, 1]


def test_a_packs_role_says_what_kind_of_job_it_is(start: RunConfig):
    runs = plan.order(named(start, "A1B", "A2B", "B1B"))

    assert [(pack.labels, pack.role) for pack in plan.packs(runs, None)] == [
        ("baseA", "base"),
        ("baseB", "base"),
        ("A1B A2B", "pack"),
        ("B1B", "transfer"),
    ]


# --- packs that fit -----------------------------------------------------------------------------


def at_most(depth: int) -> plan.Fits:
    """Packs whose cuts together are no deeper than this fit."""
    return lambda runs: sum(run.config.variant.n for run in runs) <= depth


def test_a_pack_that_does_not_fit_is_cut_into_parts_that_do(start: RunConfig):
    runs = plan.order(named(start, *A_TO_B, "B1B", "B2B"))

    packs = plan.packs(runs, None, fits=at_most(10))

    assert together(packs) == [
        "baseA", "baseB", "A1B A2B A3B A4B", "A5B", "A6B", "A7B", "B1B B2B",
    ]  # fmt: skip
    assert plan.packs(runs, None, fits=at_most(28)) == plan.packs(runs, None)
    assert together(plan.packs(runs, 2, fits=at_most(7)))[2:] == [
        "A1B A2B", "A3B A4B", "A5B", "A6B", "A7B", "B1B B2B",
    ]  # fmt: skip


def test_a_run_that_does_not_fit_stays_alone(start: RunConfig):
    packs = plan.packs(plan.order(named(start, *A_TO_B[:3])), None, fits=at_most(0))

    assert together(packs) == ["baseA", "A1B", "A2B", "A3B"]


def test_how_often_it_is_asked_what_fits_grows_with_the_runs():
    """Parts of ten in a thousand: each item is asked for once, and the whole once."""
    asked: list[int] = []

    def fits(part: Sequence[int]) -> bool:
        asked.append(len(part))
        return len(part) <= 10

    assert [len(part) for part in plan.parts(range(1_000), fits)] == [10] * 100
    assert len(asked) == 1_000


# --- waves --------------------------------------------------------------------------------------


def test_the_second_wave_waits_for_bases_of_the_first(start: RunConfig):
    runs = plan.order(named(start, "A1B", "R1B", "A2B", "B1B"))

    first, second = plan.waves(plan.packs(runs, None))

    assert together(first) == ["baseA", "baseB", "R1B"]
    assert together(second) == ["A1B A2B", "B1B"]


def test_runs_whose_base_is_finished_do_not_wait_for_anybody(start: RunConfig):
    base_a, *rest = plan.order(named(start, "A1B", "B1B"))
    assert base_a.label == "baseA"

    first, second = plan.waves(plan.packs(rest, None))

    assert (together(first), together(second)) == (["baseB", "A1B"], ["B1B"])


def test_without_runs_to_wait_for_there_is_one_wave_and_without_runs_none(start: RunConfig):
    runs = plan.order(named(start, "baseA", "baseB"))

    assert [together(wave) for wave in plan.waves(plan.packs(runs))] == [["baseA", "baseB"]]
    assert plan.waves(()) == ()
