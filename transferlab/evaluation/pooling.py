"""The settings of the protocol `chatfield2014`: among them, how views of an image become samples.

Chatfield et al. 2014 (arXiv:1405.3531), Sec. 3.2 and Table 2, write `(C) f s`: which views (here
`--crops`: flip is F, ten is C), and two letters (`--pooling fs`) for training and test. `f`: each
view is a sample of its own; `s`: their sum; `m`: their maximum; `t`: stacked, one after the other;
`-`: the centre view alone. Imports no torch.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from transferlab.errors import UserError
from transferlab.evaluation import crops
from transferlab.evaluation.runs import FinishedFolder

FLAT, SUM, MAXIMUM, STACKED, CENTRE = "fsmt-"
CODES = ("fs", "fm", "f-", "ss", "sm", "s-", "mm", "ms", "m-", "tt", "-s", "-m")  # training, test
USUAL = "fs"  # of the paper's best rows
DEFAULTS: Mapping[str, Any] = {
    "stage": None, "crops": None, "scales": None, "pooling": None, "l2": True, "grey": False,
}  # fmt: skip


def check(settings: Mapping[str, Any], runs: Sequence[FinishedFolder]) -> dict[str, Any]:
    """The settings with the centre crop, or `fs` for several views, where nothing is chosen.

    Raises: UserError for several runs at once, a pooling that is unknown or has nothing to pool,
        several test scales, and as `crops.check`.
    """
    if len(runs) > 1:
        raise UserError(
            "--average averages posteriors, and --protocol chatfield2014 has none: omit it, and "
            "every run has SVMs of its own"
        )
    looked = crops.check({**settings, "dense": False}, runs)
    kind, scales, pooling = looked["crops"], looked["scales"], settings["pooling"]
    if scales and len(scales) > 1:
        raise UserError(
            f"--scales {','.join(map(str, scales))} are several: --protocol chatfield2014 takes one"
        )
    if kind == "centre" and pooling is not None:
        raise UserError(
            f"--pooling {pooling} has nothing to pool: --crops centre is one view; choose flip, "
            "ten or grid"
        )
    if kind != "centre" and (pooling := pooling or USUAL) not in CODES:
        raise UserError(f"--pooling {pooling} is unknown: choose one of {', '.join(CODES)}")
    return {**settings, "crops": kind, "scales": scales, "pooling": pooling}


def describe(settings: Mapping[str, Any]) -> str:
    """The settings in words: `SVMs on fc7, L2-normalised, 10 crops pooled f s`."""
    words = [
        f"SVMs on {settings['stage'] or 'the last stage before the classifier'}",
        "L2-normalised" if settings["l2"] else "not normalised",
        crops.describe({**settings, "dense": False, "subset": "val"}),
    ]
    if settings["pooling"]:
        words[-1] += f" pooled {' '.join(settings['pooling'])}"
    return ", ".join([*words, *(["grey"] if settings["grey"] else [])])
