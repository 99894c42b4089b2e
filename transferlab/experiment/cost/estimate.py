"""The time and the disk space that the runs of a plan need, estimated before any of them starts.

Time is images x multiply-accumulates of a training image x seconds per multiply-accumulate. The
last is measured on finished runs of the store with the same model, data and recipe, or else by a
probe. A probe reads no images, validates nothing and ignores the precision: it is good enough to
tell days from weeks.
"""

import heapq
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from transferlab import data
from transferlab.errors import UserError
from transferlab.experiment import variants, views
from transferlab.experiment.build import build_config
from transferlab.experiment.config import DataConfig, RunConfig, total_steps
from transferlab.experiment.cost.networks import network_of
from transferlab.experiment.plan import Pack
from transferlab.experiment.run import Run
from transferlab.models.facts import Facts, NetworkFacts, NetworkShape

VALUE_BYTES = 4  # weights and momentum are float32
RECORD_BYTES = 100_000  # config, log, curve, classes and result of a run
MEAN_BYTES = 12  # of the mean image for each pixel: three float32
CHECKPOINT_VALUES = 4  # of each parameter: weights and momentum, in a checkpoint and its successor
# Model, data set, size, crop, batch size and precision: runs that have these in common take about
# the same time for a multiply-accumulate
Recipe = tuple[Any, ...]


@dataclass(frozen=True)
class Estimate:
    """The cost of a plan: `device_hours` summed over devices, disk in units of 1e9 bytes.

    `disk_gb` is what remains, `peak_disk_gb` the most while training; `source` is a description of
    the measurements behind the time.
    """

    device_hours: float
    disk_gb: float
    peak_disk_gb: float
    source: str


class RunTiming(NamedTuple):
    """The measurement in one record: device time in s, training images and frozen stages; `own`:
    whether the run shared no stages with others, so that the time is its own. `network` is the name
    of the model, its outputs and the image size."""

    recipe: Recipe
    network: tuple[str, int, int]
    device_s: float
    images: int
    frozen: int
    own: bool


def without_records(runs: Iterable[Run], timings: Iterable[RunTiming]) -> tuple[Run, ...]:
    """The runs whose speed no record gives: `estimate` needs the speed of their networks."""
    known = {timing.recipe for timing in timings}
    return tuple(run for run in runs if _recipe(run.config) not in known)


def estimate(
    packs: Iterable[Pack],
    *,
    timings: Iterable[RunTiming],
    facts: Facts,
    at_once: int,
) -> Estimate:
    """The cost of training these packs, `at_once` runs at the same time.

    `timings` are those of finished runs, and `facts` are timed for the networks of
    `without_records`. In a pack, the frozen stages that members share are computed once.
    """
    rates = _rates(timings, facts)
    seconds, mean_bytes, parameters = 0.0, 0, []
    used: dict[Recipe, _Speed] = {}
    probed: list[NetworkFacts] = []
    counts: dict[DataConfig, Mapping[str, int]] = {}
    for pack in packs:
        data_config = views.inputs(pack.runs[0].config)
        if data_config not in counts:
            counts[data_config] = class_counts(data_config)
        images = training_images(pack.runs[0], counts[data_config])
        networks = [facts[network_of(run)] for run in pack.runs]
        for run, network, macs in zip(pack.runs, networks, _macs(pack, networks), strict=True):
            recipe = _recipe(run.config)
            s_per_mac = network.s_per_mac
            if recipe in rates:
                used[recipe] = rates[recipe]
                s_per_mac = rates[recipe].s_per_mac
            else:
                probed.append(network)
            assert s_per_mac is not None, "a run without records has a network that was timed"
            seconds += images * macs * s_per_mac
            mean_bytes += MEAN_BYTES * data_config.size**2
            parameters.append(network.parameters)
    disk = mean_bytes + sum(VALUE_BYTES * count + RECORD_BYTES for count in parameters)
    training = VALUE_BYTES * CHECKPOINT_VALUES * sum(heapq.nlargest(at_once, parameters))
    source = _source(sum(rate.runs for rate in used.values()), probed)
    return Estimate(seconds / 3600, disk / 1e9, (disk + training) / 1e9, source)


def _recipe(config: RunConfig) -> Recipe:
    images, train = views.inputs(config), config.train
    sizes = (images.name, images.size, images.crop)
    return (config.model.name, *sizes, train.batch_size, train.precision)


def class_counts(config: DataConfig) -> dict[str, int]:
    """The number of training images of each class, at most `data.per_class`."""
    classes = _described(config).classes
    counts = data.train_counts(
        config.name, root=config.root, val=config.val, holdout=config.holdout
    )
    if len(counts) != len(classes):
        raise UserError(
            f"data.name={config.name} counts the images of {len(counts)} classes, of {len(classes)}"
        )
    limit = max(counts) if config.per_class is None else config.per_class
    return {name: min(count, limit) for name, count in zip(classes, counts, strict=True)}


