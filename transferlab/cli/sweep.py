"""The command `sweep`: plan a study, show its size and cost, and train it here or on SLURM."""

import logging
import shutil
from collections.abc import Sequence

from transferlab import store
from transferlab.cli import faults, hydra_flags, summary
from transferlab.errors import RunFailed, UserError
from transferlab.experiment import compose, plan, study
from transferlab.experiment.conf import CONF, Conf
from transferlab.experiment.cost import memory
from transferlab.experiment.cost.estimate import Estimate
from transferlab.experiment.launcher import LocalSettings, build_launcher
from transferlab.experiment.resolve import summarise_data
from transferlab.experiment.views import data_sets
from transferlab.launch import cluster, dispatch
from transferlab.launch.dispatch import Order
from transferlab.launch.inline import FinishedRun
from transferlab.runtime import commands, logs, output

log = logging.getLogger(__name__)
DATA_SETS = 3  # that the plan names; further ones are counted
SWEEP_KEYS = ("study", "dry_run", "sweep.pack", "launcher")  # and launcher.*


def run(arguments: Sequence[str]) -> int:
    """Plan a study, show its cost, and carry it out; the exit status.

    Raises: UserError, RunFailed, Interrupted.
    """
    logs.to_stderr()
    line = hydra_flags.parse(arguments)
    if flags := [flag for flag in line.flag_names if flag != "--config-dir"]:
        raise UserError(f"sweep has no {flags[0]}: it takes KEY=VALUE and --config-dir DIR")
    name, sweep_overrides, run_overrides = _sorted(line.overrides, line.conf)
    raw = compose.compose("sweep", sweep_overrides, line.conf)
    launcher = build_launcher(raw["launcher"])
    loaded = study.load(name, line.conf)
    runs = dispatch.resolved(study.expand(loaded, run_overrides, line.conf), launcher)
    order = dispatch.order(loaded.name, runs, launcher, pack=pack_size(raw["sweep"]["pack"]))
    carry_out(order, dry_run=_truth("dry_run", raw["dry_run"]))
    return 0


def carry_out(order: Order, *, dry_run: bool = False) -> None:
    """Print the plan and its cost; then train it here, or submit it to SLURM.

    Raises: UserError, RunFailed, Interrupted.
    """
    # A dry run is for the plan; a sweep does not end because nobody reads it
    show = output.show if dry_run else output.report
    show(*_title(order))
    faults.warn(order.left_out.values())
    local = isinstance(order.launcher, LocalSettings)
    if order.todo and not dry_run:
        store.require_writable(order.store)
        if not local:
            cluster.require()
    if order.todo:
        log.info("measuring the networks ...")
        order = dispatch.look(order)
        show(*_jobs(order), *_cost(order, dispatch.cost(order)))
    if dry_run:
        log.info("dry run: nothing started")
    elif order.todo and not local:
        dispatch.submit(order)
        status = commands.line("status", "--store", str(order.store))
        log.info("to see the progress: %s", status)
    else:
        try:
            if order.todo:
                dispatch.train(order)
        finally:
            _print_finished(order)
    if order.left_out:
        raise RunFailed(
            f"{len(order.left_out)} of {len(order.runs)} runs are left out, because a record "
            "cannot be used: see the warnings above, then run the same command again"
        )


def _sorted(arguments: Sequence[str], conf: Conf = CONF) -> tuple[str, list[str], list[str]]:
    """The study, the overrides of conf/sweep.yaml, and those of the runs."""
    name, sweep_overrides, run_overrides = "", [], []
    for argument in arguments:
        override = compose.parse(argument)
        key = compose.key_of(override)
        if override.is_delete() or (override.package is not None and key == override.key_or_group):
            raise UserError(f"{argument} is not an override: sweep takes KEY=VALUE; see --help")
        if key == "hydra.searchpath":  # that of `conf`
            continue
        if key.startswith(("hydra.", "hydra/")):
            raise UserError(f"{argument} has no effect in a sweep, only in a multirun, -m: omit it")
        if key not in SWEEP_KEYS and not key.startswith(("launcher.", "sweep.")):
            run_overrides.append(argument)
            continue
        if override.is_sweep_override():
            raise UserError(f"{argument} is a list: {key} takes one value")
        if key == "study":
            name = commands.unquoted(str(*compose.values(override)))
            continue
        if key == "launcher":
            compose.check_choice("launcher", str(override.value()), conf)
        elif key.startswith("sweep.") and key not in SWEEP_KEYS:
            leaf = key.removeprefix("sweep.")
            near = leaf if leaf in SWEEP_KEYS else "sweep.pack"
            raise UserError(f"unknown key {key}: did you mean {near}?")
        bare = argument.lstrip("+")
        # With ++ Hydra accepts keys that no launcher has: build_launcher's message is better
        sweep_overrides.append(f"++{bare}" if key.startswith("launcher.") else bare)
    if not name:
        raise UserError(
            f"missing study: choose one with {commands.setting('+study', 'NAME')}, "
            f"{', '.join(conf.choices('study'))}"
        )
    return name, sweep_overrides, run_overrides


