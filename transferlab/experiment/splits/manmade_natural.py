"""Half A man-made, half B natural. Source: Yosinski et al. 2014, Sec. 4.2.

The groups are the authors' for the 1,000 WordNet ids of ILSVRC 2012; for other classes they come
from a file of the user's.
"""

import csv
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from pathlib import Path

from transferlab.errors import UserError
from transferlab.experiment.splits.split import Split, SplitRule, require_classes
from transferlab.runtime import commands, paths

GROUPS = ("manmade", "natural")  # half A, half B: the paper's letters
PUBLISHED_GROUPS = "ilsvrc2012_groups.csv"
GROUPS_FILE = "classes.csv"  # in data.root


def manmade_natural(
    classes: Sequence[str],
    groups: Mapping[str, str] | None = None,
    *,
    name: str = "manmade_natural",
) -> Split:
    """A = man-made, B = natural, by `groups` or, without it, by the authors' list of WordNet ids.

    `name` is that of the split in messages.

    Raises: UserError if a class has no group, or a half would have fewer than two classes.
    Source: Yosinski et al. 2014, Sec. 3: 551 man-made and 449 natural classes.
    """
    if groups is None:
        groups = published_groups()
    ungrouped = [each for each in classes if each not in groups]
    if ungrouped:
        raise UserError(
            f"split={name} has no group for {len(ungrouped)} of {len(classes)} classes "
            f"({_sample(ungrouped)}): only the 1,000 WordNet ids of ILSVRC 2012 are known; for "
            "other classes name a file with the columns class,group (manmade or natural) with "
            f"{commands.setting('split.groups', 'FILE')}, or put it into data.root as {GROUPS_FILE}"
        )
    halves = {group: tuple(c for c in classes if groups[c] == group) for group in GROUPS}
    split = Split(a=halves["manmade"], b=halves["natural"])
    return require_classes(split, name=name)


def read_groups(path: Path) -> dict[str, str]:
    """Class name to `manmade` or `natural`, from a CSV file with the columns class,group.

    Raises: UserError for a file that is missing, or has other columns or groups.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            if not {"class", "group"} <= set(reader.fieldnames or ()):
                raise UserError(f"{path} has the columns {reader.fieldnames}: it needs class,group")
            rows = [(_stripped(row["class"]), _stripped(row["group"])) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"split.groups={path} cannot be read: {error}") from error
    groups = dict(rows)
    if len(groups) < len(rows):
        names = [name for name, _ in rows]
        duplicate = next(name for name in names if names.count(name) > 1)
        raise UserError(f"{path} lists the class {duplicate!r} more than once")
    if not all(groups):
        raise UserError(f"{path} has a row without a class")
    unknown = sorted(set(groups.values()) - set(GROUPS))
    if unknown:
        raise UserError(f"{path} has the group {unknown[0]!r}: choose manmade or natural")
    return groups


@cache
def published_groups() -> Mapping[str, str]:
    """WordNet id to group, for the 1,000 classes of ILSVRC 2012, as the authors divided them."""
    text = (resources.files("transferlab.experiment.splits") / PUBLISHED_GROUPS).read_text("utf-8")
    rows = csv.DictReader(line for line in text.splitlines() if not line.startswith("#"))
    return {row["class"]: row["group"] for row in rows}


def _divide(
    classes: tuple[str, ...], *, seed: int | None, groups: str | None, root: str | None
) -> Split:
    return manmade_natural(classes, groups_of(classes, groups, root))


def groups_of(
    classes: Sequence[str], groups: str | None, root: str | None
) -> Mapping[str, str] | None:
    """The groups in the user's file or in that of the data set; None for the published ones.

    Raises: UserError as of `read_groups`.
    """
    path = _groups_file(classes, groups, root)
    return None if path is None else read_groups(path)


def _groups_file(classes: Sequence[str], groups: str | None, root: str | None) -> Path | None:
    """The user's file, else None for the published groups, else the file beside the images."""
    if groups is not None:
        return paths.expand(groups)
    if root is None or set(classes) <= published_groups().keys():
        return None
    path = paths.expand(root) / GROUPS_FILE
    return path if path.exists() else None


def _stripped(cell: str | None) -> str:
    return (cell or "").strip()


def _sample(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")


MANMADE_NATURAL = SplitRule(_divide, grouped=True)
