"""A process that trains runs and kills itself with SIGKILL at a chosen moment. For test_kill."""

import os
import signal
from collections.abc import Callable
from typing import Any


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def train(pack: Any, moment: str, count: int) -> None:
    """Train the resolved configs together; die at the `count`-th occurrence of `moment`."""
    import torch

    from transferlab import store
    from transferlab.launch import inline
    from transferlab.runtime import files
    from transferlab.runtime.signals import StopRequest
    from transferlab.training.pack_module import PackModule

    torch.set_num_threads(1)
    left = count

    def reached() -> bool:
        nonlocal left
        left -= 1
        return left == 0

    original_step, original_write = PackModule.training_step, files.write
    original_finish = store.finish

    def training_step(module: Any, batch: Any, batch_idx: int) -> None:
        original_step(module, batch, batch_idx)
        if moment == "after a step" and reached():
            kill()

    def write(path: Any, fill: Callable[[Any], object], *advice: str) -> None:
        def fill_half(file: Any) -> None:
            fill(file)
            if path.name == "last.ckpt" and reached():
                file.truncate(file.tell() // 2)
                file.flush()
                kill()

        original_write(path, fill_half if moment == "during a checkpoint" else fill, *advice)
        if moment == "after a checkpoint" and path.name == "last.ckpt" and reached():
            kill()

    def finish(run: Any, record: Any) -> None:
        if moment == "before the record" and reached():
            kill()
        original_finish(run, record)

    PackModule.training_step = training_step  # type: ignore[method-assign]
    files.write, store.finish = write, finish
    inline.train(pack, StopRequest())
