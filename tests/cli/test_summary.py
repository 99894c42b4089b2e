"""The table a person sees, and the next command, from results made by hand."""

import re
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from support import stores
from support.records import made

from transferlab import store
from transferlab.cli import summary
from transferlab.experiment.config import RunConfig
from transferlab.experiment.resolve import resolve
from transferlab.experiment.run import Run
from transferlab.launch import inline
from transferlab.launch.inline import FinishedRun

WORDS = ("+split=random", "train.epochs=2")
Finish = Callable[..., FinishedRun]


def stored(config: RunConfig, top1: float, *, reused: bool = False, **record: Any) -> FinishedRun:
    """A run that was never trained, with its result in the store."""
    run = resolve(config)
    store.create(run)
    store.finish(run, stores.record(run.config, top1, **{"steps": 90, "time_s": 12.6, **record}))
    return inline.finished(run, reused=reused)


@pytest.fixture
def finish(tmp_path: Path) -> Finish:
    """Stores the result of a variant, with some keys changed."""

    def finish(
        variant: str, top1: float, changes: dict[str, Any] | None = None, **more: Any
    ) -> FinishedRun:
        changed = {"runtime.store": f"{tmp_path}/runs", "train.epochs": 2, **(changes or {})}
        return stored(made(changed, variant=variant, n=None, target=None), top1, **more)

    return finish


def cells(outcomes: Sequence[FinishedRun]) -> list[dict[str, str]]:
    """The cells of each line of the table by their headings."""
    headings, rule, *lines = summary.table(outcomes)
    edges = [match.span() for match in re.finditer("-+", rule)]
    edges[-1] = (edges[-1][0], 10_000)
    names = [headings[slice(*edge)].strip() for edge in edges]
    return [dict(zip(names, (line[slice(*edge)].strip() for edge in edges), strict=True))
            for line in lines]  # fmt: skip


def test_table_has_a_line_for_each_run_under_aligned_heads(finish: Finish):
    base, run = finish("baseB", 0.9, reused=True), finish("R3B", 0.1234, time_s=100.4, steps=7)

    lines = summary.table([base, run])

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
    mean = {"data.mean": "target"}
    outcomes = [
        finish("baseA", 0.5, mean),
        finish("baseB", 0.9, mean),
        finish("A3B", 0.8, mean),
        finish("B3A", 0.75, mean),
        finish("B3B+", 0.95, mean),
    ]

    assert [row["vs base"] for row in cells(outcomes)] == [
        "-",
        "-",
        "-0.1000",
        "+0.2500",
        "+0.0500",
    ]


def test_a_transfer_with_the_mean_of_its_base_is_compared_with_its_targets_base(finish: Finish):
    """`data.mean=base`, the default, is `target` for the base network that it is compared with."""
    outcomes = [finish("baseA", 0.5), finish("baseB", 0.9), finish("A3B", 0.8)]

    assert [row["vs base"] for row in cells(outcomes)] == ["-", "-", "-0.1000"]


def test_a_base_stored_with_the_other_word_for_its_mean_is_found(finish: Finish):
    finish("baseB", 0.9, {"data.mean": "target"})

    assert cells([finish("A3B", 0.8)])[0]["vs base"] == "-0.1000"
    assert cells([finish("B3B", 0.8, {"data.mean": "none"})])[0]["vs base"] == "-"  # no such base


def test_without_the_base_in_the_store_there_is_nothing_to_compare(finish: Finish):
    mean = {"data.mean": "target"}
    finish("baseB", 0.9, {**mean, "seed": 1})
    finish("baseA", 0.9, mean)

    assert cells([finish("A3B", 0.8, mean)])[0]["vs base"] == "-"


@pytest.mark.parametrize(
    ("record", "reused", "words"),
    [
        ({}, False, ""),
        ({}, True, "reused"),
        ({"learned": False}, True, "reused, chance!"),
        ({"prefix_unchanged": True}, False, ""),
        ({"account": {}}, True, "trained elsewhere"),
        ({"skipped": ["a.png", "b.png"]}, False, "2 files skipped"),
        ({"learned": False, "skipped": ["a.png"]}, True, "reused, chance!, 1 files skipped"),
    ],
)
def test_table_warns_of_chance_level_changed_prefixes_and_skipped_files(
    finish: Finish, record: dict[str, Any], reused: bool, words: str
):
    assert cells([finish("R3B", 0.3, reused=reused, **record)])[0].get("", "") == words


def test_table_warns_of_a_base_at_chance_level(finish: Finish):
    finish("baseA", 0.2, learned=False)

    assert cells([finish("A3B", 0.8)])[0].get("", "") == "base at chance!"


@pytest.mark.parametrize(
    ("others", "why", "ending"),
    [
        ([], "a transfer to this half", "transfer.variant=AnB transfer.n=3"),
        (["A3B"], "its selffer control", "transfer.variant=BnB transfer.n=3"),
        (
            ["A3B", "B3B"],
            "the base of the other half",
            "transfer.variant=base transfer.target=A",
        ),
    ],
)
def test_after_a_base_come_the_runs_that_start_from_it_and_the_other_base(
    finish: Finish, others: list[str], why: str, ending: str
):
    for name in others:
        finish(name, 0.9)

    assert proposed(finish("baseB", 0.9).run, [*WORDS, "transfer.variant=baseB"]) == (
        f"next, {why}:\n  python -m transferlab +split=random train.epochs=2 {ending}"
    )


