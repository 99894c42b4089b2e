"""The classes of A and B: halves of a data set's, or those of two, as pure data; no image is read.

To add a split: a file in this folder with a `SplitRule`, a line in `SPLITS`, and
conf/split/NAME.yaml. A user's own is named `package.module:attribute`.
"""

from functools import cache

from transferlab.errors import UserError
from transferlab.experiment.splits.split import Split, SplitRule, require_classes
from transferlab.runtime import commands, plugins

__all__ = ["SPLITS", "Split", "SplitRule", "divide", "missing_split", "second_unused", "split_rule"]

SPLITS = {
    "random": "transferlab.experiment.splits.random:RANDOM",
    "manmade_natural": "transferlab.experiment.splits.manmade_natural:MANMADE_NATURAL",
    "size_matched": "transferlab.experiment.splits.size_matched:SIZE_MATCHED",
    "whole": "transferlab.experiment.splits.whole:WHOLE",
    "datasets": "transferlab.experiment.splits.datasets:DATASETS",
    "pretrained": "transferlab.experiment.splits.pretrained:PRETRAINED",
}


@cache
def split_rule(name: str) -> SplitRule:
    """The rule of the split `name`. Raises: UserError for an unknown name."""
    rule = plugins.function("split.name", SPLITS.get(name, name), known=SPLITS)
    if not isinstance(rule, SplitRule):
        raise UserError(f"split.name={name} is a {type(rule).__name__}: it must be a SplitRule")
    return rule


def divide(
    name: str,
    classes: tuple[str, ...],
    *,
    seed: int | None,
    groups: str | None,
    root: str | None,
    second: tuple[str, ...] | None = None,
) -> Split:
    """The halves of the classes by the split `name`; arguments as of `Divide`. `second`: the
    classes of A, where A is a data set of its own.

    Raises: UserError for classes that cannot be divided, and a rule of one's own that fails or does
        not divide them.
    """
    rule = split_rule(name)
    with plugins.guarded("split.name", name, known=SPLITS):
        split = rule.divide(classes, seed=seed, groups=groups, root=root)
    plugins.require(Split, split, "split.name", name)
    chosen = [*split.a, *split.b]
    if len({*chosen}) < len(chosen) or not {*chosen} <= {*classes}:
        raise UserError(f"split.name={name} has halves that overlap or hold unknown classes")
    if rule.second:
        assert second is not None, "a config of such a split has the data set of A"
        split = Split(a=second, b=split.b)
    return require_classes(split, name=name, halves="B" if rule.weights else rule.halves)


def second_unused() -> str:
    """The message for a data set of A in a split that divides one data set."""
    users = [known for known in SPLITS if split_rule(known).second or split_rule(known).weights]
    choices = " or ".join(commands.setting("split", known) for known in users)
    return f"split.a is used only by {choices}: choose one, or omit split.a"


def missing_split() -> str:
    """The message for a run without a split."""
    return (
        f"missing split: choose {' or '.join(commands.setting('+split', name) for name in SPLITS)}"
    )
