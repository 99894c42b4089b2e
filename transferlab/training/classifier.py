"""The network of a finished run, to be used: from a picture to class names and probabilities.

Needs the run's folder alone, wherever it was copied to: neither the data set nor the store. The
inputs are those of a validation, made by the same functions.

Shapes: B pictures, P pixels a side of an input, K classes.
"""

import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from transferlab import models, store
from transferlab.data.crops import centre
from transferlab.data.datasets import decode
from transferlab.data.transforms import InputTransform
from transferlab.errors import UserError
from transferlab.experiment.run import INFERENCE, RESULT, WEIGHTS
from transferlab.models.stages import StagedNetwork
from transferlab.runtime import bfloat16, paths
from transferlab.runtime.reading import Damaged
from transferlab.training import checkpoints, inference
from transferlab.training.inference import Inference, Preprocessing
from transferlab.training.losses import posteriors

Picture = str | Path | Image.Image | np.ndarray
BATCH = 64  # pictures that are in memory together


class Prediction(NamedTuple):
    """The name of a class and its probability, in [0, 1]; those of a network with several labels an
    image do not sum to 1. One that learned by hinge or ranking has none: then it is the score."""

    name: str
    probability: float


class Preprocess:
    """Makes the inputs of a network from pictures.

    A picture is the path of an image file, an image that Pillow has opened, or pixels (H, W, 3)
    uint8 in the order red, green, blue.
    """

    def __init__(
        self, settings: Preprocessing, mean: np.ndarray | None, *, channels_last: bool
    ) -> None:
        self.settings, self.mean = settings, mean
        self.transform = InputTransform(
            {"input": mean}, scale=settings.scale, mirror=False, channels_last=channels_last
        )

    def __call__(self, pictures: Sequence[Picture]) -> Tensor:
        """The inputs (B, 3, P, P) float32 of pictures, at least one.

        Raises: UserError that names a picture that cannot be read.
        """
        crops = np.stack([self._crop(picture) for picture in pictures])
        return self.transform({"pixels": torch.from_numpy(crops)})["input"]

    def _crop(self, picture: Picture) -> np.ndarray:
        """(P, P, 3) uint8."""
        crop = self.settings.crop
        settings = self.settings
        pixels = _fitted(picture, settings.size, settings.resize, settings.decode)
        row, column = centre(pixels.shape, crop)
        pixels = pixels[row : row + crop, column : column + crop]
        return decode.to_grey(pixels.copy()) if self.settings.grey else pixels


class Classifier:
    """The network of a finished run, with its classes and its preprocessing: see `load_run`.

    network: in evaluation mode, from inputs (B, 3, P, P) to logits (B, K). It may be moved to
        another device, where torch's own settings apply (TF32, for instance).
    classes: the names of the classes, in the order of the labels; `num_outputs` may be more.
    preprocess: makes inputs from pictures.
    record: the content of the run's `result.json`.
    """

    def __init__(
        self,
        network: StagedNetwork,
        interface: Inference,
        mean: np.ndarray | None,
        record: dict[str, Any],
    ) -> None:
        self.network, self.record = network, record
        self.classes, self.num_outputs = interface.classes, interface.num_outputs
        self.precision = interface.precision
        loss = record["config"]["train"].get("loss", "cross_entropy")  # all that earlier ones had
        self.posteriors = posteriors(loss)
        self.preprocess = Preprocess(
            interface.preprocessing, mean, channels_last=interface.channels_last
        )

    def __repr__(self) -> str:
        return f"<{self.record['label']} {self.record['id']}: {len(self.classes)} classes>"

    def classify(self, picture: Picture, *, topk: int = 5) -> tuple[Prediction, ...]:
        """The `topk` most probable classes of a picture, the most probable first.

        Raises: UserError if the picture cannot be read.
        """
        return self.classify_all([picture], topk=topk)[0]

    def classify_all(
        self, pictures: Iterable[Picture], *, topk: int = 5
    ) -> list[tuple[Prediction, ...]]:
        """As `classify`, for each of several pictures in their order."""
        listed, predictions = list(pictures), []
        for start in range(0, len(listed), BATCH):
            probabilities = self.posteriors(self.logits(listed[start : start + BATCH]))
            best = probabilities.topk(min(topk, probabilities.shape[1]))
            for values, outputs in zip(best.values.tolist(), best.indices.tolist(), strict=True):
                names = map(self._name, outputs)
                predictions.append(tuple(map(Prediction, names, values)))
        return predictions

    @torch.no_grad()
    def logits(self, pictures: Sequence[Picture]) -> Tensor:
        """The network's outputs (B, K) float32 for pictures, at least one."""
        device = next(self.network.parameters()).device
        inputs = self.preprocess(pictures).to(device)
        with bfloat16.autocast(device, self.precision):
            return self.network(inputs).float().cpu()

    def _name(self, output: int) -> str:
        """The class of an output; a network may have more outputs than its half has classes."""
        return self.classes[output] if output < len(self.classes) else f"output {output}"


def load_run(folder: str | Path, *, trust: bool = False) -> Classifier:
    """The network of the finished run in a folder, ready to classify pictures.

    The folder may have been copied from its store and renamed. Weights are safetensors, the rest is
    JSON, and every digest is checked. A network of somebody's own, `package.module:function`, is
    imported only if its record is this user's, or with `trust` (see `store.trust`).

    Raises: UserError if the run is not finished or was made by a version that did not keep classes
        and mean image, or if a file is missing or damaged.
    """
    folder = paths.expand(folder)
    record = store.read_copy(folder).values
    interface, mean, owner = inference.load(folder, record)
    path = folder / WEIGHTS
    file = store.read_file(path, record["weights_sha256"], record=folder / RESULT)
    weights = checkpoints.parse_weights(file.data, path)
    if not trust and models.is_own(interface.model):
        named = [f"model.name={interface.model}"]
        store.trust.require(folder / INFERENCE, owner, named, folder=folder)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Initializing zero-element")  # of one without outputs
        network = models.build(
            interface.model,
            num_outputs=interface.num_outputs,
            image_size=interface.preprocessing.crop,
            reduction=interface.reduction,
        )
    # A network that was trained elsewhere may have come without its classifier: it has no outputs
    weights = {k: value for k, value in network.state_dict().items() if not value.numel()} | weights
    try:
        checkpoints.require_alike(weights, network, path)
    except Damaged as error:
        made_by = record["versions"].get("transferlab", "unknown")
        raise UserError(
            f"{path} is not of model.name={interface.model} as it is now, but as version {made_by} "
            f"built it: {error}"
        ) from error
    network.load_state_dict(weights)
    if interface.channels_last:
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return Classifier(network.eval(), interface, mean, record)


def _fitted(picture: Picture, size: int, resize: str, how: str) -> np.ndarray:
    """(H, W, 3) uint8 as `decode.fit` makes it. Raises: UserError if the picture cannot be read."""
    name: object = picture
    try:
        if isinstance(picture, str | Path):
            return decode.read_rgb(str(picture), size=size, resize=resize, decode=how)
        if isinstance(picture, Image.Image):
            name = getattr(picture, "filename", "") or "the image"
            picture = decode.rgb(picture)
    except decode.UNREADABLE as error:
        reason = getattr(error, "strerror", None) or str(error).partition("<_io")[0].strip()
        raise UserError(f"{name} cannot be read: {reason}") from error
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3:
        raise UserError(
            f"an array of {picture.dtype} with shape {picture.shape} is no picture: need uint8 of "
            "shape (height, width, 3), red, green, blue"
        )
    return decode.fit(picture, size=size, resize=resize)
