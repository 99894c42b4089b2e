"""Processes of Python for the benchmarks that start some, each with one thread."""

import os
import subprocess
import sys
from pathlib import Path

from transferlab.errors import RunFailed


def python(folder: Path, *words: str, also: tuple[int, ...] = ()) -> tuple[int, str]:
    """`python WORDS` with store and cache in a folder: exit status and stderr.

    Raises: RunFailed with the last line of stderr if the status is neither 0 nor one of `also`.
    """
    environment = os.environ | {
        "TRANSFERLAB_STORE": str(folder / "runs"),
        "TRANSFERLAB_CACHE": str(folder / "cache"),
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run([sys.executable, *words], cwd=folder, env=environment,
                          capture_output=True, text=True, check=False)  # fmt: skip
    if done.returncode not in (0, *also):
        last = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
        raise RunFailed(f"python {' '.join(words)} failed: {last}")
    return done.returncode, done.stderr


def command(folder: Path, *words: str) -> None:
    """`python -m transferlab WORDS`. Raises: RunFailed if it fails."""
    python(folder, "-m", "transferlab", *words)
