"""The facts of a plan's networks: their stages, and their speed on this machine.

Measuring needs torch, which a plan does not import, so one probe, a process of its own, examines
all networks that are not in the cache. A custom network can change under its name, so it is
examined every time.
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
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any

from transferlab import __version__, models
from transferlab.errors import UserError
from transferlab.experiment import views
from transferlab.experiment.config import ModelConfig, cache_folder
from transferlab.experiment.run import Run
from transferlab.models.facts import (
    Facts,
    Footprint,
    NetworkFacts,
    NetworkShape,
    StageFacts,
    check_cut,
)
from transferlab.runtime.files import make_folder, write_json

log = logging.getLogger(__name__)
# The parts of the probe's answer, each cached in a file
CACHED = (("stages",), ("device_bytes",), ("s_per_mac", "device"))


def network_of(run: Run) -> NetworkShape:
    """The network that a resolved run trains."""
    return _shape(run.config.model, run.num_outputs, views.inputs(run.config).crop)


@lru_cache(maxsize=1024)
def _shape(model: ModelConfig, num_outputs: int, crop: int) -> NetworkShape:
    return NetworkShape(model.name, num_outputs, crop, model.cuts, model.reduction)


@lru_cache(maxsize=1024)
def stage_names(network: NetworkShape, cache: Path) -> tuple[str, ...]:
    """The names of a network's stages, from `cache` or from a probe.

    Raises: UserError if it cannot be built, and if the probe fails.
    """
    files = _files(network, cache, "auto", None, timed=False)
    known = _read_cache(files)
    if known is None:
        (answer,) = _probe([network], threads=None, timed=False, accelerator="auto")
        if "error" in answer:
            raise UserError(answer["error"])
        known = _facts(answer, timed=False)
        _write_cache(files, answer)
    return tuple(stage.name for stage in known.stages)


def facts(
    runs: Iterable[Run], *, timed: bool, threads: int | None, cache: Path
) -> dict[NetworkShape, NetworkFacts]:
    """The facts of every network that the runs have, from `cache` or from one probe.

    With `timed`, some seconds of training are timed, with so many `threads` of torch (None: its
    default), on the kind of device of the first run.

    Raises: UserError for the first network that cannot be built, and if the probe fails.
    """
    runs = tuple(runs)
    accelerator = runs[0].config.runtime.accelerator if runs else "auto"
    networks = dict.fromkeys(network_of(run) for run in runs)
    files = {
        network: _files(network, cache, accelerator, threads, timed=timed) for network in networks
    }
    known = {network: _read_cache(files[network]) for network in networks}
    missing = [network for network in networks if known[network] is None]
    if missing:
        answers = _probe(missing, threads=threads, timed=timed, accelerator=accelerator)
        for network, answer in zip(missing, answers, strict=True):
            if "error" not in answer:
                known[network] = _facts(answer, timed=timed)
                _write_cache(files[network], answer)
        for answer in answers:
            if "error" in answer:
                raise UserError(answer["error"])
    return {network: facts for network, facts in known.items() if facts is not None}


def cached_stages(run: Run) -> NetworkFacts | None:
    """The stages of the run's network, without the machine, from its cache; None if missing."""
    return _read_cache(_file_of_stages(run))


def cache_stages(run: Run, facts: NetworkFacts) -> None:
    """Save other processes the examination of the run's network."""
    _write_cache(_file_of_stages(run), {"stages": [asdict(stage) for stage in facts.stages]})


def check(runs: Iterable[Run], facts: Facts) -> None:
    """Raises: UserError for the first run whose cut does not exist in its network."""
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
    """The probe's answer for each network. Raises: UserError if it fails."""
    request = {
        "networks": [asdict(network) for network in networks],
        "threads": threads,
        "time": timed,
        "accelerator": accelerator,
    }
    command = [sys.executable, "-m", "transferlab.experiment.cost.probe"]
    done = subprocess.run(
        command,
        input=json.dumps(request),
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        names = ", ".join(dict.fromkeys(network.model for network in networks))
        raise UserError(f"the networks ({names}) cannot be examined: {lines[-1]}")
    return json.loads(done.stdout)["networks"]


def _facts(answer: Mapping[str, Any], *, timed: bool) -> NetworkFacts:
    """Raises: ValueError, KeyError or TypeError for anything but an answer of the probe."""
    stages = tuple(
        StageFacts(
            str(stage["name"]),
            _count(stage["parameters"]),
            _count(stage["macs"]),
            _footprint(stage["float32"]),
            _footprint(stage["bfloat16"]),
            _count(stage["entry"]),
            _count(stage["auxiliary"]),
        )
        for stage in answer["stages"]
    )
    if not stages:
        raise ValueError("no stages")
    device_bytes = answer.get("device_bytes")
    if device_bytes is not None:
        device_bytes = _count(device_bytes)
    if not timed:
        return NetworkFacts(stages, device_bytes, None, None)
    s_per_mac = float(answer["s_per_mac"])
    if not (math.isfinite(s_per_mac) and s_per_mac > 0):
        raise ValueError(f"s_per_mac={s_per_mac}")
    return NetworkFacts(stages, device_bytes, s_per_mac, str(answer["device"]))


def _footprint(raw: Mapping[str, Any]) -> Footprint:
    return Footprint(_count(raw["kept"]), _count(raw["output"]), _count(raw["widest"]))


def _count(number: object) -> int:
    if type(number) is not int or number < 0:
        raise ValueError(f"{number} is not a count")
    return number


# --- the cache ----------------------------------------------------------------------------------


def _files(
    network: NetworkShape, cache: Path, accelerator: str, threads: int | None, *, timed: bool
) -> tuple[Path, ...]:
    """The files of the network's stages, of this machine's device and, if timed, of its speed.

    None for a custom network, and for one of a library that is not installed.
    """
    if models.is_own(network.model):
        return ()
    library = network.model.partition(":")[0] if ":" in network.model else "torch"
    try:
        libraries = [metadata.version(each) for each in ("torch", library)]
    except metadata.PackageNotFoundError:
        return ()
    shape = [__version__, *libraries, *asdict(network).values()]
    machine = [socket.gethostname(), accelerator, os.environ.get("CUDA_VISIBLE_DEVICES")]
    keys = [shape, [*shape, *machine]]
    if timed:
        keys.append([*shape, *machine, threads])
    digests = (hashlib.sha256(json.dumps(key).encode()).hexdigest() for key in keys)
    return tuple(cache / "networks" / f"{digest}.json" for digest in digests)


def _file_of_stages(run: Run) -> tuple[Path, ...]:
    accelerator = run.config.runtime.accelerator
    return _files(network_of(run), cache_folder(run.config), accelerator, None, timed=False)[:1]


def _read_cache(files: Sequence[Path]) -> NetworkFacts | None:
    """None if a file is missing or damaged."""
    answer: dict[str, Any] = {}
    try:
        for path, keys in zip(files, CACHED, strict=False):
            record = json.loads(path.read_text("utf-8"))
            answer |= {key: record[key] for key in keys}
        return _facts(answer, timed=len(files) == len(CACHED)) if files else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _write_cache(files: Sequence[Path], answer: Mapping[str, Any]) -> None:
    for path, keys in zip(files, CACHED, strict=False):
        try:
            make_folder(path.parent)
            write_json(path, {key: answer[key] for key in keys})
        except UserError:
            log.warning("%s cannot be written: the network will be examined again next time", path)
            return
