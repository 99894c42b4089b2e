"""The cost of a plan: hours and disk worked out by hand, from records, a probe, and both."""

from collections.abc import Iterable
from typing import Any

import pytest
from support.records import made_run

from transferlab.experiment.build import config_dict
from transferlab.experiment.cost import estimate
from transferlab.experiment.cost.estimate import Estimate, RunTiming, class_counts, training_images
from transferlab.experiment.plan import Pack
from transferlab.experiment.run import Run
from transferlab.models.facts import Footprint, NetworkFacts, NetworkShape, StageFacts

# Forward 123; a training image costs 369, with one frozen stage 169, with two 129
BYTES = Footprint(0, 0, 0)  # memory is none of the estimate's
STAGES = (
    StageFacts("conv1", 7, 100, BYTES, BYTES),
    StageFacts("conv2", 70, 20, BYTES, BYTES),
    StageFacts("fc3", 700, 3, BYTES, BYTES),
)
SMALL, WIDE = NetworkShape("alexnet_small", 5, 32), NetworkShape("alexnet_small", 10, 32)
SLOW = NetworkFacts(STAGES, None, 1e-3, "cpu: a slow one, 1 thread")
UNTIMED = NetworkFacts(STAGES, None, None, None)
# 3,600 / 32 is no whole number of steps: 225 steps of 16
SHORT = {"train.epochs": None, "train.total_steps": 225, "train.batch_size": 16}
BASE = {**SHORT, "transfer.variant": "base", "transfer.n": 0, "transfer.target": "B"}
Record = dict[str, Any]


def short(variant: str, **changes: Any) -> Run:
    """A run of 3,600 images, so that the time in s of an image is the time in h of the run."""
    return made_run({**SHORT, **changes}, variant=variant, n=None, target=None)


def base(**changes: Any) -> Run:
    return made_run({**BASE, **changes})


def record(run: Run, time_s: float, **more: Any) -> Record:
    """The record of a finished run, with the fields that an estimate reads."""
    return {
        "format": 1,
        "config": config_dict(run.config),
        "time_s": time_s,
        "images": 3600,
        "num_classes": 5,
        **more,
    }


def hours(
    *packs: tuple[Run, ...],
    records: tuple[Record, ...] = (),
    facts: NetworkFacts = SLOW,
) -> Estimate:
    return estimate.estimate(
        map(Pack, packs), timings=timings(records), facts={SMALL: facts}, at_once=1
    )


def timings(records: Iterable[Record]) -> list[RunTiming]:
    return list(filter(None, map(estimate.timing_of, records)))


# --- images -------------------------------------------------------------------------------------


def test_images_are_steps_times_batch():
    counts = class_counts(base().config.data)

    assert training_images(base(), counts) == 3600
    # Half B is 2 4 5 6 9: 142 + 145 + 146 + 145 + 144 = 722 images, 15 epochs in batches of 32
    assert training_images(made_run(), counts) == 339 * 32
    assert training_images(made_run(variant="base", n=0, target="A"), counts) == 336 * 32  # of 716


def test_a_reduced_class_has_fewer_images_but_no_more_than_there_are():
    # 142 + 4 x 143 = 714
    some, few = made_run({"data.per_class": 143}), made_run({"data.per_class": 10})

    assert training_images(some, class_counts(some.config.data)) == 335 * 32
    assert training_images(few, class_counts(few.config.data)) == 24 * 32  # ceil(15 x 50 / 32)


# --- hours, from a probe ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("variant", "expected"),
    [("baseB", 0.369), ("A1B", 0.169), ("A2B", 0.129), ("R2B", 0.129), ("A2B+", 0.369)],
)
def test_frozen_stages_are_passed_forward_alone(variant: str, expected: float):
    found = hours((short(variant),))

    assert found.device_hours == pytest.approx(expected)
    assert found.source == (
        "from multiply-accumulates: 1.0e3 a second in a probe on this machine "
        "(cpu: a slow one, 1 thread)"
    )


def test_the_hours_of_all_packs_are_summed():
    assert hours((base(),), (short("A1B"),)).device_hours == pytest.approx(0.369 + 0.169)


