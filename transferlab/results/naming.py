"""Names of experiments for people: images, network, recipe, and what else tells them apart.

`tiny-imagenet-32 (200 classes, 90k images) alexnet_small small32 lr=0.05`. A recipe has the name of
the file in conf/train/ that it is, or is within a few keys of, with the keys in which it differs.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from transferlab.experiment.conf import CONF
from transferlab.runtime.escapes import escaped

RANDOM, WHOLE = "random", "whole"  # the paper's kind of split, and the one without an A
MANMADE_NATURAL, SIZE_MATCHED = "manmade_natural", "size_matched"
# What A and B are, by the kind of split; one's own has no words for it
TASKS = {
    RANDOM: "random halves",
    MANMADE_NATURAL: "man-made/natural",
    SIZE_MATCHED: "size-matched random",
    "datasets": "two data sets",
    "pretrained": "pre-trained network",
    WHOLE: "all classes",
}
LETTERS = 40  # of a folder's or a network's name, at most
DIFFERENT = 3  # keys in which a recipe may differ from the one that it is named after
OWN = "own recipe"
DIGITS = 8  # of a digest
UNSAID = ("", "null")  # a key that does not apply, or has no value
TRAIN = "train."
DIGEST = "data.digest"


@dataclass(frozen=True)
class NamedImages:
    """A data set; counts are None where unknown."""

    name: str
    classes: int | None
    images: int | None


@dataclass(frozen=True)
class Facts:
    """What a name is made of: the data set, the config's keys as text, and the name of the base's
    images or weights, where it is another."""

    images: NamedImages
    keys: Mapping[str, str]
    base: str | None = None


def names(experiments: Sequence[Facts]) -> list[str]:
    """A name for each, all different. Keys are added only to names that would be the same, the
    digest of the images last."""
    keys = list(experiments[0].keys) if experiments else []
    named = [_head(facts) for facts in experiments]
    for key in [*(key for key in keys if key != DIGEST), DIGEST]:
        if len(set(named)) == len(named):
            break
        values = [facts.keys[key] for facts in experiments]
        distinct = Counter(name for name, _ in set(zip(named, values, strict=True)))
        named = [
            name if distinct[name] == 1 or value in UNSAID else f"{name} {_assignment(key, value)}"
            for name, value in zip(named, values, strict=True)
        ]
    return named


def tasks(split: str) -> str:
    """What A and B are with this kind of split, in words."""
    return TASKS.get(split, escaped(split))


def count(number: int) -> str:
    """A count in three digits: `722`, `90k`, `1.28M`."""
    for unit, letter in ((1_000_000, "M"), (1_000, "k")):
        if number >= 0.9995 * unit:
            return f"{number / unit:.3g}{letter}"
    return str(number)


def _head(facts: Facts) -> str:
    words = [_described(facts.images), _short(facts.keys["model.name"]), _recipe(facts.keys)]
    return " ".join(words if facts.base is None else [f"{_short(facts.base)} to", *words])


def _described(data_set: NamedImages) -> str:
    """`photos (4 classes, 90k images)`."""
    counts = [
        f"{number} {noun}"
        for number, noun in (
            (data_set.classes, "classes"),
            (None if data_set.images is None else count(data_set.images), "images"),
        )
        if number is not None
    ]
    return _short(data_set.name) + (f" ({', '.join(counts)})" if counts else "")


def _recipe(keys: Mapping[str, str]) -> str:
    """`small32`, `small32 lr=0.05`, or OWN if it differs in more keys from every known recipe."""
    own = {key: _plain(value) for key, value in keys.items() if key.startswith(TRAIN)}
    nearest, fewest = OWN, DIFFERENT + 1
    for name in CONF.choices("train"):
        other = _known_recipe(name)
        different = [key for key, value in own.items() if value != other[key]]
        if len(different) < fewest:
            nearest = " ".join([name, *(_assignment(key, own[key]) for key in different)])
            fewest = len(different)
        if not different:
            break
    return nearest


@cache
def _known_recipe(name: str) -> Mapping[str, str]:
    """Every key of conf/train/NAME.yaml, as text."""
    return {
        f"{TRAIN}{leaf}": _plain("null" if value is None else str(value))
        for leaf, value in CONF.section("train", name).items()
    }


def _assignment(key: str, value: str) -> str:
    """`lr=0.02`; of a name `data=prepared`."""
    section, _, leaf = key.rpartition(".")
    shown = value[:DIGITS] if key == DIGEST else escaped(_plain(value))
    return f"{section if leaf == 'name' else leaf}={shown}"


def _plain(value: str) -> str:
    """The same text for the same number."""
    try:
        return f"{float(value):.10g}"
    except ValueError:
        return value


def _short(name: str) -> str:
    name = escaped(name)
    return name if len(name) <= LETTERS else f"{name[: LETTERS - 1]}\N{HORIZONTAL ELLIPSIS}"