def test_after_a_transfer_comes_the_base_of_its_target(finish: Finish):
    outcomes = [finish("baseA", 0.9), finish("A5B", 0.8)]
    words = [*WORDS, "transfer.variant=AnB", "transfer.n=5", "+transfer.keep=0"]

    assert proposed(outcomes[-1].run, words) == (
        "next, the base of the same target:\n"
        "  python -m transferlab +split=random train.epochs=2 transfer.variant=base "
        "transfer.target=B"
    )


def test_with_the_base_in_the_store_comes_the_selffer_control(finish: Finish):
    mean = {"data.mean": "target"}
    finish("baseB", 0.9, mean)

    assert proposed(finish("A5B", 0.8, mean).run, [*WORDS, "data.mean=target"]) == (
        "next, the selffer control, same target:\n"
        "  python -m transferlab +split=random train.epochs=2 data.mean=target "
        "transfer.variant=BnB transfer.n=5"
    )


@pytest.mark.parametrize(
    ("others", "why", "ending"),
    [
        (["baseB"], "the selffer control, same target", "transfer.variant=BnB transfer.n=5"),
        (
            ["baseB", "B5B"],
            "with the copied layers learning",
            "transfer.variant=AnB+ transfer.n=5",
        ),
        (["baseB", "B5B", "A5B+"], "one layer less", "transfer.variant=AnB transfer.n=4"),
    ],
)
def test_runs_in_the_store_are_not_proposed(
    finish: Finish, others: list[str], why: str, ending: str
):
    for name in others:
        finish(name, 0.9)

    assert proposed(finish("A5B", 0.8).run, WORDS) == (
        f"next, {why}:\n  python -m transferlab +split=random train.epochs=2 {ending}"
    )


@pytest.mark.parametrize(
    ("name", "others", "ending"),
    [
        ("B5B", ["baseB", "A5B", "A5B+"], "transfer.variant=BnB transfer.n=4"),
        ("A5B+", ["baseB", "A5B", "B5B"], "transfer.variant=AnB+ transfer.n=4"),
        ("R2A", ["baseA", "A2A", "B2A", "B2A+"], "transfer.variant=RnA transfer.n=1"),
    ],
)
def test_last_comes_the_same_kind_of_run_with_one_layer_less(
    finish: Finish, name: str, others: list[str], ending: str
):
    for other in others:
        finish(other, 0.9)

    assert proposed(finish(name, 0.8).run, WORDS) == (
        f"next, one layer less:\n  python -m transferlab +split=random train.epochs=2 {ending}"
    )


def test_below_one_layer_nothing_is_proposed(finish: Finish):
    for name in ("baseB", "B1B", "A1B+"):
        finish(name, 0.9)

    assert proposed(finish("A1B", 0.8).run, WORDS) == (
        "the store has everything to compare this run with"
    )


def test_proposed_overrides_survive_the_shell(finish: Finish):
    words = ["+split=random", "data.root=/my images/it's", "runtime.store=$HOME/a b", "seed=0"]

    command = proposed(finish("baseB", 0.9).run, words).splitlines()[1]

    assert command == (
        """  python -m transferlab +split=random 'data.root=/my images/it'"'"'s' """
        "'runtime.store=$HOME/a b' seed=0 transfer.variant=AnB transfer.n=3"
    )
    assert shlex.split(command)[3:-2] == words


@pytest.mark.parametrize(
    ("name", "labels"),
    [
        ("baseB", ["A3B", "B3B", "baseA"]),
        ("A2B", ["baseB", "B2B", "A2B+", "A1B"]),
        ("B1B+", ["baseB", "B1B", "A1B", "A1B+"]),
    ],
)
def test_following_every_proposal_ends(
    config: Callable[..., RunConfig], name: str, labels: list[str]
):
    assert labels_proposed(config, WORDS, name) == labels


@pytest.mark.parametrize(
    ("name", "labels"),
    [
        ("baseB", ["B3B"]),
        ("B2B", ["baseB", "B1B"]),
        ("B2B+", ["baseB", "B2B", "B1B+"]),
        ("R2B", ["baseB", "B2B", "R1B"]),
    ],
)
def test_on_the_whole_nothing_is_proposed_that_needs_half_a(
    config: Callable[..., RunConfig], name: str, labels: list[str]
):
    assert labels_proposed(config, ("+split=whole", "train.epochs=2"), name) == labels


def labels_proposed(config: Callable[..., RunConfig], words: Sequence[str], name: str) -> list[str]:
    """The runs that result from a variant and following every proposed command."""
    first = stored(config(*words, f"transfer.variant={name}"), 0.8)
    followed = []
    while (said := proposed(first.run, words)).startswith("next, "):
        overrides = shlex.split(said.splitlines()[1])[3:]
        followed.append(stored(config(*overrides), 0.8).run.label)
        assert len(followed) < 10
    assert said == "the store has everything to compare this run with"
    return followed


def proposed(run: Run, words: Sequence[str]) -> str:
    return "\n".join(summary.next_command(run, words))
