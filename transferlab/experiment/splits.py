"""The division of a data set's classes into halves A and B, as pure data.

Yosinski et al. 2014, Sec. 2 and 3: random halves, and man-made (A) against natural (B); `whole`,
all classes, for its networks that divide nothing. The random halves of the 1,000 ImageNet classes
for seeds 0 to 3 are the authors' own, and so is the list of man-made classes. No images are
touched here.
"""

import csv
import hashlib
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from importlib import resources
from pathlib import Path

from transferlab.errors import UserError

NAMES = ("random", "manmade_natural", "whole")
GROUPS = ("manmade", "natural")  # half A, half B: the paper's letters
PUBLISHED_GROUPS = "ilsvrc2012_groups.csv"


def missing_split() -> str:
    """The message for a run without a split."""
    return f"missing split: choose {' or '.join(f'+split={name}' for name in NAMES)}"


@dataclass(frozen=True)
class Split:
    """Two disjoint sets of class names, each in the order of the data set's class list.

    Half A is empty where nothing is divided.
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


def random_halves(classes: Sequence[str], seed: int) -> Split:
    """Halves drawn as the authors drew theirs; with an odd count, B has one class more.

    A Fisher-Yates shuffle from the end, each position by rejection from the low bits of MT19937,
    which is seeded with the one-element list [seed] as Python's own generator is. Equal to
    numpy's `RandomState([seed]).choice(len(classes), len(classes) // 2, replace=False)`.

    Raises: UserError if a half would have fewer than two classes.
    Source: yosinski/convnet_transfer, half*A and half*B; md5 sums of the halves in the tests.
    """
    generator = random.Random(seed)
    order = list(range(len(classes)))
    for i in range(len(order) - 1, 0, -1):
        mask = (1 << i.bit_length()) - 1
        j = generator.getrandbits(32) & mask
        while j > i:
            j = generator.getrandbits(32) & mask
        order[i], order[j] = order[j], order[i]
    middle = len(order) // 2
    return _checked(
        "random",
        Split(
            a=tuple(classes[i] for i in sorted(order[:middle])),
            b=tuple(classes[i] for i in sorted(order[middle:])),
        ),
    )


def manmade_natural(classes: Sequence[str], groups: Mapping[str, str] | None = None) -> Split:
    """A = man-made, B = natural, by `groups` or, without it, by the authors' list of WordNet ids.

    Raises: UserError if a class has no group, or a half would have fewer than two classes.
    Source: Yosinski et al. 2014, Sec. 3: 551 man-made and 449 natural classes.
    """
    chosen = published_groups() if groups is None else groups
    lost = [name for name in classes if name not in chosen]
    if lost:
        raise UserError(
            f"split=manmade_natural has no group for {len(lost)} of {len(classes)} classes "
            f"({_some(lost)}): only the 1,000 WordNet ids of ILSVRC 2012 are known; for other "
            "classes put a classes.csv with the columns class,group (manmade or natural) into "
            "data.root, or name one with split.groups=FILE"
        )
    halves = {group: tuple(c for c in classes if chosen[c] == group) for group in GROUPS}
    return _checked("manmade_natural", Split(a=halves["manmade"], b=halves["natural"]))


def whole(classes: Sequence[str]) -> Split:
    """All classes as half B, and half A empty: nothing is divided.

    Raises: UserError for fewer than two classes.
    Source: Yosinski et al. 2014, Fig. 3 (random filters) and base1000; yosinski/convnet_transfer,
    netbase, nolearn_1_* and reduced-*.
    """
    return _checked("whole", Split(a=(), b=tuple(classes)), "B")


def read_groups(path: Path) -> dict[str, str]:
    """Class name to `manmade` or `natural`, from a CSV file with the columns class,group.

    Raises: UserError for a file that is missing, or has other columns or groups.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            if not {"class", "group"} <= set(reader.fieldnames or ()):
                raise UserError(f"{path} has the columns {reader.fieldnames}: need class,group")
            rows = [(_word(row["class"]), _word(row["group"])) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"split.groups={path} cannot be read: {error}") from error
    groups = dict(rows)
    if len(groups) < len(rows):
        twice = next(name for name, _ in rows if [n for n, _ in rows].count(name) > 1)
        raise UserError(f"{path} lists the class {twice!r} more than once")
    if not all(groups):
        raise UserError(f"{path} has a row without a class")
    wrong = sorted(set(groups.values()) - set(GROUPS), key=str)
    if wrong:
        raise UserError(f"{path} has the group {wrong[0]!r}: choose manmade or natural")
    return groups


@cache
def published_groups() -> Mapping[str, str]:
    """WordNet id to group, for the 1,000 classes of ILSVRC 2012, as the authors divided them."""
    text = (resources.files("transferlab.experiment") / PUBLISHED_GROUPS).read_text("utf-8")
    rows = csv.DictReader(line for line in text.splitlines() if not line.startswith("#"))
    return {row["class"]: row["group"] for row in rows}


def _checked(name: str, split: Split, letters: str = "AB") -> Split:
    for letter in letters:
        half = split.half(letter)
        if len(half) < 2:
            raise UserError(
                f"half {letter} of split={name} has {len(half)} "
                f"{'class' if len(half) == 1 else 'classes'}: a half needs 2 or more"
            )
    return split


def _word(cell: str | None) -> str:
    return (cell or "").strip()


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
