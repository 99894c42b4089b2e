"""The state from which an interrupted run resumes exactly, and the weights of a finished one.

One checkpoint per run, also for runs that are trained together, so that a pack can be divided
later. Loaded with `weights_only=True`; weights are safetensors.
"""

import io
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from transferlab import store
from transferlab.errors import UserError
from transferlab.experiment.run import Run
from transferlab.runtime import files, reading
from transferlab.runtime.reading import Damaged

FORMAT = 1
REMEDY = "restore the right file, or delete it and its result.json to train the run again"


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
    remedy = "restore a good copy, or delete it to train the run from the start"
    content = reading.read(run.checkpoint_file, limit=store.LARGEST_FILE, remedy=remedy)
    if content is None:
        return None
    try:
        record = torch.load(io.BytesIO(content.data), map_location="cpu", weights_only=True)
        if record["format"] != FORMAT or record["id"] != run.id:
            raise ValueError(f"format {record['format']}, run {record['id']}")
        state = TrainingState(**{field.name: record[field.name] for field in fields(TrainingState)})
    except Exception as error:  # torch.load raises anything for a damaged file
        raise UserError(
            f"{run.checkpoint_file} cannot be read ({type(error).__name__}: {error}): {remedy}"
        ) from error
    return state


def save_weights(run: Run, weights: dict[str, Tensor]) -> str:
    """Write `weights.safetensors` atomically; its sha256."""
    content = safetensors.torch.save({name: w.contiguous() for name, w in weights.items()})
    files.write(run.weights_file, lambda file: file.write(content))
    return files.sha256(run.weights_file)


def load_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file. Raises: UserError as `parse_weights` does, and if the file
    is missing or cannot be read."""
    content = reading.read(path, limit=store.LARGEST_FILE, remedy=REMEDY)
    if content is None:
        raise Damaged(f"{path} is missing: {REMEDY}")
    return parse_weights(content.data, path)


def parse_weights(data: bytes, path: Path) -> dict[str, Tensor]:
    """The tensors in the content of a safetensors file, `path`.

    Raises: Damaged if it is none, or a value is not finite.
    """
    try:
        weights = safetensors.torch.load(data)
    except (ValueError, safetensors.SafetensorError) as error:
        raise Damaged(f"{path} is damaged ({error}): {REMEDY}") from error
    for name, tensor in weights.items():
        if not torch.isfinite(tensor).all():
            raise Damaged(f"{path} is damaged ({name} has values that are not finite): {REMEDY}")
    return weights


def require_alike(weights: Mapping[str, Tensor], network: nn.Module, path: Path) -> None:
    """Raises: Damaged, with all differences, unless the tensors in `path` have the names, shapes
    and types of those of the network."""
    found, needed = (
        {name: f"{name} {_form(tensor)}" for name, tensor in tensors.items()}
        for tensors in (weights, network.state_dict())
    )
    parts = [
        f"{title} {', '.join(sorted(forms))}"
        for title, forms in (
            ("only in the file", set(found.values()) - set(needed.values())),
            ("only in the network", set(needed.values()) - set(found.values())),
        )
        if forms
    ]
    if parts:
        raise Damaged(f"{path} is not of this network ({'; '.join(parts)}): {REMEDY}")


def _form(tensor: Tensor) -> str:
    """`64x3x11x11 float32`."""
    shape = "x".join(map(str, tensor.shape)) or "scalar"
    return f"{shape} {str(tensor.dtype).removeprefix('torch.')}"
