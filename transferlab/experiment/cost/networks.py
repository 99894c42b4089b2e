"""What a plan must know of its networks: their stages, and how fast they train on this machine.

Both need torch, and planning takes none: a process of its own looks (`probe`), once for all that
are wanted, and a file for each network remembers. A user's own network can change under its name,
so it is looked at every time.
"""

import hashlib
import json
import logging
import math
import os
import socket
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any

from transferlab import __version__
from transferlab.errors import UserError
from transferlab.experiment.run import Run
from transferlab.models.facts import (
    Facts,
    Footprint,
    NetworkFacts,
    NetworkShape,
    StageFacts,
    check_cut,
)
from transferlab.runtime.files import write_json

log = logging.getLogger(__name__)
# Of the probe's answer, in a file each
KEPT = (("stages",), ("device_bytes",), ("s_per_mac", "device"))


def network_of(run: Run) -> NetworkShape:
    """The network that a resolved run trains."""
    return NetworkShape(run.config.model.name, run.num_outputs, run.config.data.crop)


def facts(
    runs: Iterable[Run], *, timed: bool, threads: int | None, cache: Path
) -> dict[NetworkShape, NetworkFacts]:
    """The facts of every network that the runs have, from `cache` or from one probe.

    `timed` also has some seconds of training timed, with so many `threads` of torch (None: its
    own choice), on the kind of device that the first run asks for.

    Raises: UserError for a network that cannot be built, of the first run that has one, and
    where the probe fails.
    """
    accelerator, wanted = "auto", dict[NetworkShape, NetworkFacts | None]()
    for run in runs:
        if not wanted:
            accelerator = run.config.runtime.accelerator
        wanted.setdefault(network_of(run), None)
    files = {
        network: _files(network, cache, accelerator, threads, timed=timed) for network in wanted
    }
    known = {network: _remembered(files[network]) for network in wanted}
    missing = [network for network in wanted if known[network] is None]
    if missing:
        answers = _probe(missing, threads=threads, timed=timed, accelerator=accelerator)
        for network, answer in zip(missing, answers, strict=True):
            if "error" not in answer:
                known[network] = _facts(answer, timed=timed)
                _remember(files[network], answer)
        for answer in answers:
            if "error" in answer:
                raise UserError(answer["error"])
    return {network: found for network, found in known.items() if found is not None}


def remembered(run: Run) -> NetworkFacts | None:
    """What an earlier look at the run's network has left in its cache; None if nothing."""
    runtime = run.config.runtime
    cache = Path(runtime.cache).expanduser()
    return _remembered(_files(network_of(run), cache, runtime.accelerator, None, timed=False))


def check(runs: Iterable[Run], facts: Facts) -> None:
    """Raises: UserError for the first run whose cut its network does not have."""
    for run in runs:
        check_cut(
            len(facts[network_of(run)].stages),
            run.config.variant.n,
            keep=run.config.transfer.keep,
            model=run.config.model.name,
        )


# --- the probe ----------------------------------------------------------------------------------


def _probe(
    networks: Sequence[NetworkShape], *, threads: int | None, timed: bool, accelerator: str
) -> list[dict[str, Any]]:
    """What the probe answers for each network. Raises: UserError if it fails."""
    request = {
        "networks": [asdict(network) for network in networks],
        "threads": threads,
        "time": timed,
        "accelerator": accelerator,
    }
    command = [sys.executable, "-m", "transferlab.experiment.cost.probe"]
    done = subprocess.run(
        command, input=json.dumps(request), capture_output=True, text=True, check=False
    )
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        names = ", ".join(dict.fromkeys(network.model for network in networks))
        raise UserError(f"the networks ({names}) cannot be looked at: {lines[-1]}")
    return json.loads(done.stdout)["networks"]


def _facts(answer: Mapping[str, Any], *, timed: bool) -> NetworkFacts:
    """Raises: ValueError, KeyError or TypeError if it is not an answer of the probe."""
    stages = tuple(
        StageFacts(
            str(stage["name"]),
            _count(stage["parameters"]),
            _count(stage["macs"]),
            _footprint(stage["float32"]),
            _footprint(stage["bfloat16"]),
        )
        for stage in answer["stages"]
    )
    if not stages:
        raise ValueError("no stages")
    device_bytes = None if answer["device_bytes"] is None else _count(answer["device_bytes"])
    if not timed:
        return NetworkFacts(stages, device_bytes, None, None)
    s_per_mac = float(answer["s_per_mac"])
    if not (math.isfinite(s_per_mac) and s_per_mac > 0):
        raise ValueError(f"s_per_mac={s_per_mac}")
    return NetworkFacts(stages, device_bytes, s_per_mac, str(answer["device"]))


def _footprint(told: Mapping[str, Any]) -> Footprint:
    return Footprint(_count(told["kept"]), _count(told["output"]), _count(told["widest"]))


def _count(number: object) -> int:
    if type(number) is not int or number < 0:
        raise ValueError(f"{number} is not a number of things")
    return number


# --- what is remembered -------------------------------------------------------------------------


def _files(
    network: NetworkShape, cache: Path, accelerator: str, threads: int | None, *, timed: bool
) -> tuple[Path, ...]:
    """Where the network's stages are kept, what device this machine has and, if timed, its time.

    None for a user's own.
    """
    if ":" in network.model:
        return ()
    shape = [__version__, metadata.version("torch"), *asdict(network).values()]
    place = [socket.gethostname(), accelerator, os.environ.get("CUDA_VISIBLE_DEVICES")]
    keys = [shape, [*shape, *place]]
    if timed:
        keys.append([*shape, *place, threads])
    digests = (hashlib.sha256(json.dumps(key).encode()).hexdigest() for key in keys)
    return tuple(cache / "networks" / f"{digest}.json" for digest in digests)


def _remembered(files: Sequence[Path]) -> NetworkFacts | None:
    """None for what is not there, or damaged."""
    answer: dict[str, Any] = {}
    try:
        for path, keys in zip(files, KEPT, strict=False):
            record = json.loads(path.read_text("utf-8"))
            answer |= {key: record[key] for key in keys}
        return _facts(answer, timed=len(files) == len(KEPT)) if files else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _remember(files: Sequence[Path], answer: Mapping[str, Any]) -> None:
    for path, keys in zip(files, KEPT, strict=False):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_json(path, {key: answer[key] for key in keys})
        except (OSError, UserError):
            log.warning("%s cannot be written: it will be asked for again next time", path)
            return