def test_in_a_pack_the_stages_in_common_are_passed_through_once():
    pack = (short("A1B"), short("A2B"), short("A1B", **{"transfer.keep": 1}))

    # 129 and, without their first stage, 69 and 69
    assert hours(pack).device_hours == pytest.approx(0.267)
    assert hours(*((config,) for config in pack)).device_hours == pytest.approx(0.467)


@pytest.mark.parametrize(
    "others",
    [
        (short("B2B"),),  # another base
        (short("A2B+"),),  # which learns
        (short("R2B"),),  # untrained
        (short("A2B", **{"data.mean": "target"}),),  # another input
    ],
)
def test_what_is_not_in_common_is_counted_for_each(others: tuple[Run, ...]):
    apart = hours((short("A1B"),), others).device_hours

    assert hours((short("A1B"), *others)).device_hours == pytest.approx(apart)


def test_two_untrained_prefixes_have_nothing_in_common():
    assert hours((short("R1B"), short("R2B"))).device_hours == pytest.approx(0.169 + 0.129)


def test_several_speeds_are_reported_from_the_lowest_to_the_highest():
    fast = NetworkFacts(STAGES, None, 3.226e-10, "cpu: a slow one, 1 thread")

    found = estimate.estimate(
        [Pack((base(),)), Pack((base(**{"model.num_outputs": 10}),))],
        timings=(),
        facts={SMALL: SLOW, WIDE: fast},
        at_once=1,
    )

    assert found.source.startswith("from multiply-accumulates: 1.0e3 to 3.1e9 a second in a probe")


# --- hours, from records ------------------------------------------------------------------------


def test_the_median_of_finished_runs_tells_the_speed():
    # 1, 2 and 30 ms for a multiply-accumulate
    records = (
        record(base(), 3600 * 0.369),
        record(short("A2B"), 3600 * 0.258),
        record(short("A1B"), 3600 * 5.07),
    )

    found = hours((base(),), (short("A1B"),), records=records, facts=UNTIMED)

    assert found.device_hours == pytest.approx(0.738 + 0.338)
    assert found.source == "from 3 finished runs in the store"


def test_one_finished_run_is_enough():
    found = hours((base(),), records=(record(base(seed=7), 36.9),), facts=UNTIMED)

    assert found.device_hours == pytest.approx(36.9 / 3600)
    assert found.source == "from 1 finished run in the store"


def test_the_time_of_a_pack_is_shared_out_and_that_of_devices_summed():
    two_devices = base(**{"runtime.devices": 2})
    for records in (
        (record(short("A1B+"), 3600 * 0.369 * 4, pack_size=4),),
        (record(two_devices, 3600 * 0.369 / 2),),
    ):
        assert hours((base(),), records=records).device_hours == pytest.approx(0.369)


@pytest.mark.parametrize(
    "other",
    [
        record(base(), 3600 * 0.369),
        record(short("A1B"), 3600 * 0.169),
        record(short("A1B+"), 3600 * 0.369 * 4, pack_size=4),
    ],
)
def test_a_frozen_run_of_a_pack_counts_only_where_there_is_no_other(other: Record):
    """Its share of the time is not its own, since stages were passed through together."""
    packed = record(short("A1B"), 3600 * 0.0169 * 7, pack_size=7)

    both = hours((base(),), records=(packed, packed, other))
    one = hours((base(),), records=(packed,))

    assert (both.device_hours, both.source) == (
        pytest.approx(0.369),
        "from 1 finished run in the store",
    )
    assert one.device_hours == pytest.approx(0.0369)


@pytest.mark.parametrize(
    "changes",
    [
        {"model.name": "alexnet"},
        {"data.name": "cifar10"},
        {"data.size": 36},
        {"data.crop": 28},
        {"train.batch_size": 8},
        {"train.precision": "bfloat16"},
    ],
)
def test_records_of_another_model_data_or_recipe_say_nothing(changes: dict[str, Any]):
    records = (record(base(**changes), 1.0),)

    assert hours((base(),), records=records).device_hours == pytest.approx(0.369)
    assert estimate.without_records([base()], timings(records)) == (base(),)


