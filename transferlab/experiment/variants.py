"""The paper's notation for networks: `A3B`, `B5B+`, `R2A`, `baseB`, and its meaning.

Yosinski et al. 2014, Sec. 2: AnB is a network for B whose first n stages come from the network
for A and stay frozen; with `+` they are fine-tuned; BnB is the selffer control; R stands for
untrained stages. The number of stages of a model is not known here: see `models.facts.check_cut`.
"""

import re
from dataclasses import dataclass

from transferlab.errors import UserError
from transferlab.runtime import commands

RANDOM = "R"
HALVES = ("A", "B")
PATTERNS = (
    "base", "AnB", "BnB", "AnB+", "BnB+", "BnA", "AnA", "BnA+", "AnA+", "RnA", "RnB",
)  # fmt: skip
_NOTATION = re.compile(r"(?P<base>[ABR])(?P<n>n|\d+)(?P<target>[AB])(?P<plus>\+?)")


@dataclass(frozen=True)
class Variant:
    """A network of the experiment. `base` is None if and only if n is 0."""

    base: str | None
    target: str
    n: int
    fine_tuned: bool

    @property
    def frozen(self) -> bool:
        return self.n > 0 and not self.fine_tuned

    @property
    def selffer(self) -> bool:
        """True for BnB and AnA: base and target are the same half."""
        return self.base == self.target


def parse(text: str, *, n: int | None = None, target: str | None = None) -> Variant:
    """The variant that `text` names: `A3B+` by itself, `AnB+` together with n, `base` with target.

    With n = 0 nothing is copied, so every pattern means the base network of its target.

    Raises: UserError for a name that is not in the notation, lacks a part or contradicts another.
    """
    if text in ("base", "baseA", "baseB"):
        return _base_network(text, n=n, target=target)
    match = _NOTATION.fullmatch(text)
    if match is None:
        raise UserError(
            f"unknown transfer.variant={text}: choose one of {' '.join(PATTERNS)}, or one with "
            "its number, as A3B+"
        )
    if match["n"] == "n" and n is None:
        raise UserError(
            f"missing transfer.n: transfer.variant={text} needs it, as "
            f"{commands.setting('transfer.n', 3)}"
        )
    if match["n"] != "n" and n is not None and int(match["n"]) != n:
        raise UserError(f"transfer.n={n} contradicts transfer.variant={text}: set one of them")
    if target is not None and target != match["target"]:
        raise UserError(f"transfer.target={target} contradicts transfer.variant={text}")
    cut = n if match["n"] == "n" else int(match["n"])
    assert cut is not None
    if cut < 0:
        raise UserError(f"transfer.n={cut} must be at least 0")
    if match["base"] == RANDOM and match["plus"]:
        raise UserError(
            f"unknown transfer.variant={text}: untrained stages that learn make a base network, "
            f"{commands.setting('transfer.variant', 'base' + match['target'])}"
        )
    if cut == 0:
        return Variant(base=None, target=match["target"], n=0, fine_tuned=False)
    return Variant(match["base"], match["target"], cut, fine_tuned=bool(match["plus"]))


def patterns_of(halves: str) -> tuple[str, ...]:
    """The variants that need no half but these: `base BnB BnB+ RnB` of `B`."""
    others = {letter for letter in HALVES if letter not in halves}
    return tuple(pattern for pattern in PATTERNS if not others & {*pattern})


def label(variant: Variant) -> str:
    """The variant's name with n filled in: `baseB`, `A3B`, `B5B+`, `R2A`."""
    if variant.n == 0:
        return f"base{variant.target}"
    return f"{variant.base}{variant.n}{variant.target}{'+' if variant.fine_tuned else ''}"


def _base_network(text: str, *, n: int | None, target: str | None) -> Variant:
    letter = text[4:] or target
    if letter is None:
        raise UserError(
            "missing transfer.target: transfer.variant=base needs A or B, "
            f"as {commands.setting('transfer.target', 'B')}"
        )
    if letter not in HALVES:
        raise UserError(f"unknown transfer.target={letter}: choose A or B")
    if target is not None and target != letter:
        raise UserError(f"transfer.target={target} contradicts transfer.variant={text}")
    if n:
        raise UserError(
            f"transfer.n={n} contradicts transfer.variant={text}: a base network has n = 0"
        )
    return Variant(base=None, target=letter, n=0, fine_tuned=False)
