"""Types of the flags that benchmarks take, with readable messages."""

from argparse import ArgumentTypeError
from pathlib import Path

from transferlab.runtime import paths


def positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError(f"{text} must be an integer of at least 1")
    return int(text)


def folder(text: str) -> Path:
    path = paths.expand(text).absolute()
    if not path.is_dir():
        raise ArgumentTypeError(f"{text} is not a folder")
    return path
