"""The cores of this machine that a process may use, and the memory.

Less than all where its launcher shares them out, or a control group limits them, as that of a job
of SLURM or of a container.
"""

import os
from collections.abc import Iterator
from pathlib import Path

PROC = Path("/proc")
CGROUPS = Path("/sys/fs/cgroup")


def cores() -> int:
    """How many cores this process may use: of the machine's, its share."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        whole = len(os.sched_getaffinity(0))
    else:
        whole = os.cpu_count() or 1
    shares = (os.environ.get(name) for name in ("TRANSFERLAB_CORES", "SLURM_CPUS_PER_TASK"))
    return min([whole, *(int(share) for share in shares if share)])


def total_bytes() -> int:
    """All the memory, used or not."""
    whole = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return min([whole, *(limit for limit, _ in _limits())])


def free_bytes() -> int:
    """The memory that nobody uses now, or only as a cache of files."""
    free = [total_bytes()]
    available = _told(PROC / "meminfo").get("MemAvailable:")
    if available is not None:  # in kB; not on macOS
        free.append(available * 1024)
    free += [limit - used for limit, used in _limits()]
    return max(0, min(free))


def _limits() -> Iterator[tuple[int, int]]:
    """Limit and use, in bytes, of every control group that this process is in and that has one."""
    for line in _lines(PROC / "self/cgroup"):
        _, controllers, path = line.split(":", 2)
        if not controllers:  # version 2
            root, limit, use, cached = CGROUPS, "memory.max", "memory.current", "inactive_file"
        elif "memory" in controllers.split(","):
            root, cached = CGROUPS / "memory", "total_inactive_file"
            limit, use = "memory.limit_in_bytes", "memory.usage_in_bytes"
        else:
            continue
        own = root / path.lstrip("/")  # in a container the path may be that of the host
        for group in (own, *own.parents):
            if group.is_relative_to(root) and (most := _number(group / limit)) is not None:
                files = _told(group / "memory.stat").get(cached, 0)
                yield most, (_number(group / use) or 0) - files


def _number(path: Path) -> int | None:
    """None where there is no such file, or no limit."""
    first = next(iter(_lines(path)), "")
    return int(first) if first.isdigit() else None


def _told(path: Path) -> dict[str, int]:
    """The lines of a file that are a word and a number."""
    words = (line.split() for line in _lines(path))
    return {some[0]: int(some[1]) for some in words if len(some) > 1 and some[1].isdigit()}


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []
