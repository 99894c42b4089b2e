"""The finished runs of an evaluation, as a command line names them: by folder, id or label."""

import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transferlab import store
from transferlab.errors import UserError
from transferlab.experiment import views
from transferlab.experiment.build import build_config
from transferlab.experiment.config import DataConfig, RunConfig
from transferlab.experiment.run import INFERENCE, RESULT
from transferlab.runtime import commands, paths, reading
from transferlab.runtime.reading import Damaged, Unreadable
from transferlab.store import trust
from transferlab.store.folders import RUN_FOLDER

log = logging.getLogger(__name__)
SHOWN = 8  # runs in a message


@dataclass(frozen=True)
class FinishedFolder:
    """The folder of a finished run, wherever it was copied to, its `result.json` and its config."""

    path: Path
    record: dict[str, Any]
    config: RunConfig

    @property
    def id(self) -> str:
        return str(self.record["id"])

    @property
    def label(self) -> str:
        return str(self.record["label"])

    @property
    def network(self) -> dict[str, str]:
        """The digests of what makes the network what it is: `NetworkRecord` of the store."""
        return {key: self.record[key] for key in ("weights_sha256", "inference_sha256")}

    @property
    def images(self) -> DataConfig:
        """The images that the run was validated on, and how it sees them."""
        return views.inputs(self.config)


def find(name: str, store_folder: Path) -> FinishedFolder:
    """The run in the folder `name`, or the one of the store with that id, folder or label.

    Raises: UserError if it is unknown, not finished, damaged, of a version that did not keep its
        preprocessing, of another user and names code; or if a label stands for several runs.
    """
    folder = paths.expand(name)
    if not reading.exists(folder / RESULT):
        if os.sep in name and reading.is_folder(folder):
            raise UserError(f"{folder} has no {RESULT}: it is not the folder of a finished run")
        folder = _in_store(name, store_folder)
    read = store.read_copy(folder)
    record = read.values
    if "inference_sha256" not in record:
        raise UserError(
            f"{folder} has no {INFERENCE}: an earlier version made it, which kept neither the "
            "classes nor the mean image. Train it again in this one: "
            + commands.line("rerun", str(folder))
        )
    config = build_config(record["config"], recorded=True)
    trust.require(folder / RESULT, read.owner, trust.of_configs([config]), folder=folder)
    return FinishedFolder(folder, record, config)


def all_of(store_folder: Path) -> list[FinishedFolder]:
    """Every finished run of a store, in the order of its folders; others are logged and left out.

    Raises: UserError if the store does not exist.
    """
    if not reading.is_folder(store_folder):
        raise UserError(f"the store {store_folder} does not exist: name another with --store DIR")
    found = []
    for folder in sorted(filter(RUN_FOLDER.fullmatch, store.folder_names(store_folder))):
        if reading.exists(store_folder / folder / RESULT):
            try:
                found.append(find(str(store_folder / folder), store_folder))
            except UserError as error:
                log.warning("left out: %s", error)
    return found


def _in_store(name: str, store_folder: Path) -> Path:
    if not reading.is_folder(store_folder):
        raise UserError(
            f"{name} is neither the folder of a run nor in the store {store_folder}, which does "
            "not exist: name another store with --store DIR"
        )
    folders = sorted(store.folder_names(store_folder))
    found = [folder for folder in folders if name in (folder, folder.rpartition("-")[2])]
    found = found or list(_with_label(name, store_folder, folders))
    if not found:
        raise UserError(
            f"no finished run of {store_folder} has the id or label {name}: "
            f"{commands.line('results', '--store', str(store_folder))} lists them"
        )
    if len(found) > 1:
        more = [f"and {len(found) - SHOWN} more"] if len(found) > SHOWN else []
        raise UserError(
            f"{len(found)} finished runs of {store_folder} have the label {name}: name one of "
            "them by its id",
            [*found[:SHOWN], *more],
        )
    return store_folder / found[0]


def _with_label(label: str, store_folder: Path, folders: list[str]) -> Iterator[str]:
    """The folders of finished runs with that label; damaged ones are none."""
    for folder in folders:
        if not folder.startswith(f"{label}-") or not RUN_FOLDER.fullmatch(folder):
            continue
        try:
            finished = store.read_finished(store_folder / folder)
        except (Damaged, Unreadable):
            continue
        if finished is not None and finished[0].label == label:
            yield folder
