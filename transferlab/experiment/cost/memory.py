"""An estimate of the device memory needed to train runs together.

One formula for the plan, which sizes its packs by it, and for the process that trains one. It
takes the networks' facts and no torch. Main memory that holds images while a GPU trains is not
counted.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from transferlab.experiment.config import TrainConfig
from transferlab.experiment.cost.networks import network_of
from transferlab.experiment.run import Run
from transferlab.models.facts import Facts, Footprint, NetworkShape

# Bytes of a process before its first network. On the processor torch and Lightning, 0.8e9 resident
# with torch 2.15; on a GPU its context, its kernels and the workspaces of the libraries, assumed to
# be no more (not measured).
RESERVE = 1_000_000_000
VALUE = 4  # bytes of a float32: weights, gradients and momentum, whatever the precision
COPY = 2  # bytes of a bfloat16: the weights that autocast converts and keeps for a step
BATCHES = 4  # of bytes, in the ring of data.ring
GB = 1e9


@dataclass(frozen=True)
class Room:
    """The networks of a plan, and the memory in bytes of each process on its device.

    `device_bytes` counts unless `runtime.memory_gb` is set; None: unknown, so everything fits.
    """

    facts: Facts
    device_bytes: int | None
    # A study has few shapes of runs and packs: id -> shape -> number; numbers of a pack, and the
    # devices, which are not in an id -> bytes
    _shapes: dict[str, int] = field(default_factory=dict, compare=False, repr=False)
    _numbers: dict["RunShape", int] = field(default_factory=dict, compare=False, repr=False)
    _needs: dict[tuple[int, tuple[int, ...]], int] = field(
        default_factory=dict, compare=False, repr=False
    )

    def limit(self, run: Run) -> int | None:
        """The memory that the run's process may use, in bytes; None: unlimited."""
        memory_gb = run.config.runtime.memory_gb
        return self.device_bytes if memory_gb is None else int(memory_gb * GB)

    def need(self, runs: Sequence[Run]) -> int:
        """The memory of a process that trains these runs together, in bytes."""
        shapes = self._shapes
        try:
            pack = tuple([shapes[run.id] for run in runs])
        except KeyError:
            for run in runs:
                shapes[run.id] = self._numbers.setdefault(_shape(run), len(self._numbers))
            pack = tuple([shapes[run.id] for run in runs])
        key = (runs[0].config.runtime.devices, pack)
        if key not in self._needs:
            self._needs[key] = RESERVE + training_bytes(runs, self.facts)
        return self._needs[key]

    def fits(self, runs: Sequence[Run]) -> bool:
        """Whether these runs can be trained together."""
        limit = self.limit(runs[0])
        return limit is None or self.need(runs) <= limit


class RunShape(NamedTuple):
    """What the memory of a run in training depends on, alone and in a pack: `frozen` are the stages
    that do not learn, `base` is whose mean is subtracted from its images."""

    network: NetworkShape
    frozen: int
    base: str | None
    train: TrainConfig


def _shape(run: Run) -> RunShape:
    config, variant = run.config, run.config.variant
    frozen = variant.n if variant.frozen else 0
    return RunShape(network_of(run), frozen, variant.base, config.train)


def training_bytes(runs: Sequence[Run], facts: Facts) -> int:
    """The peak memory on each device of training these runs together, in bytes.

    They have the same target, recipe and image size. The peak is in the backward pass, which frees
    what the forward pass kept stage by stage, one member after another; or in the update, which
    copies gradients, all of them on a GPU and one at a time, twice, on the processor; or in the
    validation.
    """
    members = [*map(_shape, runs)]
    train, crop = members[0].train, members[0].network.image_size
    parameters = learning = largest = kept = above = outputs = widest = 0
    for network, frozen, *_ in members:
        stages = facts[network].stages
        footprints: list[Footprint] = [getattr(stage, train.precision) for stage in stages]
        parameters += sum(stage.parameters for stage in stages)
        learning += sum(stage.parameters for stage in stages[frozen:])
        largest = max(largest, *(stage.parameters for stage in stages[frozen:]))
        outputs += footprints[frozen - 1].output if frozen else 0  # a tap of the shared prefix
        widest = max(widest, *(footprint.widest for footprint in footprints))
        own, peak = _passes(footprints[frozen:])
        kept, above = kept + own, max(above, peak - own)
    means = len({member.base for member in members})  # an image each, at most
    inputs = 3 * crop**2 * VALUE * (means + 1)  # and one being computed
    ring = 3 * crop**2 * BATCHES
    weights = VALUE * (parameters + 2 * learning)  # the gradients, and the momentum
    if train.precision == "bfloat16":
        weights += COPY * parameters
    batch = train.batch_size // runs[0].config.runtime.devices
    training = batch * (inputs + outputs + max(kept + above, widest))
    validation = train.val_batch_size * (ring + inputs + outputs + widest)
    update = VALUE * max(learning, 2 * largest)
    return weights + batch * ring + max(training, validation, update)


def _passes(learning: Sequence[Footprint]) -> tuple[int, int]:
    """Bytes of one image that the learning stages keep at the end of the forward pass; and their
    peak, with the widest layer of the stage that is being computed."""
    kept = peak = 0
    for footprint in learning:
        kept += footprint.kept
        peak = max(peak, kept + footprint.widest)
    return kept, peak


def used_of(need: int, limit: int) -> str:
    """`38.2 GB of 40 GB`."""
    return f"{need / GB:.3g} GB of {limit / GB:.3g} GB"
