"""The network of a finished run as one file of weights, under the names of its own library.

A network of torchvision or timm has their names, so that they load it with strict=True; any other
has its own. A .safetensors file also has, in its header, what the network takes: with it the file
is a base of other runs, `split.weights=FILE`, bit for bit as the run itself would be.
"""

import base64
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from torch import Tensor

from transferlab import models
from transferlab.evaluation.runs import FinishedFolder
from transferlab.models import libraries, pretrained
from transferlab.runtime import files
from transferlab.training import checkpoints, inference
from transferlab.training.inference import Inference


def export(run: FinishedFolder, out: Path, form: str) -> list[str]:
    """Write the weights of a run to `out`, as `safetensors` or `pt`; what was written, in words.

    Raises: UserError if the run was damaged, or the file cannot be written.
    """
    interface, mean, _ = inference.load(run.path, run.record)
    weights = checkpoints.load_weights(run.path / "weights.safetensors")
    tensors = _plain(weights, interface)
    if form == "pt":
        files.write(out, lambda file: torch.save(tensors, file))
    else:
        header = _header(asdict(interface.preprocessing), mean, interface.classes)
        content = safetensors.torch.save(tensors, metadata={pretrained.HEADER: header})
        files.write(out, lambda file: file.write(content))
    named = interface.model if libraries.is_library(interface.model) else "this package"
    lines = [f"{out}: {len(tensors)} tensors under the names of {named}"]
    if run.record["num_classes"] == 0:
        lines.append("without a classifier, which the run has not")
    if form == "pt":
        lines.append("what the network takes is in .safetensors files only: name it with split.a")
    return lines


def _plain(weights: Mapping[str, Tensor], interface: Inference) -> dict[str, Tensor]:
    """The weights under the names of the network's library."""
    with torch.device("meta"):
        network = models.build(
            interface.model,
            num_outputs=interface.num_outputs or 2,
            image_size=interface.preprocessing.crop,
            reduction=interface.reduction,
        )
    plain = network.plain_names()
    return {plain[name]: tensor for name, tensor in weights.items()}


def _header(
    preprocessing: Mapping[str, Any], mean: np.ndarray | None, classes: tuple[str, ...]
) -> str:
    """JSON of what `pretrained.read` finds in a file."""
    view, image = pretrained.view_of(preprocessing, mean)
    header: dict[str, Any] = {"view": view, "classes": classes}
    if image is not None:
        header["mean"] = base64.b64encode(image.tobytes()).decode()
    return json.dumps(header)
