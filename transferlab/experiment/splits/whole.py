"""All classes as half B: for the paper's networks that are trained on all classes.

Source: Yosinski et al. 2014, Fig. 3 (random filters) and base1000; yosinski/convnet_transfer,
netbase, nolearn_1_* and reduced-*.
"""

from collections.abc import Sequence

from transferlab.experiment.splits.split import Split, SplitRule, require_classes


def whole(classes: Sequence[str]) -> Split:
    """All classes as half B; half A is empty. Raises: UserError for fewer than two classes."""
    return require_classes(Split(a=(), b=tuple(classes)), name="whole", halves="B")


def all_classes(
    classes: tuple[str, ...], *, seed: int | None, groups: str | None, root: str | None
) -> Split:
    """`whole`, as a rule calls it."""
    return whole(classes)


WHOLE = SplitRule(all_classes, halves="B")
