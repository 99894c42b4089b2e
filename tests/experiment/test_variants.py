"""The paper's notation: every name parses and prints back, and every mistake says what to do."""

import dataclasses

import pytest

from transferlab.errors import UserError
from transferlab.experiment import variants
from transferlab.experiment.variants import Variant, label, parse

# pattern, its label with n = 3, base, target, fine_tuned
NAMES = [
    ("AnB", "A3B", "A", "B", False),
    ("BnB", "B3B", "B", "B", False),
    ("AnB+", "A3B+", "A", "B", True),
    ("BnB+", "B3B+", "B", "B", True),
    ("BnA", "B3A", "B", "A", False),
    ("AnA", "A3A", "A", "A", False),
    ("BnA+", "B3A+", "B", "A", True),
    ("AnA+", "A3A+", "A", "A", True),
    ("RnA", "R3A", "R", "A", False),
    ("RnB", "R3B", "R", "B", False),
]


def test_patterns_are_the_base_network_and_the_ten_names_tested_here():
    assert set(variants.PATTERNS) == {"base", *(pattern for pattern, *_ in NAMES)}
    assert len(variants.PATTERNS) == 11


@pytest.mark.parametrize(("pattern", "name", "base", "target", "fine_tuned"), NAMES)
def test_every_name_parses_and_prints_back_with_n_filled_in(
    pattern: str, name: str, base: str, target: str, fine_tuned: bool
):
    variant = parse(pattern, n=3)

    assert variant == Variant(base=base, target=target, n=3, fine_tuned=fine_tuned)
    assert label(variant) == name
    assert parse(name) == variant
    assert parse(name, n=3, target=target) == variant


@pytest.mark.parametrize("target", ["A", "B"])
def test_base_network_parses_from_its_letter_or_its_target(target: str):
    expected = Variant(base=None, target=target, n=0, fine_tuned=False)

    assert parse("base", target=target) == expected
    assert parse("base", target=target, n=0) == expected
    assert parse(f"base{target}") == expected
    assert parse(f"base{target}", n=0, target=target) == expected
    assert label(expected) == f"base{target}"


@pytest.mark.parametrize(("pattern", "target"), [(name, target) for name, _, _, target, _ in NAMES])
def test_with_n_zero_every_name_is_the_base_network_of_its_target(pattern: str, target: str):
    expected = Variant(base=None, target=target, n=0, fine_tuned=False)

    assert parse(pattern, n=0) == expected
    assert parse(pattern.replace("n", "0")) == expected


def test_n_may_have_two_digits():
    assert parse("A12B+") == Variant(base="A", target="B", n=12, fine_tuned=True)
    assert label(parse("A12B+")) == "A12B+"


@pytest.mark.parametrize(
    ("name", "frozen", "selffer"),
    [
        ("baseA", False, False),
        ("A3B", True, False),
        ("A3B+", False, False),
        ("B5B", True, True),
        ("B5B+", False, True),
        ("A1A", True, True),
        ("R2A", True, False),
    ],
)
def test_frozen_and_selffer_are_what_the_paper_calls_so(name: str, frozen: bool, selffer: bool):
    assert parse(name).frozen is frozen
    assert parse(name).selffer is selffer


def test_a_variant_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        parse("A3B").n = 4  # type: ignore[misc]


@pytest.mark.parametrize("text", ["", "A", "AnC", "CnB", "A3", "3B", "a3b", "AnR", "AnB++", " A3B"])
def test_an_unknown_variant_is_refused_with_the_known_ones(text: str):
    with pytest.raises(UserError) as error:
        parse(text, n=3)

    assert str(error.value) == (
        f"unknown transfer.variant={text}: choose one of base AnB BnB AnB+ BnB+ BnA AnA "
        "BnA+ AnA+ RnA RnB, or one with its number, as A3B+"
    )


@pytest.mark.parametrize(
    ("text", "n", "target", "message"),
    [
        ("AnB", None, None, "missing transfer.n: transfer.variant=AnB needs it, as transfer.n=3"),
        ("A3B", 4, None, "transfer.n=4 contradicts transfer.variant=A3B: set one of them"),
        ("A3B", 0, None, "transfer.n=0 contradicts transfer.variant=A3B: set one of them"),
        ("AnB", 3, "A", "transfer.target=A contradicts transfer.variant=AnB"),
        ("AnB", 0, "A", "transfer.target=A contradicts transfer.variant=AnB"),
        ("AnB", -1, None, "transfer.n=-1 must be at least 0"),
        (
            "R3A+",
            None,
            None,
            "unknown transfer.variant=R3A+: untrained stages that learn make a base network, "
            "transfer.variant=baseA",
        ),
        (
            "RnB+",
            3,
            None,
            "unknown transfer.variant=RnB+: untrained stages that learn make a base network, "
            "transfer.variant=baseB",
        ),
        (
            "base",
            None,
            None,
            "missing transfer.target: transfer.variant=base needs A or B, as transfer.target=B",
        ),
        ("base", None, "C", "unknown transfer.target=C: choose A or B"),
        ("baseA", None, "B", "transfer.target=B contradicts transfer.variant=baseA"),
        (
            "base",
            3,
            "B",
            "transfer.n=3 contradicts transfer.variant=base: a base network has n = 0",
        ),
        (
            "baseB",
            -1,
            None,
            "transfer.n=-1 contradicts transfer.variant=baseB: a base network has n = 0",
        ),
    ],
)
def test_a_mistake_is_refused_by_message(
    text: str, n: int | None, target: str | None, message: str
):
    with pytest.raises(UserError) as error:
        parse(text, n=n, target=target)

    assert str(error.value) == message
