"""Processes of Python for the benchmarks that start some, each with one thread."""

import os
import subprocess
import sys
from pathlib import Path

from transferlab.errors import RunFailed


def python(place: Path, *words: str, also: tuple[int, ...] = ()) -> tuple[int, str]:
    """`python WORDS` in the folder `place`, with store and cache there: exit status and stderr.

    Raises: RunFailed with the last line of stderr if the status is neither 0 nor one of `also`.
    """
    own = {
        "TRANSFERLAB_STORE": str(place / "runs"),
        "TRANSFERLAB_CACHE": str(place / "cache"),
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, *words]
    done = subprocess.run(
        command, cwd=place, env=os.environ | own, capture_output=True, text=True, check=False
    )
    if done.returncode not in (0, *also):
        last = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
        raise RunFailed(f"python {' '.join(words)} failed: {last}")
    return done.returncode, done.stderr


def front_door(place: Path, *words: str) -> None:
    """`python -m transferlab WORDS`. Raises: RunFailed if it fails."""
    python(place, "-m", "transferlab", *words)
