"""Python processes for the benchmarks that start processes, each with one thread."""

import os
import subprocess
import sys
from pathlib import Path

from transferlab.errors import RunFailed


def python(folder: Path, *arguments: str, also: tuple[int, ...] = ()) -> tuple[int, str]:
    """`python ARGUMENTS` with store and cache in a folder: exit status and stderr.

    Raises: RunFailed with the last line of stderr if the status is neither 0 nor one of `also`.
    """
    environment = os.environ | {
        "TRANSFERLAB_STORE": str(folder / "runs"),
        "TRANSFERLAB_CACHE": str(folder / "cache"),
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run([sys.executable, *arguments], cwd=folder, env=environment,
                          capture_output=True, encoding="utf-8", errors="replace",
                          check=False)  # fmt: skip
    if done.returncode not in (0, *also):
        last = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
        raise RunFailed(f"python {' '.join(arguments)} failed: {last}")
    return done.returncode, done.stderr


def command(folder: Path, *arguments: str) -> None:
    """`python -m transferlab ARGUMENTS`. Raises: RunFailed if it fails."""
    python(folder, "-m", "transferlab", *arguments)