def _described(config: DataConfig) -> data.Description:
    return data.describe(config.name, root=config.root, val=config.val, holdout=config.holdout)


def training_images(run: Run, counts: Mapping[str, int]) -> int:
    """The number of images that the run passes through its network in training, all epochs."""
    described = _described(views.data_of(run.config, run.config.variant.target))
    train_images = data.count_images(
        [counts[name] for name in run.classes], multi_label=described.multi_label
    )
    return total_steps(run.config, train_images) * run.config.train.batch_size


def _macs(pack: Pack, networks: Sequence[NetworkFacts]) -> list[int]:
    """Multiply-accumulates of an image in each run; shared stages count for the deepest cut."""
    variants = [run.config.variant for run in pack.runs]
    frozen = [variant.n if variant.frozen else 0 for variant in variants]
    macs = [network.training_macs(n) for network, n in zip(networks, frozen, strict=True)]
    sharers: dict[RunConfig, list[int]] = {}  # config of the base -> members
    for member, run in enumerate(pack.runs):
        if run.base is not None and frozen[member] and len(pack.runs) > 1:
            sharers.setdefault(run.base.config, []).append(member)
    for members in sharers.values():
        for member in sorted(members, key=frozen.__getitem__)[:-1]:
            macs[member] -= networks[member].forward_macs(frozen[member])
    return macs


# --- speed from records -------------------------------------------------------------------------


@dataclass(frozen=True)
class _Speed:
    """The median time in s of a multiply-accumulate over so many runs."""

    s_per_mac: float
    runs: int


def timing_of(record: Mapping[str, Any]) -> RunTiming | None:
    """None for a record without a valid measurement. Fast: a store may have 100,000."""
    try:
        config, pack_size = record["config"], record.get("pack_size", 1)
        model, transfer = config["model"], config["transfer"]
        variant = variants.parse(transfer["variant"], n=transfer["n"], target=transfer["target"])
        outputs = model["num_outputs"] or record["num_classes"]
        images, train = config["data"], config["train"]
        if config["split"].get("a"):  # which of the two it sees is not written in one place
            images = vars(views.inputs(build_config(config, recorded=True)))
        sizes = tuple(images[key] for key in ("name", "size", "crop"))
        timing = RunTiming(
            (model["name"], *sizes, train["batch_size"], train["precision"]),
            (model["name"], outputs, sizes[-1]),
            record["time_s"] * config["runtime"]["devices"] / pack_size,
            record["images"],
            variant.n if variant.frozen else 0,
            pack_size == 1 or not variant.frozen,
        )
        hash(timing)
        sound = 0 < timing.device_s < math.inf and timing.images > 0
    except (LookupError, TypeError, ValueError, ArithmeticError, AttributeError):
        return None
    return timing if sound else None


def _rates(timings: Iterable[RunTiming], facts: Facts) -> dict[Recipe, _Speed]:
    """The rate of every recipe whose network is in `facts`, with any number of outputs."""
    by_model = {(shape.model, shape.image_size): known for shape, known in facts.items()}
    samples: dict[Recipe, dict[bool, list[float]]] = {}
    for timing in timings:
        shape = NetworkShape(*timing.network)
        known = facts.get(shape) or by_model.get((shape.model, shape.image_size))
        if known is not None:
            macs = timing.images * max(known.training_macs(timing.frozen), 1)
            group = samples.setdefault(timing.recipe, {True: [], False: []})
            group[timing.own].append(timing.device_s / macs)
    best = {recipe: group[True] or group[False] for recipe, group in samples.items()}
    return {recipe: _Speed(statistics.median(s), len(s)) for recipe, s in best.items()}


def _source(runs: int, probed: Sequence[NetworkFacts]) -> str:
    """`from 12 finished runs in the store`, and the probe of the others."""
    parts = []
    if runs:
        parts.append(f"from {_several(runs, 'finished run')} in the store")
    if probed:
        s_per_mac = [network.s_per_mac for network in probed if network.s_per_mac is not None]
        ends = dict.fromkeys(_short(1 / s) for s in (max(s_per_mac), min(s_per_mac)))
        parts.append(
            (f"for {_several(len(probed), 'other run')} " if runs else "")
            + f"from multiply-accumulates: {' to '.join(ends)} a second in a probe on this "
            f"machine ({probed[0].device})"
        )
    return "; ".join(parts) or "nothing is to be trained"


def _several(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _short(number: float) -> str:
    """`3.1e9`."""
    mantissa, _, exponent = f"{number:.1e}".partition("e")
    return f"{mantissa}e{int(exponent)}"
