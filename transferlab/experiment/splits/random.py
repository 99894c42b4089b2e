"""Random halves. Source: Yosinski et al. 2014, Sec. 4.1.

Those of the 1,000 ImageNet classes for seeds 0 to 3 are the authors' own.
"""

import random
from collections.abc import Sequence

from transferlab.experiment.splits.split import Split, SplitRule, require_classes


def random_halves(classes: Sequence[str], seed: int) -> Split:
    """Halves drawn as the authors drew theirs; with an odd count, B has one class more.

    Raises: UserError if a half would have fewer than two classes.
    Source: yosinski/convnet_transfer, half*A and half*B; md5 sums of the halves in the tests.
    """
    return require_classes(random_parts(classes, seed, len(classes) // 2), name="random")


def random_parts(classes: Sequence[str], seed: int, count: int) -> Split:
    """A of `count` classes, and B of the others.

    A Fisher-Yates shuffle from the end, each position by rejection from the low bits of MT19937,
    which is seeded with the one-element list [seed] as Python's own generator is. Equal to
    numpy's `RandomState([seed]).choice(len(classes), count, replace=False)`.
    """
    generator = random.Random(seed)
    order = list(range(len(classes)))
    for i in range(len(order) - 1, 0, -1):
        mask = (1 << i.bit_length()) - 1
        j = generator.getrandbits(32) & mask
        while j > i:
            j = generator.getrandbits(32) & mask
        order[i], order[j] = order[j], order[i]
    return Split(
        a=tuple(classes[i] for i in sorted(order[:count])),
        b=tuple(classes[i] for i in sorted(order[count:])),
    )


def _divide(
    classes: tuple[str, ...], *, seed: int | None, groups: str | None, root: str | None
) -> Split:
    assert seed is not None, "a config of split=random has a seed"
    return random_halves(classes, seed)


RANDOM = SplitRule(_divide, seeded=True)
