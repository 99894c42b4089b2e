"""The division of a data set's classes into halves A and B, as pure data; no image is read.

To add a split: a file in this folder with a `SplitRule`, a line in `SPLITS`, and
conf/split/NAME.yaml. A user's own is named `package.module:attribute`.
"""

from functools import cache

from transferlab.errors import UserError
from transferlab.experiment.splits.split import Split, SplitRule
from transferlab.runtime import commands, plugins

__all__ = ["SPLITS", "Split", "SplitRule", "missing_split", "split_rule"]

SPLITS = {
    "random": "transferlab.experiment.splits.random:RANDOM",
    "manmade_natural": "transferlab.experiment.splits.manmade_natural:MANMADE_NATURAL",
    "whole": "transferlab.experiment.splits.whole:WHOLE",
}


@cache
def split_rule(name: str) -> SplitRule:
    """The rule of the split `name`. Raises: UserError for an unknown name."""
    rule = plugins.function("split.name", SPLITS.get(name, name), known=SPLITS)
    if not isinstance(rule, SplitRule):
        raise UserError(f"split.name={name} is a {type(rule).__name__}: it must be a SplitRule")
    return rule


def missing_split() -> str:
    """The message for a run without a split."""
    return (
        f"missing split: choose {' or '.join(commands.setting('+split', name) for name in SPLITS)}"
    )
