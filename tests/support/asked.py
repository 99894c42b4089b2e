"""Asking finished runs by the command, and what their records have."""

import json
from pathlib import Path
from typing import Any

import pytest

from transferlab.__main__ import main

HELD = 12  # validation images of each class of the runs of tests/evaluation/conftest.py
RUN = (
    "+split=random", "data=image_folder", "data.size=20", "data.crop=16", "train.epochs=null",
    "train.total_steps=12", "train.val_every=12", "train.batch_size=8", "runtime.workers=0",
    "runtime.threads=1",
)  # fmt: skip


def evaluate(capsys: pytest.CaptureFixture[str], *words: object) -> list[dict[str, Any]]:
    """The records that the command prints."""
    capsys.readouterr()
    assert main(["evaluate", *map(str, words), "--json"]) == 0
    records: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
    return records


def refused(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    capsys.readouterr()
    assert main(["evaluate", *map(str, words)]) == 2
    return capsys.readouterr().err


def recorded(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "result.json").read_text())
