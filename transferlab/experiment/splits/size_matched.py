"""Random classes for A and B, as many as are man-made and natural: the control of that split.

Where one group is much larger than the other, its base network has seen more images, and a
transfer differs from one between equal halves by this as well as by what the classes are. The
paper's groups, 551 and 449 classes, are nearly equal, and it compares them with equal halves.
"""

from collections.abc import Mapping, Sequence

from transferlab.experiment.splits.manmade_natural import groups_of, manmade_natural
from transferlab.experiment.splits.random import random_parts
from transferlab.experiment.splits.split import Split, SplitRule

NAME = "size_matched"


def size_matched(
    classes: Sequence[str], seed: int, groups: Mapping[str, str] | None = None
) -> Split:
    """A of as many classes as `manmade_natural` has in A, drawn as for random halves.

    Raises: UserError as of `manmade_natural`.
    """
    dissimilar = manmade_natural(classes, groups, name=NAME)
    return random_parts(classes, seed, len(dissimilar.a))


def _divide(
    classes: tuple[str, ...], *, seed: int | None, groups: str | None, root: str | None
) -> Split:
    assert seed is not None, "a config of split=size_matched has a seed"
    return size_matched(classes, seed, groups_of(classes, groups, root))


SIZE_MATCHED = SplitRule(_divide, seeded=True, grouped=True)