@pytest.mark.parametrize(
    "changes",
    [{"seed": 3}, {"split.seed": 1}, {"train.lr": 0.5}, {"data.holdout": 0.3}],
)
def test_records_of_other_seeds_and_rates_say_as_much(changes: dict[str, Any]):
    records = (record(base(**changes), 36.9),)

    assert hours((base(),), records=records).device_hours == pytest.approx(0.01025)
    assert estimate.without_records([base()], timings(records)) == ()


def test_a_record_with_other_outputs_is_taken_for_one_of_the_same_stages():
    records = (record(base(), 36.9, num_classes=551),)

    assert hours((base(),), records=records).device_hours == pytest.approx(0.01025)


def test_a_record_is_weighed_with_the_stages_of_its_own_network():
    double = NetworkFacts((StageFacts("conv1", 1, 246, BYTES, BYTES),), None, None, None)
    records = (record(base(**{"model.num_outputs": 10}), 3600 * 0.738),)

    for facts in ({SMALL: UNTIMED, WIDE: double}, {WIDE: double, SMALL: UNTIMED}):
        found = estimate.estimate(
            [Pack((base(),))], timings=timings(records), facts=facts, at_once=1
        )
        assert found.device_hours == pytest.approx(0.369)


def test_runs_with_records_and_without_are_distinguished():
    others = [base(**{"train.precision": "bfloat16", "seed": seed}) for seed in range(2)]
    records = (record(base(), 3600 * 0.0369),)

    found = hours((base(),), *((other,) for other in others), records=records)

    assert estimate.without_records([base(), *others], timings(records)) == tuple(others)
    assert found.device_hours == pytest.approx(0.0369 + 2 * 0.369)
    assert found.source == (
        "from 1 finished run in the store; for 2 other runs from multiply-accumulates: 1.0e3 a "
        "second in a probe on this machine (cpu: a slow one, 1 thread)"
    )


@pytest.mark.parametrize(
    "damage",
    [
        {"time_s": 0},
        {"time_s": -1.0},
        {"time_s": "long"},
        {"time_s": None},
        {"time_s": float("nan")},
        {"time_s": float("inf")},
        {"images": 0},
        {"images": None},
        {"pack_size": 0},
        {"pack_size": None},
        {"config": None},
        {"config": {}},
        {"config": {**config_dict(base().config), "model": {"name": [], "num_outputs": None}}},
        {"config": {**config_dict(base().config), "transfer": {"variant": 3, "n": 0, "target": 1}}},
        {"config": {**config_dict(base().config), "transfer": {"variant": "AnC", "n": 0}}},
        {"num_classes": []},
    ],
)
def test_a_damaged_record_says_nothing(damage: dict[str, Any]):
    records = (record(base(), 1.0) | damage,)

    assert hours((base(),), records=records).device_hours == pytest.approx(0.369)
    assert estimate.without_records([base()], timings(records)) == (base(),)


# --- disk ---------------------------------------------------------------------------------------


def test_disk_is_the_weights_of_all_and_the_checkpoints_of_those_at_once():
    small = NetworkFacts((StageFacts("fc1", 1_000_000, 1, BYTES, BYTES),), None, 1e-9, "cpu: any")
    large = NetworkFacts((StageFacts("fc1", 60_000_000, 1, BYTES, BYTES),), None, 1e-9, "cpu: any")
    packs = [
        Pack((base(), short("A1B+"))),
        Pack((base(**{"model.num_outputs": 10}),)),
    ]
    facts = {SMALL: small, WIDE: large}

    found = [
        estimate.estimate(packs, timings=(), facts=facts, at_once=at_once)
        for at_once in (1, 2, 100)
    ]

    # 4 bytes x 62 million parameters and, for each run, 0.1 MB and 12 bytes x 32 x 32 pixels
    assert [each.disk_gb for each in found] == pytest.approx([0.248336864] * 3)
    # and 16 bytes x 60, 61 and 62 million
    assert [each.peak_disk_gb for each in found] == pytest.approx(
        [1.208336864, 1.224336864, 1.240336864]
    )


def test_where_nothing_is_to_be_trained_nothing_is_needed():
    found = estimate.estimate([], timings=(), facts={}, at_once=8)

    assert found == Estimate(0.0, 0.0, 0.0, "nothing is to be trained")
