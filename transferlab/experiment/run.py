"""One run: a resolved config, one trained network, one folder in a store.

Made by `resolve` from a config, or by the store from a record, and passed on through plan, store,
launch and training. Its id, base and folder follow from the config alone. Touches no disk.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from transferlab.experiment.build import vary_config
from transferlab.experiment.config import RunConfig, TransferConfig
from transferlab.experiment.identity import Identity
from transferlab.experiment.splits import Split
from transferlab.runtime import paths

CONFIG = "config.json"
RESULT = "result.json"
FAILURE = "failure.json"
LOG = "log.txt"
# What the network of a finished run needs to be used, in any folder: see `training.inference`
WEIGHTS = "weights.safetensors"
MEAN = "mean.safetensors"
INFERENCE = "inference.json"


@dataclass(frozen=True, slots=True)
class Run:
    """A run, and its base run, if any.

    `split` has the classes of both halves; None for a run that was read from a store and has not
    been compared with the images since (see `resolve`).
    """

    id: str
    base: "Run | None"
    config: RunConfig
    split: Split | None

    @property
    def label(self) -> str:
        """`A3B`; with stages copied after the cut `A3B-keep2`."""
        return self.config.label

    @property
    def base_id(self) -> str | None:
        return None if self.base is None else self.base.id

    @property
    def plugins(self) -> tuple[str, ...]:
        """The functions of a user's own that it is trained with: `package.module:attribute`."""
        config, second = self.config, self.config.split.a
        names = [config.data.name, config.model.name, config.split.name]
        names += [] if second is None else [second.name]
        return tuple(name for name in names if ":" in name)

    def half(self, letter: str) -> tuple[str, ...]:
        """The classes of half `A` or `B`, in the order of its labels."""
        assert self.split is not None, f"{self.label} {self.id} has not been resolved"
        return self.split.half(letter)

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes that the run learns: those of its target half."""
        return self.half(self.config.variant.target)

    @property
    def num_outputs(self) -> int:
        """The outputs of its network: one for each class, unless the config asks for more."""
        return self.config.model.num_outputs or len(self.classes)

    @property
    def folder_name(self) -> str:
        """`A3B-random0-alexnet-0123456789ab`."""
        parts = (self.label, self.config.split_label, self.config.model.name)
        return "-".join((*map(_file_name, parts), self.id))

    @property
    def folder(self) -> Path:
        return paths.expand(self.config.runtime.store) / self.folder_name

    @property
    def config_file(self) -> Path:
        return self.folder / CONFIG

    @property
    def log_file(self) -> Path:
        return self.folder / LOG

    @property
    def metrics_file(self) -> Path:
        """The whole curve, a row for each validation."""
        return self.folder / "metrics.csv"

    @property
    def checkpoint_file(self) -> Path:
        """Exists while the run is trained."""
        return self.folder / "last.ckpt"

    @property
    def weights_file(self) -> Path:
        return self.folder / WEIGHTS

    @property
    def mean_file(self) -> Path:
        """The mean image that is subtracted from every input, if one is."""
        return self.folder / MEAN

    @property
    def inference_file(self) -> Path:
        """The classes in the order of the labels, and the preprocessing."""
        return self.folder / INFERENCE

    @property
    def result_file(self) -> Path:
        """Exists if and only if the run is finished."""
        return self.folder / RESULT

    @property
    def failure_file(self) -> Path:
        """Why the last attempt stopped, if it failed."""
        return self.folder / FAILURE

    @property
    def owner_file(self) -> Path:
        """The process that trains the run now, and its progress."""
        return self.folder / "owner.json"

    @property
    def lock_file(self) -> Path:
        return self.folder / "lock"

    def in_store(self, store: Path) -> "Run":
        """The same run in another store, its base too."""
        base = None if self.base is None else self.base.in_store(store)
        runtime = replace(self.config.runtime, store=str(store))
        return replace(self, base=base, config=replace(self.config, runtime=runtime))

    def sibling(self, transfer: TransferConfig) -> "Run":
        """The run with another variant or cut, and all else the same. Raises: UserError."""
        changes = {f"transfer.{name}": value for name, value in vars(transfer).items()}
        return make_run(vary_config(self.config, changes), self.split)


class Siblings:
    """Makes runs that differ in `transfer` only, with the same halves as base and target.

    What they have in common, their base included, is worked out once.
    """

    def __init__(self, config: RunConfig, split: Split | None = None) -> None:
        """`config` is that of one of them, with its digests; `split`: their halves, if known."""
        self._config, self._split, self._identity = config, split, Identity(config)
        base = self._identity.base
        self._base = None if base is None else Run(base[0], None, base[1], split)

    def run(self, transfer: TransferConfig) -> Run:
        config = self._config.with_sections({"transfer": transfer})
        return Run(self._identity.run_id(transfer), self._base, config, self._split)


class RunMaker:
    """Makes the runs of many configs; those that share their sections are siblings.

    `complete` gives a config its digests, and its halves if they are known. It may not depend on
    more of `transfer` than the halves.
    """

    def __init__(self, complete: Callable[[RunConfig], tuple[RunConfig, Split | None]]) -> None:
        self._complete = complete
        # With a config whose sections have these ids, so that no others get them
        self._siblings: dict[tuple[object, ...], tuple[Siblings, RunConfig]] = {}

    def run(self, config: RunConfig) -> Run:
        """Raises: as `complete`."""
        variant = config.variant
        key = (
            config.revision, config.seed, id(config.split), id(config.data), id(config.model),
            id(config.train), id(config.runtime), variant.base, variant.target,
        )  # fmt: skip
        known = self._siblings.get(key)
        if known is None:
            known = self._siblings[key] = Siblings(*self._complete(config)), config
        return known[0].run(config.transfer)


def make_run(config: RunConfig, split: Split | None = None) -> Run:
    """The run of a config that has its digests. `split`: its halves, where they are known."""
    return Siblings(config, split).run(config.transfer)


@lru_cache(maxsize=16_384)
def _file_name(part: str) -> str:
    """The text with the characters that a folder name cannot have replaced."""
    return re.sub(r"[^\w.+-]+", "_", part).lstrip(".")
