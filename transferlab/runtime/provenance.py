"""Where a result comes from: versions, commit, code, host.

The code of a run is this package's modules and those of plug-ins, without what these import.
"""

import contextlib
import hashlib
import json
import os
import platform
import socket
import subprocess
import sys
from collections.abc import Iterable, Mapping
from functools import cache
from importlib import metadata
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

import transferlab
from transferlab import __version__
from transferlab.runtime import environment

PACKAGES = ("torch", "torchvision", "pytorch-lightning", "numpy", "hydra-core", "pillow",
            "simplejpeg")  # fmt: skip
EXTRAS = ("timm",)  # which are recorded where they are installed
SUBMITTED = "TRANSFERLAB_SUBMITTED"  # the code with which a worker's job was submitted, as JSON
DIGITS = 12  # of commits and digests, for people
VERSIONS = ("transferlab", "python", *PACKAGES, *EXTRAS)  # the keys of `versions`


def provenance() -> dict[str, Any]:
    """The software and the host, as JSON for a record; `submitted` if the code was edited between
    the submission of a job and its start."""
    running, submitted = code(), submitted_code()
    edited = submitted is not None and difference(submitted, running) is not None
    return {
        "versions": versions(),
        "commit": running["commit"],
        "dirty": running["dirty"],
        "code": running["digest"],
        **({"submitted": submitted} if edited else {}),
        "host": socket.gethostname(),
        "cpu_count": os.cpu_count(),
    }


def code(plugins: Iterable[str] = ()) -> dict[str, Any]:
    """The code that this process runs, as JSON: the commit, whether it has changes, the digest of
    the package's modules, and those of the modules of plug-ins, `package.module:attribute`.

    As it was at the first call, since a process does not notice what is edited later.
    """
    commit, dirty = source_commit()
    modules = sorted({name.partition(":")[0] for name in plugins if ":" in name})
    digests = {module: _module_digest(module) for module in modules}
    return {"commit": commit, "dirty": dirty, "digest": _source_digest(), "plugins": digests}


def submitted_code() -> dict[str, Any] | None:
    """The code with which this worker's job was submitted; None in other processes."""
    with contextlib.suppress(ValueError):
        value = json.loads(environment.value(SUBMITTED) or "null")
        return value if isinstance(value, dict) else None
    return None


def difference(submitted: Mapping[str, Any], running: Mapping[str, Any]) -> str | None:
    """What differs between two values of `code`, for people; None if the code is the same."""
    parts = []
    if submitted.get("digest") != running.get("digest"):
        old, new = _described(submitted), _described(running)
        parts.append(f"submitted with {old}, started with {new}")
    others = running.get("plugins", {})
    for module, digest in submitted.get("plugins", {}).items():
        if module in others and digest != others[module]:
            parts.append(f"{module} was edited after the submission")
    return "; ".join(parts) or None


def _described(code: Mapping[str, Any]) -> str:
    """`commit 1234abcd`, with the digest of the code where that is not the commit's."""
    commit, digest = code.get("commit"), f"code {str(code.get('digest'))[:DIGITS]}"
    if commit is None:
        return digest
    named = f"commit {str(commit)[:DIGITS]}"
    return f"{named} and changes ({digest})" if code.get("dirty") else named


@cache
def _source_digest() -> str:
    """The digest of the package's modules: their paths and contents."""
    folder, digest = Path(transferlab.__file__).parent, hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(folder).as_posix()} {len(content)}\n".encode() + content)
    return digest.hexdigest()


@cache
def _module_digest(module: str) -> str | None:
    """The digest of a module's file, found without importing anything; None if it has none."""
    path, spec = None, None
    for name in _parents(module):
        with contextlib.suppress(ImportError, ValueError):
            spec = PathFinder.find_spec(name, path or sys.path)
        if spec is None:
            return None
        path = spec.submodule_search_locations
    assert spec is not None
    with contextlib.suppress(OSError):
        return hashlib.sha256(Path(spec.origin or "").read_bytes()).hexdigest()
    return None


def _parents(module: str) -> list[str]:
    """`a`, `a.b`, `a.b.c` of `a.b.c`."""
    names = module.split(".")
    return [".".join(names[: count + 1]) for count in range(len(names))]


def versions() -> dict[str, str]:
    """Ours, Python's, and those of the packages that decide a result or its time."""
    ours = {"transferlab": __version__, "python": platform.python_version()}
    packages = {name: metadata.version(name) for name in PACKAGES}
    for name in EXTRAS:
        with contextlib.suppress(metadata.PackageNotFoundError):
            packages[name] = metadata.version(name)
    return ours | packages


@cache
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
