"""The table a person sees, and the next command, from results made by hand."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from transferlab import store, summary
from transferlab.config import RunConfig
from transferlab.launch.inline import Outcome
from transferlab.resolve import resolve

WORDS = ("+split=random", "train.epochs=2")
Finish = Callable[..., Outcome]
# The companions of a run are looked up in a form that no stored run has; delete with the defect
NOT_CANONICAL = pytest.mark.xfail(
    strict=True, reason="summary looks up configs that were not brought to their canonical form"
)


@pytest.fixture
def finish(config: Callable[..., RunConfig]) -> Finish:
    """Stores the result of a variant that was never trained."""

    def finish(
        variant: str, top1: float, *words: str, reused: bool = False, **record: Any
    ) -> Outcome:
        wanted = resolve(config(*WORDS, f"transfer.variant={variant}", *words))
        run = store.locate(wanted)
        store.create(run, wanted)
        store.finish(
            run,
            {
                "weights_sha256": "0" * 64,
                "metrics": {"top1_final": top1, "chance": 0.2},
                "learned": True,
                "prefix_unchanged": None,
                "skipped": [],
                "steps": 90,
                "time_s": 12.6,
                **record,
            },
        )
        result = store.read_result(run)
        assert result is not None
        return Outcome(wanted, run, result, reused=reused)

    return finish


def cells(outcomes: Sequence[Outcome]) -> list[list[str]]:
    """The table's cells, without its two head lines."""
    lines = summary.table(outcomes).splitlines()
    edges, start = [], 0
    for dashes in lines[1].split("  "):
        edges.append((start, start + len(dashes)))
        start += len(dashes) + 2
    edges[-1] = (edges[-1][0], 10_000)
    return [[line[first:last].strip() for first, last in edges] for line in lines[2:]]


def test_table_has_a_line_for_each_run_under_aligned_heads(finish: Finish):
    base, run = finish("baseB", 0.9, reused=True), finish("R3B", 0.1234, time_s=100.4, steps=7)

    lines = summary.table([base, run]).splitlines()

    assert lines[0] == "run    top-1   vs chance  vs base  steps  time           folder"
    assert lines[1].startswith("-----  ------  ---------  -------  -----  -----  ------  ---")
    assert lines[2] == (
        f"baseB  0.9000  +0.7000    -        90     13 s   reused  {base.run.folder}"
    )
    assert lines[3] == (
        f"R3B    0.1234  -0.0766    -0.7766  7      100 s          {run.run.folder}"
    )
    assert len(lines) == 4


def test_a_run_is_compared_with_the_base_of_its_own_target(finish: Finish):
    mean = "data.mean=target"
    outcomes = [
        finish("baseA", 0.5, mean),
        finish("baseB", 0.9, mean),
        finish("A3B", 0.8, mean),
        finish("B3A", 0.75, mean),
        finish("B3B+", 0.95, mean),
    ]

    assert [row[3] for row in cells(outcomes)] == ["-", "-", "-0.1000", "+0.2500", "+0.0500"]


@NOT_CANONICAL
def test_a_transfer_with_the_mean_of_its_base_is_compared_with_its_targets_base(finish: Finish):
    """`data.mean=base`, the default, is `target` for the base network that it is compared with."""
    outcomes = [finish("baseA", 0.5), finish("baseB", 0.9), finish("A3B", 0.8)]

    assert [row[3] for row in cells(outcomes)] == ["-", "-", "-0.1000"]


def test_without_the_base_in_the_store_there_is_nothing_to_compare(finish: Finish):
    mean = "data.mean=target"
    finish("baseB", 0.9, mean, "seed=1")
    finish("baseA", 0.9, mean)

    assert cells([finish("A3B", 0.8, mean)])[0][3] == "-"


@pytest.mark.parametrize(
    ("record", "reused", "words"),
    [
        ({}, False, ""),
        ({}, True, "reused"),
        ({"learned": False}, True, "chance!"),
        ({"prefix_unchanged": True}, False, ""),
        ({"prefix_unchanged": False}, False, "prefix changed!"),
        ({"skipped": ["a.png", "b.png"]}, False, "2 files skipped"),
        (
            {"learned": False, "prefix_unchanged": False, "skipped": ["a.png"]},
            True,
            "chance! prefix changed! 1 files skipped",
        ),
    ],
)
def test_table_warns_of_what_a_person_must_know(
    finish: Finish, record: dict[str, Any], reused: bool, words: str
):
    assert cells([finish("R3B", 0.3, reused=reused, **record)])[0][6] == words


def test_after_a_base_comes_a_transfer_to_its_half(finish: Finish):
    outcome = finish("baseB", 0.9)

    assert summary.next_command([outcome], [*WORDS, "transfer.variant=baseB"]) == (
        "next, a transfer to this half:\n"
        "  python -m transferlab +split=random train.epochs=2 transfer.variant=AnB transfer.n=3"
    )


def test_after_a_transfer_comes_the_base_of_its_target(finish: Finish):
    outcomes = [finish("baseA", 0.9), finish("A5B", 0.8)]
    words = [*WORDS, "transfer.variant=AnB", "transfer.n=5", "+transfer.keep=0"]

    assert summary.next_command(outcomes, words) == (
        "next, the base of the same target:\n"
        "  python -m transferlab +split=random train.epochs=2 transfer.variant=base "
        "transfer.target=B"
    )


def test_with_the_base_in_the_store_comes_the_selffer_control(finish: Finish):
    mean = "data.mean=target"
    finish("baseB", 0.9, mean)

    assert summary.next_command([finish("A5B", 0.8, mean)], [*WORDS, mean]) == (
        "next, the selffer control, same target:\n"
        "  python -m transferlab +split=random train.epochs=2 data.mean=target "
        "transfer.variant=BnB transfer.n=5"
    )


@NOT_CANONICAL
@pytest.mark.parametrize(
    ("stored", "why", "ending"),
    [
        (["baseB"], "the selffer control, same target", "transfer.variant=BnB transfer.n=5"),
        (
            ["baseB", "B5B"],
            "with the copied layers learning",
            "transfer.variant=AnB+ transfer.n=5",
        ),
        (["baseB", "B5B", "A5B+"], "one layer deeper", "transfer.variant=AnB transfer.n=6"),
    ],
)
def test_what_the_store_has_is_not_proposed_again(
    finish: Finish, stored: list[str], why: str, ending: str
):
    for name in stored:
        finish(name, 0.9)

    assert summary.next_command([finish("A5B", 0.8)], WORDS) == (
        f"next, {why}:\n  python -m transferlab +split=random train.epochs=2 {ending}"
    )


@pytest.mark.xfail(
    strict=True, reason="a base has data.mean=target, and its companions are looked up with that"
)
def test_after_a_base_with_all_its_companions_there_is_nothing_left(finish: Finish):
    for name in ("A3B", "B3B", "baseA"):
        finish(name, 0.9)

    assert summary.next_command([finish("baseB", 0.9)], WORDS) == (
        "everything to compare this run with is in the store"
    )
