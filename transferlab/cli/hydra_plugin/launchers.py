"""`hydra/launcher=slurm` and `hydra/launcher=local`: Hydra multiruns through our launchers.

A multirun's jobs are planned together, bases first, each run once. Installed as
`hydra_plugins.transferlab_launchers`.
"""

from collections.abc import Sequence
from typing import Any

from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class _Planned(Launcher):
    """The common part: the runs of all jobs, carried out as one plan."""

    def __init__(self, pack_size: Any, **settings: Any) -> None:
        self.pack_size, self.settings = pack_size, settings
        self.config: DictConfig | None = None
        self.hydra_context: HydraContext | None = None

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        self.hydra_context, self.config = hydra_context, config

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        """Carry the jobs out; the return value of a job is its accuracy, once that is known."""
        from transferlab.cli import multirun
        from transferlab.experiment import compose, interpolation

        assert self.hydra_context is not None and self.config is not None
        loader = self.hydra_context.config_loader
        composed = [
            loader.load_sweep_config(self.config, list(overrides)) for overrides in job_overrides
        ]
        given = interpolation.plain(self.config.hydra.launcher, "hydra.launcher.")
        settings = {key: given[key] for key in self.settings}
        results = multirun.launch(
            [compose.run_config(each) for each in composed], settings, self.pack_size
        )
        returns = []
        for config, overrides, top1 in zip(composed, job_overrides, results, strict=True):
            job = JobReturn(cfg=config, overrides=list(overrides), hydra_cfg=config,
                            task_name="transferlab", status=JobStatus.COMPLETED)  # fmt: skip
            job.return_value = top1
            returns.append(job)
        return returns


class SlurmLauncher(_Planned):
    """Submits the missing runs and returns immediately."""


class LocalLauncher(_Planned):
    """Trains the missing runs in worker processes, and waits."""
