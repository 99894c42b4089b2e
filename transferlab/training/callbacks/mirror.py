"""The curves of a pack in TensorBoard or Weights & Biases, while it is trained."""

from collections.abc import Sequence

from pytorch_lightning import Callback, LightningModule, Trainer

from transferlab.errors import Interrupted
from transferlab.experiment.run import Run
from transferlab.store import mirrors
from transferlab.training.callbacks.curve import Curve
from transferlab.training.callbacks.nan import NanGuard
from transferlab.training.callbacks.stop import Stopped
from transferlab.training.pack_module import as_pack


class Mirrors(Callback):
    """Copies each row of the curves to the mirror that the config asks for, after it was saved.

    Not Lightning's loggers: a Trainer has one set of them, but every run of a pack its own page.
    """

    def __init__(self, runs: Sequence[Run], curve: Curve, nan: NanGuard) -> None:
        self.runs, self.curve, self.nan = runs, curve, nan
        self.mirrors: list[mirrors.Mirror | None] = []

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if trainer.is_global_zero and stage == "fit":
            self.mirrors = [mirrors.mirror(run) for run in self.runs]

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        for member in as_pack(pl_module).active if self.mirrors else ():
            if (mirror := self.mirrors[member]) is not None:
                mirror.log(dict(self.curve.rows[member][-1]))

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        self._close(Interrupted.exit_code if isinstance(exception, Stopped) else 1)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self._close(0)

    def _close(self, exit_code: int) -> None:
        for run, mirror in zip(self.runs, self.mirrors, strict=False):
            if mirror is not None:
                mirror.close(1 if run.label in self.nan.failed else exit_code)
        self.mirrors = []
