"""What a torch device is called, what memory it has, and when that is full."""

import gc
import platform

import torch

from transferlab.runtime import machine


def name(chosen: torch.device) -> str:
    """The device's name with its kind, `cuda: NVIDIA H200`."""
    if chosen.type == "cuda":
        return f"cuda: {torch.cuda.get_device_name(chosen)}"
    name = torch.cpu.get_capabilities().get("cpu_name") if chosen.type == "cpu" else None
    return f"{chosen.type}: {name or platform.machine()}"


def has_bfloat16(device: torch.device) -> bool:
    """Whether the device computes in bfloat16 itself rather than by way of float32."""
    if device.type != "cpu":
        return True
    return any(there for name, there in torch.cpu.get_capabilities().items() if "bf16" in name)


def best(accelerator: str) -> torch.device:
    """The best device of this machine, or the processor where `cpu` is asked for."""
    there = None if accelerator == "cpu" else torch.accelerator.current_accelerator(True)
    return torch.device("cpu") if there is None else there


def memory_bytes(device: torch.device) -> int | None:
    """The memory of a GPU; None for the processor, and for one that does not say."""
    if device.type != "cuda":
        return None
    return torch.cuda.get_device_properties(device).total_memory


def description(device: torch.device) -> str:
    """`cuda: NVIDIA H200`, `cpu: AMD EPYC, 1 thread`."""
    if device.type != "cpu":
        return name(device)
    threads = torch.get_num_threads()
    return f"{name(device)}, {threads} thread{'' if threads == 1 else 's'}"


# How a full memory is told of where that is not an error of its own kind: the processor's, by
# torch; CUDA's own; those of cuBLAS and cuDNN
FULL = ("can't allocate memory", "out of memory", "ALLOC_FAILED")


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


def free_bytes(device: torch.device, *, alike: bool) -> int | None:
    """What is free on the device, None if it does not say.

    `alike`: all that it has, since several processes have to come to the same.
    """
    if device.type == "cpu":
        return machine.total_bytes() if alike else machine.free_bytes()
    if device.type != "cuda":
        return None
    free, total = torch.cuda.mem_get_info(device)
    return total if alike else free
