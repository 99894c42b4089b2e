"""The state from which an interrupted run resumes exactly, and the weights of a finished one.

One checkpoint per run, also for runs that are trained together, so that a pack can be divided
later. Loaded with `weights_only=True`; weights are safetensors.
"""

import io
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from transferlab.errors import UserError
from transferlab.experiment.run import Run
from transferlab.runtime import files

FORMAT = 1


@dataclass(frozen=True)
class TrainingState:
    """A run between two steps. `step` steps are done; `curve` has a row per validation.

    `sums` are the training loss, hits and images since the last validation; `skipped` the files
    that could not be read, as name in the data set -> sha256; `time_s` the training time so far,
    over all its sessions.
    """

    step: int
    weights: dict[str, Tensor]
    velocity: dict[str, Tensor]
    sums: tuple[float, float, float]
    curve: tuple[dict[str, Any], ...]
    skipped: dict[str, str]
    time_s: float

    @property
    def validated(self) -> bool:
        """True if the validation that belongs to this step is in the curve."""
        return bool(self.curve) and self.curve[-1]["step"] == self.step


def save(run: Run, state: TrainingState) -> None:
    """Write `last.ckpt` atomically. Raises: UserError if the disk is full."""
    record = {"format": FORMAT, "id": run.id}
    record |= {field.name: getattr(state, field.name) for field in fields(TrainingState)}
    content = io.BytesIO()  # torch's error for a full disk does not name the cause
    torch.save(record, content)
    files.write(run.checkpoint_file, lambda file: file.write(content.getbuffer()))


def load(run: Run) -> TrainingState | None:
    """The run's last state, None if there is none.

    Raises: UserError for a checkpoint that is damaged, foreign or of another version.
    """
    if not run.checkpoint_file.exists():
        return None
    try:
        record = torch.load(run.checkpoint_file, map_location="cpu", weights_only=True)
        if record["format"] != FORMAT or record["id"] != run.id:
            raise ValueError(f"format {record['format']}, run {record['id']}")
        state = TrainingState(**{field.name: record[field.name] for field in fields(TrainingState)})
    except Exception as error:  # torch.load raises anything for a damaged file
        raise UserError(
            f"{run.checkpoint_file} cannot be read ({type(error).__name__}: {error}): restore "
            "a good copy, or delete it to train the run from the start"
        ) from error
    return state


def save_weights(run: Run, weights: dict[str, Tensor]) -> str:
    """Write `weights.safetensors` atomically; its sha256."""
    content = safetensors.torch.save({name: w.contiguous() for name, w in weights.items()})
    files.write(run.weights_file, lambda file: file.write(content))
    return files.sha256(run.weights_file)


def load_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file. Raises: UserError if it is damaged."""
    try:
        return safetensors.torch.load_file(path)
    except (OSError, safetensors.SafetensorError) as error:
        raise UserError(f"{path} is damaged ({error}): delete it and its result.json") from error
