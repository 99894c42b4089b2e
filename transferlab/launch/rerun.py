"""A finished run trained again from its `config.json`, in another store, and compared.

What decides the result is that of the config. What only says where and how fast it is computed is
that of this machine, but for the devices and the number of threads: the last bits depend on them.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transferlab import store
from transferlab.errors import UserError
from transferlab.experiment.build import vary_config
from transferlab.experiment.compose import compose
from transferlab.experiment.config import RunConfig
from transferlab.experiment.identity import NEUTRAL, NOT_IN_ID, REVISION
from transferlab.experiment.interpolation import depends
from transferlab.experiment.keys import PATHS
from transferlab.experiment.resolve import resolve
from transferlab.experiment.run import RESULT, WEIGHTS
from transferlab.launch import inline
from transferlab.launch.inline import FinishedRun

if TYPE_CHECKING:
    from transferlab.training.comparison import Difference

log = logging.getLogger(__name__)
# Of the recorded `runtime`; the number of threads is in the record, also where `runtime` has none
RECORDED = ("accelerator", "devices", "compile", "memory_gb")
# What may explain other weights, in a record and in its config
FACTS = (
    "commit", "dirty", "device", "threads", "train_images", "val_images", "inference_sha256",
)  # fmt: skip


@dataclass(frozen=True)
class Rerun:
    """The record of a run, the same run trained again, and how the weights differ, if they do."""

    record: dict[str, Any]
    again: FinishedRun
    difference: "Difference | None"

    @property
    def changed(self) -> dict[str, tuple[Any, Any]]:
        """What else differs and may explain other weights: key -> value before and now."""
        before, now = (_facts(record) for record in (self.record, self.again.result))
        pairs = {key: (value, now[key]) for key, value in before.items() if key in now}
        return {key: pair for key, pair in pairs.items() if pair[0] != pair[1]}


def rerun(folder: Path, into: Path, changes: Mapping[str, Any]) -> Rerun:
    """Train the finished run in `folder` again, its base first, in the store `into`; compare.

    `changes` has values of keys that are not part of the id. A run that is finished in `into` is
    not trained again, and one that was interrupted resumes. A run of an earlier revision is trained
    by the rules of this one: that it has the same images cannot be checked.

    Raises: UserError if the folder is damaged, the run is not finished, or its images are missing
        or others; RunFailed; Interrupted.
    """
    record = store.read_copy(folder).values
    config = store.read_copied_config(folder, record["id"])
    weights = folder / WEIGHTS
    store.read_file(weights, record["weights_sha256"], record=folder / RESULT)
    _check(changes)
    here = {**_runtime(config, record), "runtime.store": str(into)}
    if config.revision != REVISION:
        log.warning(
            "%s is of revision %d, and this version trains by the rules of revision %d: another "
            "run, with other weights and an id of its own",
            folder,
            config.revision,
            REVISION,
        )
        # The rules of digests may be others as well
        here |= {"revision": REVISION, "data.digest": None, "split.digest": None}
    run = resolve(vary_config(config, {**here, **changes}))
    if run.folder.resolve() == folder.resolve():
        raise UserError(f"--into {into} is the store of {folder} itself: name another folder")
    (*_, again) = inline.carry_out([run])
    if again.result["weights_sha256"] == record["weights_sha256"]:
        return Rerun(record, again, None)
    from transferlab.training.comparison import first_difference  # torch: seconds

    return Rerun(record, again, first_difference(run, weights, run.weights_file))


def _check(changes: Mapping[str, Any]) -> None:
    """Raises: UserError for a key that is part of the id, for the store, and for a value that is
    not in the record: of other interpolations than a path from the environment."""
    for key, value in changes.items():
        if key == "runtime.store":
            raise UserError("runtime.store is the other store here: name it with --into DIR")
        if not key.startswith("runtime.") and key not in NOT_IN_ID:
            raise UserError(
                f"{key} is part of what identifies a run, which trains again as it is: change only "
                f"{', '.join(NOT_IN_ID)} and keys of runtime"
            )
        if "${" in str(value) and (depends(value) or key not in PATHS):
            raise UserError(f"{key}={value} is an interpolation: write the value")


def _runtime(config: RunConfig, record: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of this machine, and the recorded ones that the last bits depend on."""
    here = compose("config", ["+split=whole"])["runtime"]
    recorded = {name: getattr(config.runtime, name) for name in RECORDED}
    values = {**here, **recorded, "threads": record.get("threads")}
    return {f"runtime.{name}": value for name, value in values.items()}


def _facts(record: Mapping[str, Any]) -> dict[str, Any]:
    config = record["config"]
    facts = {"revision": config.get("revision", NEUTRAL["revision"])}
    facts |= {key: record[key] for key in FACTS if key in record}
    facts["skipped"] = record["skipped"] or None  # if none, an empty list or dict by revision
    facts |= {f"versions.{name}": value for name, value in record["versions"].items()}
    return facts | {f"runtime.{name}": config["runtime"].get(name) for name in RECORDED}
