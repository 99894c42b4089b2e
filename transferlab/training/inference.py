"""What a finished run's folder has so that its network can be used without the data set.

`inference.json` has the model, the classes in the order of the labels, and the preprocessing;
`mean.safetensors` what is subtracted: one colour, or the mean image, a value for every pixel and
channel: 12 S**2 bytes, 12 kB for 32 pixels a side and 786 kB for 256. Every run has its own copy,
so that its folder can be taken away alone. The sha256 of `inference.json` is in `result.json`, that
of the mean in `inference.json`. `classifier.load_run` uses both.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

from transferlab import store
from transferlab.errors import UserError
from transferlab.experiment import views
from transferlab.experiment.run import INFERENCE, MEAN, RESULT, Run
from transferlab.runtime import commands, files
from transferlab.runtime.reading import Damaged
from transferlab.store import reader, schemas

CHANNELS = "RGB"  # the order in which `data.datasets.decode` returns them
TENSOR = "mean"  # the name of the mean image in its file


@dataclass(frozen=True)
class Preprocessing:
    """From a picture to an input.

    The picture is resized to `size` pixels a side by the rule `resize` of `decode.fit`; the middle
    `crop` pixels of the mean image, or one mean colour, are subtracted from its own; the result is
    multiplied by `scale`, one factor or one for each channel. `channels` is the order of the
    colours, and with `grey` their luminance is in all three; `decode` is `data.decode`.
    `mean_sha256` is None if nothing is subtracted.
    """

    channels: str
    size: int
    resize: str
    crop: int
    mean_sha256: str | None
    scale: float | tuple[float, ...]
    grey: bool = False  # earlier versions had no choice
    decode: str = "exact"  # nor here


@dataclass(frozen=True)
class Inference:
    """What a network is, takes and gives: `classes[k]` is the name of output k.

    `num_outputs` may be more than the classes. `precision` and `channels_last` are those of
    `conf/train`, in which it was validated.
    """

    model: str
    reduction: str | None
    num_outputs: int
    classes: tuple[str, ...]
    preprocessing: Preprocessing
    precision: str
    channels_last: bool


def save(run: Run, classes: Sequence[str], mean: np.ndarray | None) -> str:
    """Write `mean.safetensors`, if there is a mean (see `Mean`), and `inference.json`.

    Returns the sha256 of `inference.json`. Raises: UserError if the disk is full.
    """
    data, train = views.inputs(run.config), run.config.train
    mean_sha256 = None
    if mean is not None:
        content = safetensors.numpy.save({TENSOR: mean})
        files.write(run.mean_file, lambda file: file.write(content))
        mean_sha256 = files.sha256(run.mean_file)
    inference = Inference(
        run.config.model.name,
        run.config.model.reduction,
        run.num_outputs,
        tuple(classes),
        Preprocessing(
            CHANNELS,
            data.size,
            data.resize,
            data.crop,
            mean_sha256,
            data.scale,
            data.grey,
            data.decode,
        ),
        train.precision,
        train.channels_last,
    )
    head = {"format": store.FORMAT, "id": run.id, "label": run.label}
    files.write_json(run.inference_file, {**head, **asdict(inference)})
    return files.sha256(run.inference_file)


def load(folder: Path, record: dict[str, Any]) -> tuple[Inference, np.ndarray | None, int]:
    """What `save` wrote, the mean, and the user id of the owner of `inference.json`; `record`
    is the run's `result.json`.

    Raises: UserError if a file is missing, damaged or of another version.
    """
    if "inference_sha256" not in record:
        raise UserError(
            f"{folder} has no {INFERENCE}: an earlier version made it, which kept neither the "
            "classes nor the mean image. Train it again in this one: "
            + commands.line("rerun", str(folder))
        )
    path = folder / INFERENCE
    file = store.read_file(path, record["inference_sha256"], record=folder / RESULT)
    raw = reader.parse(path, file, schemas.INFERENCE)
    preprocessing = Preprocessing(**raw["preprocessing"])
    inference = Inference(
        raw["model"],
        raw.get("reduction"),  # earlier versions had no choice
        raw["num_outputs"],
        tuple(raw["classes"]),
        preprocessing,
        raw["precision"],
        raw["channels_last"],
    )
    mean = None
    if preprocessing.mean_sha256 is not None:
        mean = _mean(folder / MEAN, preprocessing, record=path)
    return inference, mean, file.owner


def _mean(path: Path, preprocessing: Preprocessing, *, record: Path) -> np.ndarray:
    """The mean image (S, S, 3) float32, S = `size`, or colour (3,). Raises: Damaged, Unreadable."""
    assert preprocessing.mean_sha256 is not None
    file = store.read_file(path, preprocessing.mean_sha256, record=record)
    shape = (preprocessing.size, preprocessing.size, len(CHANNELS))
    try:
        mean = safetensors.numpy.load(file.data)[TENSOR]
        fits = mean.shape in (shape, shape[2:]) and mean.dtype == np.float32
        if not fits or not np.isfinite(mean).all():
            raise ValueError(f"it is no mean image {shape} of finite float32")
    except (ValueError, KeyError, safetensors.SafetensorError) as error:
        raise Damaged(f"{path} is damaged ({error}): restore the right file") from error
    return mean
