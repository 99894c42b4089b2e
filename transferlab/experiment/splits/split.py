"""The classes of A and B, and the interface of a rule that divides those of a data set."""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

from transferlab.errors import UserError


@dataclass(frozen=True)
class Split:
    """Two sets of class names, each in the order of its data set's class list.

    Disjoint where both are of one data set. A is empty for `split=whole`.
    """

    a: tuple[str, ...]
    b: tuple[str, ...]

    def half(self, letter: str) -> tuple[str, ...]:
        """The classes of half `A` or `B`; their positions are the labels of that half."""
        return {"A": self.a, "B": self.b}[letter]

    @cached_property
    def digest(self) -> str:
        """sha256 over the names and order of both halves, as 64 hexadecimal digits."""
        text = "\n".join(self.a) + "\n\n" + "\n".join(self.b) + "\n"
        return hashlib.sha256(text.encode()).hexdigest()


class Divide(Protocol):
    def __call__(
        self, classes: tuple[str, ...], *, seed: int | None, groups: str | None, root: str | None
    ) -> Split:
        """The halves of the classes.

        `seed` is None unless the rule is seeded; `groups` and `root` are `split.groups`, a file,
        and `data.root`. Raises: UserError for classes that cannot be divided.
        """


@dataclass(frozen=True)
class SplitRule:
    """A way to divide classes. `halves`: the letters with classes.

    `seeded`: it needs `split.seed`; `grouped`: it uses `split.groups`; `second`: A is a data set of
    its own, `split.a`, and `divide` gives the classes of B alone. `weights`: A is a network
    that was trained elsewhere, `split.weights`, and only a base.
    """

    divide: Divide
    seeded: bool = False
    halves: str = "AB"
    grouped: bool = False
    second: bool = False
    weights: bool = False


def require_classes(split: Split, *, name: str, halves: str = "AB") -> Split:
    """The split. Raises: UserError if one of the halves has fewer than two classes."""
    for letter in halves:
        count = len(split.half(letter))
        if count < 2:
            noun = "class" if count == 1 else "classes"
            raise UserError(
                f"half {letter} of split={name} has {count} {noun}: a half needs at least 2"
            )
    return split
