"""The command `sweep`: a whole study, planned, told of, and carried out here or by SLURM."""

import logging
import shutil
from collections.abc import Sequence

from transferlab import store
from transferlab.cli import summary
from transferlab.errors import UserError
from transferlab.experiment import compose, plan, study
from transferlab.experiment.cost import memory
from transferlab.experiment.cost.estimate import Estimate
from transferlab.experiment.launcher import LocalSettings, build_launcher
from transferlab.launch import cluster, dispatch, inline
from transferlab.launch.dispatch import Order
from transferlab.runtime import logs

log = logging.getLogger(__name__)
OWN = ("study", "dry_run", "sweep.pack", "launcher")  # and launcher.*


def run(arguments: Sequence[str]) -> int:
    """Plan a study, say what it takes, and carry it out; the exit status.

    Raises: UserError, RunFailed, Interrupted.
    """
    logs.to_stderr()
    name, own, words = _sorted(arguments)
    raw = compose.compose("sweep", own)
    launcher = build_launcher(raw["launcher"])
    chosen = study.load(name)
    runs = dispatch.resolved(study.expand(chosen, words), launcher)
    wanted = dispatch.order(chosen.name, runs, launcher, pack=pack_size(raw["sweep"]["pack"]))
    carry_out(wanted, dry_run=_true("dry_run", raw["dry_run"]))
    return 0


def carry_out(wanted: Order, *, dry_run: bool = False) -> None:
    """Say what the plan is and what it takes; then train it here, or hand it over to SLURM.

    Raises: UserError, RunFailed, Interrupted.
    """
    print(_title(wanted), flush=True)
    here = isinstance(wanted.launcher, LocalSettings)
    if wanted.todo and not dry_run:
        store.require_writable(wanted.store)
        if not here:
            cluster.require()
    if wanted.todo:
        log.info("measuring the networks ...")
        wanted = dispatch.look(wanted)
        print("\n".join(_jobs(wanted)), flush=True)
        print(_cost(wanted, dispatch.cost(wanted)), flush=True)
    if dry_run:
        log.info("dry run: nothing started")
    elif wanted.todo and not here:
        dispatch.submit(wanted)
        log.info("to see the progress: python -m transferlab status --store %s", wanted.store)
    else:
        try:
            if wanted.todo:
                dispatch.train(wanted)
        finally:
            _tell(wanted)


def _sorted(arguments: Sequence[str]) -> tuple[str, list[str], list[str]]:
    """The study, the words that say how, for conf/sweep.yaml, and those for the runs."""
    name, own, words = "", [], []
    for word in arguments:
        override = None if word.startswith("-") else compose.parse(word)
        if override is None or override.is_delete() or override.package is not None:
            raise UserError(f"{word} is not an override: sweep takes KEY=VALUE; see --help")
        key = override.key_or_group
        if key not in OWN and not key.startswith(("launcher.", "sweep.")):
            words.append(word)
            continue
        if override.is_sweep_override():
            raise UserError(f"{word} is a list: {key} takes one value")
        if key == "study":
            name = str(override.value())
            continue
        if key == "launcher":
            compose.check_choice("launcher", str(override.value()))
        elif key.startswith("sweep.") and key not in OWN:
            raise UserError(f"unknown key {key}: did you mean sweep.pack?")
        bare = word.lstrip("+")
        # What no launcher has is to be refused in our words, not in Hydra's
        own.append(f"++{bare}" if key.startswith("launcher.") else bare)
    if not name:
        raise UserError(
            f"no study given: choose one with +study=NAME, {', '.join(compose.choices('study'))}"
        )
    return name, own, words


def pack_size(size: object) -> int | None:
    """How many runs a pack may have; None: as many as help. Raises: UserError."""
    if size == "auto":
        return None
    if type(size) is int and size >= 1:
        return size
    raise UserError(f"sweep.pack={size} is not a pack size: use auto, or a number of runs from 1")


def _true(key: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise UserError(f"{key}={value} is not a truth value: use true or false")
    return value


def _title(wanted: Order) -> str:
    """What the study is, and how much of it is done."""
    variants = ", ".join(f"{name} {n}" for name, n in plan.count_variants(wanted.runs).items())
    done = len(wanted.runs) - len(wanted.todo)
    lines = [f"study {wanted.study}: {len(wanted.runs)} runs ({variants})  in {wanted.store}"]
    if not wanted.todo:
        return "\n".join([*lines, f"all {done} are done: nothing to do"])
    lines.append(f"{done} done, {len(wanted.todo)} to train")
    return "\n".join(lines)


def _jobs(wanted: Order) -> list[str]:
    """The waves of packs and, where memory has cut them, how."""
    lines = []
    for number, wave in enumerate(plan.waves(wanted.packs), start=1):
        runs = sum(len(pack.runs) for pack in wave)
        lines.append(f"wave {number}: {runs} runs in {len(wave)} jobs")
    return [*lines, *_memory(wanted)]


def _memory(wanted: Order) -> list[str]:
    """The largest pack, if packs were cut to fit; and the runs that do not even fit alone."""
    room = wanted.room
    assert room is not None
    needs = [
        (room.need(pack.runs), limit, pack)
        for pack in wanted.packs
        if (limit := room.limit(pack.runs[0])) is not None
    ]
    lines, fitting = [], [some for some in needs if some[0] <= some[1]]
    if len(wanted.packs) > len(plan.packs(wanted.todo, wanted.pack)) and fitting:
        most = max(len(pack.runs) for _, _, pack in fitting)
        need, limit, _ = max((s for s in fitting if len(s[2].runs) == most), key=lambda s: s[0])
        runs = f"{most} run{'' if most == 1 else 's'}"
        lines.append(f"packs of at most {runs}: {memory.words(need, limit)}")
    too_large = [some for some in needs if some[0] > some[1]]
    for need, limit, pack in too_large[:1]:
        others = f", and {len(too_large) - 1} more" if len(too_large) > 1 else ""
        lines.append(
            f"warning: {pack.labels} may not fit{others}: it needs {memory.words(need, limit)}; "
            "use a device with more memory, or divide the batch with runtime.devices"
        )
    return lines


def _cost(wanted: Order, cost: Estimate) -> str:
    """Time and disk, and where the numbers come from."""
    place = next(p for p in (wanted.store, *wanted.store.absolute().parents) if p.exists())
    free = shutil.disk_usage(place).free / 1e9
    hours = f"{cost.device_hours:,.1f}" if cost.device_hours >= 1 else f"{cost.device_hours:.2f}"
    lines = [
        f"about {hours} hours of one device, {cost.source}",
        f"disk: {cost.disk_gb:,.2f} GB, at most {cost.peak_disk_gb:,.2f} GB while training; "
        f"{free:,.1f} GB free in {place}",
    ]
    if cost.peak_disk_gb > free:
        lines.append(
            "warning: there is not enough disk space; runs will fail when the disk is full"
        )
    return "\n".join(lines)


def _tell(wanted: Order) -> None:
    """The table of what is finished."""
    new = {run.id for run in wanted.todo}
    finished = [
        inline.finished(run, reused=run.id not in new)
        for run in wanted.runs
        if run.result_file.exists()
    ]
    if finished:
        print(summary.table(finished), flush=True)
