"""The memory of the device that this process trains on: what fits into it, and when it is full."""

import gc
from collections.abc import Iterable

import torch

from transferlab import assembly, machine, networks, shapes
from transferlab.config import RunConfig
from transferlab.memory import Room
from transferlab.networks import Network, NetworkFacts

# How a full memory is told of where that is not an error of its own kind: the processor's, by
# torch; CUDA's own; those of cuBLAS and cuDNN
FULL = ("can't allocate memory", "out of memory", "ALLOC_FAILED")


def room(configs: Iterable[RunConfig], device: torch.device, *, devices: int) -> Room:
    """What the networks of these runs need, and what is free for them."""
    facts: dict[Network, NetworkFacts] = {}
    for config in configs:
        network = networks.network_of(config)
        if network not in facts:
            facts[network] = networks.remembered(config) or _facts(config)
    return Room(facts, _free_bytes(device, alike=devices > 1))


def is_full(error: BaseException) -> bool:
    """Whether the error says that there was no memory left, on the device or for the process."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in FULL)


def release() -> None:
    """Give back the memory of networks that nobody has any more; they hold one another."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _facts(config: RunConfig) -> NetworkFacts:
    with torch.device("meta"):
        network = assembly.network(config)
    found = shapes.stages(network, config.data.crop)
    return NetworkFacts(tuple(stage.fact for stage in found), None, None, None)


def _free_bytes(device: torch.device, *, alike: bool) -> int | None:
    """What is free on the device, None if it does not say.

    `alike`: all that it has, since several processes have to come to the same.
    """
    if device.type == "cpu":
        return machine.total_bytes() if alike else machine.free_bytes()
    if device.type != "cuda":
        return None
    free, total = torch.cuda.mem_get_info(device)
    return total if alike else free
