"""`pytest --light`: a test that imports torch, or what draws or runs a notebook, is skipped."""

import importlib.abc
import re
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

import pytest

HEAVY = (
    "torch", "torchvision", "pytorch_lightning", "lightning_fabric", "matplotlib", "nbclient",
)  # fmt: skip


IMPORT = re.compile(rf"^(?:import|from) (?:{'|'.join(HEAVY)})\b", re.MULTILINE)


class Refusal(importlib.abc.MetaPathFinder):
    """Skips the test, or the module of tests, that imports one of HEAVY."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name.partition(".")[0] in HEAVY:
            pytest.skip(f"needs {name.partition('.')[0]}", allow_module_level=True)
        return None


def is_imported_by(path: Path) -> bool:
    """Whether a module imports one of HEAVY itself, so that it need not even be compiled."""
    return IMPORT.search(path.read_text()) is not None


def refuse() -> None:
    """Refuse HEAVY from now on."""
    sys.meta_path.insert(0, Refusal())


def require() -> None:
    """Skip the test if torch is refused, for a test whose child process imports it."""
    if any(isinstance(finder, Refusal) for finder in sys.meta_path):
        pytest.skip("needs torch")
