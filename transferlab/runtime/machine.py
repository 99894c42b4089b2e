"""The cores and the memory of this machine that a process may use, and the names of its devices.

Fewer than all where a launcher divides them, or a control group of a SLURM job or container limits
them. Imports no torch: see `devices`.
"""

import os
import platform
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from transferlab.runtime import environment

PROC = Path("/proc")
CGROUPS = Path("/sys/fs/cgroup")


def cores() -> int:
    """How many of the machine's cores this process may use."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        count = len(os.sched_getaffinity(0))
    else:
        count = os.cpu_count() or 1
    shares = map(environment.number, (environment.CORES, "SLURM_CPUS_PER_TASK"))
    return min([count, *(share for share in shares if share)])


def cpu_name() -> str:
    """The processor's name, as the kernel reports it."""
    for line in _lines(PROC / "cpuinfo"):
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def gpu_name() -> str | None:
    """The first GPU's name by NVIDIA's own tool, which is faster than loading torch; or None."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return None
    query = [tool, "--query-gpu=name", "--format=csv,noheader"]
    done = subprocess.run(
        query, capture_output=True, encoding="utf-8", errors="replace", check=False
    )
    names = done.stdout.strip().splitlines()
    return names[0] if done.returncode == 0 and names else None


def total_bytes() -> int:
    """The memory that this process may use in total, in bytes."""
    installed = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return min([installed, *(limit for limit, _ in _limits())])


def free_bytes() -> int:
    """The memory that is unused now, or used only to cache files, in bytes."""
    free = [total_bytes()]
    available = _numbers(PROC / "meminfo").get("MemAvailable:")
    if available is not None:  # in kB; not on macOS
        free.append(available * 1024)
    free += [limit - used for limit, used in _limits()]
    return max(0, min(free))


def _limits() -> Iterator[tuple[int, int]]:
    """Limit and use, in bytes, of every control group of this process that has a limit."""
    for line in _lines(PROC / "self/cgroup"):
        _, controllers, path = line.split(":", 2)
        if not controllers:  # version 2
            root, limit, use, cached = CGROUPS, "memory.max", "memory.current", "inactive_file"
        elif "memory" in controllers.split(","):
            root, cached = CGROUPS / "memory", "total_inactive_file"
            limit, use = "memory.limit_in_bytes", "memory.usage_in_bytes"
        else:
            continue
        innermost = root / path.lstrip("/")  # in a container the path may be that of the host
        for group in (innermost, *innermost.parents):
            if group.is_relative_to(root) and (limit_bytes := _number(group / limit)) is not None:
                cached_bytes = _numbers(group / "memory.stat").get(cached, 0)
                yield limit_bytes, (_number(group / use) or 0) - cached_bytes


def _number(path: Path) -> int | None:
    """The number in a file; None if the file is missing or states no limit."""
    first = next(iter(_lines(path)), "")
    return int(first) if first.isdigit() else None


def _numbers(path: Path) -> dict[str, int]:
    """The lines of a file that are a word and a number."""
    rows = (line.split() for line in _lines(path))
    return {row[0]: int(row[1]) for row in rows if len(row) > 1 and row[1].isdigit()}


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text("utf-8", "replace").splitlines()
    except OSError:
        return []
