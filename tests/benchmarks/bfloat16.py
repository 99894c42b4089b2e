"""What bfloat16 costs on a processor: `python tests/benchmarks/bfloat16.py`, a minute.

Training steps of `alexnet_small`, 128 images of 32 pixels, channels_last, one thread: in float32,
in bfloat16 as runs compute it, and in bfloat16 as torch does. Where torch has products in bfloat16
on this processor, the last two are the same.
"""

import time

import torch
import torch.nn.functional as F

from transferlab import models
from transferlab.bench import harness, report
from transferlab.bench.harness import Comparison, Side
from transferlab.runtime import bfloat16

CPU, IMAGES, REPETITIONS = torch.device("cpu"), 128, 5
FLOAT32, OURS, TORCH = "float32", "bfloat16", "bfloat16 of torch"


def main() -> None:
    torch.set_num_threads(1)
    network = models.build("alexnet_small", num_outputs=100, image_size=32).train()
    network.initialise(lambda stage: 0)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(IMAGES, 3, 32, 32, generator=generator)
    images = images.contiguous(memory_format=torch.channels_last)
    labels = torch.arange(IMAGES) % 100

    def step(precision: str, *, prepared: bool) -> float:
        if prepared:
            bfloat16.prepare(CPU)
        else:
            bfloat16.withdraw()
        start = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=precision != FLOAT32):
            loss = F.cross_entropy(network(images).float(), labels)
        loss.backward()
        return time.perf_counter() - start

    measured = harness.measure(
        "bfloat16",
        f"training steps of alexnet_small, {IMAGES} images of 32 pixels, one thread",
        [
            Side(FLOAT32, lambda: step(FLOAT32, prepared=False), IMAGES, "images"),
            Side(OURS, lambda: step(OURS, prepared=True), IMAGES, "images"),
            Side(TORCH, lambda: step(TORCH, prepared=False), IMAGES, "images"),
        ],
        [Comparison(OURS, FLOAT32, "speed", None), Comparison(OURS, TORCH, "speed", None)],
        repetitions=REPETITIONS,
    )
    print(*report.as_lines(measured), sep="\n")


if __name__ == "__main__":
    main()
