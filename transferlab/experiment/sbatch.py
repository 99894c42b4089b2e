"""What `sbatch` understands, as far as the settings of a launcher can contradict it or each other.

Its notations of a time limit, and its options, also abbreviated, of which a job has some already.
"""

import re

from transferlab.errors import UserError

UNLIMITED = ("0", "infinite", "unlimited", "-1")
# M, M:S, H:M:S; D-H, D-H:M, D-H:M:S. Source: sbatch(1), --time
TIME = re.compile(r"(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?")
# Options that every job has -> what to do instead
SET = {
    "job-name": "omit it, since the queue is searched for the job's own name",
    "array": "omit it, or limit the concurrent tasks with launcher.throttle",
    "output": "omit it, since `status` reads the job's own log",
    "open-mode": "omit it",
    "chdir": "omit it, and run the command in that folder",
    "signal": "use launcher.signal_s",
    "dependency": "omit it, since dependents wait for their own base",
    "kill-on-invalid-dep": "omit it",
    "requeue": "use launcher.requeues",
    "no-requeue": "use launcher.requeues=0",
    "nodes": "use runtime.devices for several processes, on one node",
    "ntasks-per-node": "use runtime.devices",
    "time": "use launcher.time",
    "wait": "omit it, since `sweep` does not wait for its jobs",
    "wrap": "use launcher.template for another script",
    "test-only": "use dry_run=true",
}
# Options that a setting becomes -> its name
SETTINGS = {
    "partition": "partition",
    "account": "account",
    "qos": "qos",
    "gres": "gres",
    "cpus-per-task": "cpus",
    "mem": "memory",
    "mem-per-cpu": "memory",
    "mem-per-gpu": "memory",
    "constraint": "constraint",
}
OTHERS = ("ntasks",)  # complete options that an abbreviation above could be taken for


def seconds(limit: str | int, key: str) -> int | None:
    """A time limit in s; None: unlimited. Raises: UserError if sbatch does not understand it."""
    text = str(limit).strip().lower()
    if text in UNLIMITED:
        return None
    match = TIME.fullmatch(text)
    if match is None:
        raise UserError(
            f"{key}={limit} is not a time limit: write it as minutes, 90, as H:M:S, 36:00:00, "
            "or as D-H:M:S, 1-12:00:00"
        )
    days, first, second, third = (int(part) if part else None for part in match.groups())
    assert first is not None
    if days is None and third is None:  # M or M:S
        return 60 * first + (second or 0)
    return ((days or 0) * 24 + first) * 3600 + 60 * (second or 0) + (third or 0)


def gpus(gres: str | None) -> int | None:
    """How many GPUs `gpu:2` or `gpu:a100:2,shard:1` requests; None if it names none."""
    counts = [
        int(match[1] or 1)
        for part in (gres or "").split(",")
        if (match := re.fullmatch(r"(?:gres/)?gpu(?::[A-Za-z][^:]*)?(?::(\d+))?(?:\(.*\))?", part))
    ]
    return sum(counts) if counts else None


def meant(name: str) -> list[str]:
    """The options above that sbatch may take `name` for: it completes unambiguous beginnings."""
    known = [*SET, *SETTINGS]
    if name in (*known, *OTHERS):
        return [name] if name in known else []
    return [each for each in known if each.startswith(name)]
