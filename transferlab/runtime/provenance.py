"""Where a result comes from: versions, commit, host."""

import os
import platform
import socket
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

from transferlab import __version__

PACKAGES = ("torch", "torchvision", "pytorch-lightning", "numpy", "hydra-core", "pillow",
            "simplejpeg")  # fmt: skip
VERSIONS = ("transferlab", "python", *PACKAGES)  # the keys of `versions`


def provenance() -> dict[str, Any]:
    """The software and the host, as JSON for a record."""
    commit, dirty = source_commit()
    return {
        "versions": versions(),
        "commit": commit,
        "dirty": dirty,
        "host": socket.gethostname(),
        "cpu_count": os.cpu_count(),
    }


def versions() -> dict[str, str]:
    """Ours, Python's, and those of the packages that decide a result or its time."""
    ours = {"transferlab": __version__, "python": platform.python_version()}
    return ours | {name: metadata.version(name) for name in PACKAGES}


def source_commit() -> tuple[str | None, bool | None]:
    """The commit of this package's source, and whether it has changes; None without a checkout."""
    source = Path(__file__).parent
    git = ["git", "-C", str(source)]
    try:
        tracked = subprocess.run([*git, "ls-files", "--error-unmatch", __file__],
                                 capture_output=True, check=False)  # fmt: skip
        if tracked.returncode:
            return None, None
        commit = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, check=True)
        status = subprocess.run([*git, "status", "--porcelain"], capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None, None
    return commit.stdout.decode().strip(), bool(status.stdout.strip())
