"""Interruptions of a training in this process, at a chosen step."""

import os
import signal


class stop_after:
    """Requests a stop, as a signal does, once a step is done; expects the interruption."""

    def __init__(self, step: int) -> None:
        from transferlab.training.pack_module import PackModule

        self.step, self.module, self.original = step, PackModule, PackModule.training_step

    def __enter__(self) -> None:
        def training_step(module, batch, batch_idx):
            self.original(module, batch, batch_idx)
            if module.step == self.step:
                os.kill(os.getpid(), signal.SIGTERM)

        self.module.training_step = training_step  # type: ignore[method-assign]

    def __exit__(self, kind: type | None, error: BaseException | None, trace: object) -> bool:
        from transferlab.errors import Interrupted

        self.module.training_step = self.original  # type: ignore[method-assign]
        assert kind is Interrupted, error
        return True