def pack_size(size: object) -> int | None:
    """The maximum number of runs in a pack; None: as many as pay off. Raises: UserError."""
    if size == "auto":
        return None
    if type(size) is int and size >= 1:
        return size
    raise UserError(f"sweep.pack={size} must be auto or an integer of at least 1")


def _truth(key: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise UserError(f"{key}={value} must be true or false")
    return value


def _title(order: Order) -> list[str]:
    """The study, its variants, its data, and how many runs are done."""
    variants = ", ".join(f"{name} {n}" for name, n in plan.count_variants(order.runs).items())
    done, left_out = order.done, len(order.left_out)
    lines = [f"study {order.study}: {len(order.runs)} runs ({variants})  in {order.store}"]
    sets = data_sets(run.config for run in order.runs)
    lines += [f"data: {summarise_data(config)}" for config in sets[:DATA_SETS]]
    lines += [f"data: {len(sets) - DATA_SETS} more"] if len(sets) > DATA_SETS else []
    if not order.todo and not left_out:
        return [*lines, f"all {done} are done: nothing to do"]
    line = f"{done} done, {len(order.todo)} to train"
    return [*lines, line + (f", {left_out} left out" if left_out else "")]


def _jobs(order: Order) -> list[str]:
    """The waves of packs and, where memory limits them, their size."""
    lines = []
    for number, wave in enumerate(plan.waves(order.packs), start=1):
        runs = sum(len(pack.runs) for pack in wave)
        lines.append(f"wave {number}: {runs} runs in {len(wave)} jobs")
    return [*lines, *_memory(order)]


def _memory(order: Order) -> list[str]:
    """The largest pack, if packs were cut to fit, and the runs that do not fit even alone."""
    room = order.room
    assert room is not None
    needs = [
        (room.need(pack.runs), limit, pack)
        for pack in order.packs
        if (limit := room.limit(pack.runs[0])) is not None
    ]
    lines, fitting = [], [entry for entry in needs if entry[0] <= entry[1]]
    if len(order.packs) > len(plan.packs(order.todo, order.pack)) and fitting:
        pack_size = max(len(pack.runs) for _, _, pack in fitting)
        need, limit, _ = max(
            (entry for entry in fitting if len(entry[2].runs) == pack_size),
            key=lambda entry: entry[0],
        )
        runs = f"{pack_size} run{'' if pack_size == 1 else 's'}"
        lines.append(f"packs of at most {runs}: {memory.used_of(need, limit)}")
    too_large = [entry for entry in needs if entry[0] > entry[1]]
    for need, limit, pack in too_large[:1]:
        others = f", and {len(too_large) - 1} more" if len(too_large) > 1 else ""
        lines.append(
            f"warning: {pack.labels} may not fit{others}: it needs {memory.used_of(need, limit)}; "
            "use a device with more memory, or divide the batch with runtime.devices"
        )
    return lines


def _cost(order: Order, cost: Estimate) -> list[str]:
    """Time and disk space, and the source of the estimate."""
    folders = (order.store, *order.store.absolute().parents)
    folder = next(folder for folder in folders if folder.exists())
    free = shutil.disk_usage(folder).free / 1e9
    hours = f"{cost.device_hours:,.1f}" if cost.device_hours >= 1 else f"{cost.device_hours:.2f}"
    lines = [
        f"about {hours} hours of one device, {cost.source}",
        f"disk: {cost.disk_gb:,.2f} GB, at most {cost.peak_disk_gb:,.2f} GB while training; "
        f"{free:,.1f} GB free in {folder}",
    ]
    if cost.peak_disk_gb > free:
        lines.append(
            "warning: there is not enough disk space; runs will fail when the disk is full"
        )
    return lines


def _print_finished(order: Order) -> None:
    """Print the table of the finished runs."""
    new = {run.id for run in order.todo}
    finished = [
        FinishedRun(run, record, run.id not in new)
        for run, record, _ in store.outcomes(order.runs)
        if record is not None
    ]
    if finished:
        output.report(*summary.table(finished))
