"""Loaders of other libraries, where they are installed: each once over the same JPEGs.

DALI on the processor, one thread: decoded, resized and cropped as our loader does, or with its own
fused crop as torchvision's default does. torchcodec, which has torchvision's decoders: its pixels,
our resizing, without a thread that reads ahead. FFCV reads a format of its own, which nothing here
writes.
"""

import importlib.util
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from transferlab.data.datasets import decode

CLOCK = time.process_time  # as in `loader`
DALI, DALI_CROP, TORCHCODEC = "DALI", "DALI, fused crop", "torchcodec"
# Times as fast as it that a folder of JPEGs must be
TARGETS = {DALI: 1.0, DALI_CROP: 1.0, TORCHCODEC: None}
MODULES = {DALI: "nvidia.dali", DALI_CROP: "nvidia.dali", TORCHCODEC: "torchcodec"}


def installed(name: str) -> bool:
    """Whether a side of this name can be measured."""
    try:
        return importlib.util.find_spec(MODULES[name]) is not None
    except ModuleNotFoundError:  # of the package in which it would be
        return False


def measures(
    files: Sequence[str], *, size: int, crop: int, batch: int
) -> dict[str, Callable[[], float]]:
    """Name -> the time in s of all files, at whole batches, of those that are installed."""
    sides: dict[str, Callable[[], float]] = {
        DALI: lambda: _by_dali(files, size=size, crop=crop, batch=batch, fused=False),
        DALI_CROP: lambda: _by_dali(files, size=size, crop=224, batch=batch, fused=True),
        TORCHCODEC: lambda: _by_torchcodec(files, size=size, crop=crop),
    }
    return {name: measure for name, measure in sides.items() if installed(name)}


def _by_dali(files: Sequence[str], *, size: int, crop: int, batch: int, fused: bool) -> float:
    """Nothing is read ahead, as in one process on one core; the first batch is not counted."""
    from nvidia.dali import fn, pipeline_def, types

    @pipeline_def(batch_size=batch, num_threads=1, device_id=None, prefetch_queue_depth=1,
                  exec_async=False, exec_pipelined=False, seed=0)  # fmt: skip
    def made() -> Any:
        contents, _ = fn.readers.file(files=list(files))
        at = {"interp_type": types.INTERP_LINEAR, "antialias": True}
        if fused:
            pixels = fn.decoders.image_random_crop(contents, device="cpu")
            pixels = fn.resize(pixels, size=[crop, crop], **at)
            corner = {}
        else:
            pixels = fn.resize(fn.decoders.image(contents, device="cpu"), size=[size, size], **at)
            corner = {f"crop_pos_{axis}": fn.random.uniform(range=(0.0, 1.0)) for axis in "xy"}
        return fn.crop_mirror_normalize(
            pixels, crop=(crop, crop), mirror=fn.random.coin_flip(), dtype=types.UINT8,
            output_layout="HWC", **corner,
        )  # fmt: skip

    pipeline = made()
    pipeline.build()
    pipeline.run()
    start = CLOCK()
    for _ in range(len(files) // batch):
        pipeline.run()
    return CLOCK() - start


def _by_torchcodec(files: Sequence[str], *, size: int, crop: int) -> float:
    from torchcodec.decoders import decode_jpeg

    out = np.empty((crop, crop, 3), np.uint8)
    start = CLOCK()
    for name in files:
        pixels = decode_jpeg(name).permute(1, 2, 0).numpy()
        out[:] = decode.fit(pixels, size=size, resize="warp")[:crop, :crop]
    return CLOCK() - start
