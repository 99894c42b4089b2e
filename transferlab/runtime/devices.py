"""Names of torch devices, their memory, and the errors of a full memory."""

import gc
import platform

import torch

from transferlab.runtime import machine

# Parts of out-of-memory messages that have no exception type of their own: of the processor's
# memory (torch), of CUDA's, and of cuBLAS and cuDNN
OUT_OF_MEMORY = ("can't allocate memory", "out of memory", "ALLOC_FAILED")


def name(device: torch.device) -> str:
    """The device's name with its kind, `cuda: NVIDIA H200`, and of a processor its instructions, on
    which the last bits depend: `cpu: AMD EPYC (AVX512, bfloat16)`."""
    if device.type == "cuda":
        return f"cuda: {torch.cuda.get_device_name(device)}"
    if device.type != "cpu":
        return f"{device.type}: {platform.machine()}"
    instructions = [torch.backends.cpu.get_cpu_capability()]
    if has_bfloat16(device):
        instructions.append("bfloat16")
    processor = torch.cpu.get_capabilities().get("cpu_name") or platform.machine()
    return f"cpu: {processor} ({', '.join(instructions)})"


def name_with_threads(device: torch.device) -> str:
    """The device's name and, of a processor, the threads: `cpu: AMD EPYC (AVX2), 1 thread`."""
    if device.type != "cpu":
        return name(device)
    threads = torch.get_num_threads()
    return f"{name(device)}, {threads} thread{'' if threads == 1 else 's'}"


def best(accelerator: str) -> torch.device:
    """The accelerator of this machine; the processor without one, or if `accelerator` is `cpu`."""
    device = None if accelerator == "cpu" else torch.accelerator.current_accelerator(True)
    return torch.device("cpu") if device is None else device


def present() -> str:
    """The devices that this machine has, as a message names them: `2 of cuda`, `only cpu`."""
    device = torch.accelerator.current_accelerator(True)
    return "only cpu" if device is None else f"{torch.accelerator.device_count()} of {device.type}"


def has_bfloat16(device: torch.device) -> bool:
    """Whether the device computes in bfloat16 natively, not via float32."""
    if device.type != "cpu":
        return True
    capabilities = torch.cpu.get_capabilities()
    return any(present for key, present in capabilities.items() if "bf16" in key)


def gpu_memory_bytes(device: torch.device) -> int | None:
    """The memory of a GPU; None for the processor, and for a device that does not report it."""
    if device.type != "cuda":
        return None
    return torch.cuda.get_device_properties(device).total_memory


def free_memory_bytes(device: torch.device, *, alike: bool) -> int | None:
    """The memory that is free on the device, None if the device does not report it.

    `alike`: its total memory instead, so that several processes get the same answer.
    """
    if device.type == "cpu":
        return machine.total_bytes() if alike else machine.free_bytes()
    if device.type != "cuda":
        return None
    free, total = torch.cuda.mem_get_info(device)
    return total if alike else free


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the error says that no memory was left, on the device or for the process."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(part in str(error) for part in OUT_OF_MEMORY)


def release_memory() -> None:
    """Free the memory of unreferenced networks, which have reference cycles."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
