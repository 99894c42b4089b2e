"""Training with Lightning: modules and data modules of one network, packs of runs, finished runs.

May import: errors, runtime, models, data, experiment, store.

For a notebook: `TransferModule`, `HalfDataModule` and `Recipe`, imported at their first use.
"""

from importlib import import_module
from typing import Any

from transferlab.runtime import deferred

deferred.install()

PUBLIC = {"HalfDataModule": "datamodule", "Recipe": "recipe", "TransferModule": "module"}


def __getattr__(name: str) -> Any:
    if name not in PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{PUBLIC[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *PUBLIC])
