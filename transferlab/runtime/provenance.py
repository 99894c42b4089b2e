"""Where a result comes from: versions, commit, host, threads."""

import os
import platform
import socket
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from transferlab import __version__

PACKAGES = ("torch", "torchvision", "pytorch-lightning", "numpy", "hydra-core", "pillow")


def provenance() -> dict[str, Any]:
    commit, dirty = source_commit()
    versions = {"transferlab": __version__, "python": platform.python_version()}
    versions |= {name: metadata.version(name) for name in PACKAGES}
    return {
        "versions": versions,
        "commit": commit,
        "dirty": dirty,
        "host": socket.gethostname(),
        "threads": torch.get_num_threads(),
        "cpu_count": os.cpu_count(),
    }


def source_commit() -> tuple[str | None, bool | None]:
    """The commit of this package's source and whether it was changed; None if it has none."""
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
