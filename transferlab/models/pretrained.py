"""Weights that somebody trained: files, finished runs, and those of torchvision and timm.

Nothing is unpickled but tensors. A library's own cache is read and filled (TORCH_HOME, HF_HOME).
What the weights say of their images comes with them: torchvision's `Weights.transforms()`, timm's
`pretrained_cfg`, a run's `inference.json`, the header of a file that `export` wrote.
"""

import base64
import hashlib
import json
import pickle
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy
import safetensors.torch
import torch
from torch import Tensor

from transferlab import models
from transferlab.errors import UserError
from transferlab.models import extras, names
from transferlab.models.names import Account
from transferlab.runtime import commands, paths, reading

KEY = "split.weights"
HEADER = "transferlab"  # of a file that `export` wrote: JSON of view, classes and mean image
CONTAINERS = ("state_dict", "model_state_dict", "model")  # where a checkpoint has its tensors
LIMIT = 2**40
GREY_LEVELS = 255
RESULT, INFERENCE, WEIGHTS, MEAN = (
    "result.json", "inference.json", "weights.safetensors", "mean.safetensors",
)  # fmt: skip


@dataclass(frozen=True)
class Source:
    """Weights as they were brought: tensors by the names that they have there.

    `view` has the keys of `data` that say how images were prepared, None if it is not known;
    `mean` is the mean image (S, S, 3) float32 that was subtracted, if one was; `classes` are the
    names of the outputs, where they are known.
    """

    tensors: dict[str, Tensor]
    view: dict[str, Any] | None
    mean: np.ndarray | None
    classes: tuple[str, ...]


@dataclass(frozen=True)
class Pretrained:
    """Tensors by their names in a network in stages, the account of all, and their digest."""

    tensors: dict[str, Tensor]
    account: Account
    digest: str


def read(source: str) -> Source:
    """What `split.weights` names.

    Raises: UserError that says what is wrong with it, or which file to bring where.
    """
    library, _, name = source.partition(":")
    if library in LIBRARIES and name:
        found = LIBRARIES[library](name)
    else:
        path = paths.expand(source)
        found = _folder(path) if path.is_dir() else _file(path)
    for name, tensor in found.tensors.items():
        if not torch.isfinite(tensor).all():
            raise UserError(f"{KEY}={source} has values that are not finite: {name}")
    return found


def fit(
    source: Source, *, of: str, model: str, image_size: int, reduction: str | None
) -> Pretrained:
    """The weights in the network `model`, built for images of that size. `of` names them.

    Raises: UserError if they are not those of that network: see `names.matched`.
    """
    network = _network(model, 2, image_size, reduction)
    outputs = names.outputs(names.renamed(source.tensors, network), network)
    if outputs is not None and outputs > 2:
        network = _network(model, outputs, image_size, reduction)
    tensors, account = names.matched(source.tensors, network, source=of, model=model)
    return Pretrained(tensors, account, _digest(tensors, source.mean))


def _network(model: str, outputs: int, image_size: int, reduction: str | None) -> Any:
    with torch.device("meta"):
        return models.build(model, num_outputs=outputs, image_size=image_size, reduction=reduction)


def _digest(tensors: Mapping[str, Tensor], mean: np.ndarray | None) -> str:
    """sha256 over names, types, shapes and bytes, of the mean image too."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        value = tensors[name]
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        digest.update(value.contiguous().flatten().view(torch.uint8).numpy().tobytes())
    if mean is not None:
        digest.update(f"mean {mean.shape}\n".encode() + mean.tobytes())
    return digest.hexdigest()


# --- files --------------------------------------------------------------------------------------


def _file(path: Path) -> Source:
    if not path.exists():
        raise UserError(
            f"{KEY}={path} does not exist: name a file, the folder of a finished run, "
            "torchvision:ENUM.NAME, or timm:NAME"
        )
    if path.suffix == ".safetensors":
        return _safetensors(path)
    return Source(_tensors(path), None, None, ())


def _safetensors(path: Path) -> Source:
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {}).get(HEADER, "{}"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        mean = None
        if "mean" in header:
            values = np.frombuffer(base64.b64decode(header["mean"]), np.float32)
            mean = values.reshape(header["view"]["size"], header["view"]["size"], 3)
        return Source(tensors, header.get("view"), mean, tuple(header.get("classes", ())))
    except (safetensors.SafetensorError, OSError, ValueError) as error:
        raise UserError(f"{KEY}={path} cannot be read: {error}") from error


def _tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a file of torch's, which may be a checkpoint with more. Never runs code."""
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        wanted = re.search(r"GLOBAL ([\w.]+)", str(error))
        raise UserError(
            f"{KEY}={path} is a pickle that would run code"
            f"{f' ({wanted[1]})' if wanted else ''}, which is refused: where it comes from, save "
            "its tensors alone, torch.save(network.state_dict(), FILE)"
        ) from error
    except Exception as error:  # torch.load raises anything for a damaged file
        reason = str(error).partition("\n")[0]
        raise UserError(f"{KEY}={path} cannot be read: {type(error).__name__}: {reason}") from error
    for key in CONTAINERS:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if (
        not isinstance(content, Mapping)
        or not content
        or not all(isinstance(value, Tensor) for value in content.values())
    ):
        raise UserError(
            f"{KEY}={path} has no tensors by name: need a state_dict, or a checkpoint with one "
            f"under {', '.join(CONTAINERS)}"
        )
    return dict(content)


# --- a finished run -----------------------------------------------------------------------------


def _folder(folder: Path) -> Source:
    """The network of a finished run, whose files have the digests that it recorded."""
    result = _json(folder / RESULT)
    if "inference_sha256" not in result:
        raise UserError(f"{KEY}={folder} is not the folder of a finished run of this version")
    inference = _json(folder / INFERENCE, result["inference_sha256"])
    weights = _content(folder / WEIGHTS, result["weights_sha256"])
    seen, mean = inference["preprocessing"], None
    if seen["mean_sha256"] is not None:
        mean = safetensors.numpy.load(_content(folder / MEAN, seen["mean_sha256"]))["mean"]
    return Source(
        safetensors.torch.load(weights), *view_of(seen, mean), tuple(inference["classes"])
    )


def view_of(
    preprocessing: Mapping[str, Any], mean: np.ndarray | None
) -> tuple[dict[str, Any], np.ndarray | None]:
    """The keys of `data` for what `inference.json` says of images, and the mean image, if the mean
    is no colour."""
    colour = mean is not None and mean.ndim == 1
    view = {key: preprocessing[key] for key in preprocessing.keys() - {"channels", "mean_sha256"}}
    view["mean"] = "none" if mean is None else mean.tolist() if colour else "target"
    return view, None if colour else mean


def _json(path: Path, digest: str | None = None) -> dict[str, Any]:
    value = reading.json_value(_content(path, digest))
    assert isinstance(value, dict), "a record of the store"
    return value


def _content(path: Path, digest: str | None) -> bytes:
    content = reading.read(path, limit=LIMIT)
    if content is None:
        raise UserError(
            f"{KEY}={path.parent} has no {path.name}: it is not the folder of a finished run"
        )
    if digest is not None and hashlib.sha256(content.data).hexdigest() != digest:
        raise UserError(f"{path} was changed or damaged: it has not the digest of its record")
    return content.data


# --- libraries ----------------------------------------------------------------------------------


def _torchvision(name: str) -> Source:
    from torchvision.models import get_weight

    try:
        weights = get_weight(name)
    except (ValueError, AttributeError, KeyError) as error:
        raise UserError(
            f"{KEY}=torchvision:{name} is unknown: write ENUM.NAME as torchvision does, "
            "ResNet50_Weights.IMAGENET1K_V2 for instance"
        ) from error
    path = Path(torch.hub.get_dir()) / "checkpoints" / weights.url.rpartition("/")[2]
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        digest = re.search(r"-([0-9a-f]{8,})\.", path.name)
        try:
            torch.hub.download_url_to_file(
                weights.url, str(path), digest and digest[1], progress=False
            )
        except (OSError, RuntimeError) as error:
            raise UserError(
                f"{KEY}=torchvision:{name} cannot be downloaded ({error}): bring {path.name} from "
                f"{weights.url} into {path.parent}, or set TORCH_HOME to a folder that has it"
            ) from error
    seen = weights.transforms()
    view = _view(seen.resize_size[0], seen.crop_size[0], seen.mean, seen.std)
    return Source(_tensors(path), view, None, tuple(weights.meta["categories"]))


def _timm(name: str) -> Source:
    extras.imported("timm", "timm", network=f"timm:{name}")
    from timm.models import get_pretrained_cfg
    from timm.models._hub import load_state_dict_from_hf

    config = get_pretrained_cfg(name)
    if config is None or not config.has_weights or not config.hf_hub_id:
        raise UserError(f"{KEY}=timm:{name} is unknown: timm has no weights of that name")
    try:
        tensors = load_state_dict_from_hf(config.hf_hub_id, weights_only=True)
    except Exception as error:  # huggingface_hub raises its own, requests', and OSError
        from huggingface_hub.constants import HF_HUB_CACHE

        folder = Path(HF_HUB_CACHE) / f"models--{config.hf_hub_id.replace('/', '--')}"
        raise UserError(
            f"{KEY}=timm:{name} cannot be downloaded ({type(error).__name__}): bring "
            f"model.safetensors of {config.hf_hub_id} into {folder}, set HF_HOME to a folder that "
            f"has it, or name the file with {KEY}=FILE and the network with "
            + commands.setting("model", f"timm:{name.partition('.')[0]}")
        ) from error
    side = int(config.input_size[-1])
    crop_pct = config.crop_pct or 1.0
    view = _view(int(side / crop_pct), side, config.mean, config.std)
    return Source(dict(tensors), view, None, ())


def _view(size: int, crop: int, mean: Any, std: Any) -> dict[str, Any]:
    """A shorter side of `size` pixels, its centre, and colours from means and deviations of 0..1"""
    return {
        "size": max(size, crop),
        "resize": "crop",
        "crop": crop,
        "mean": [float(value) * GREY_LEVELS for value in mean],
        "scale": [1 / (GREY_LEVELS * float(value)) for value in std],
    }


LIBRARIES = {"torchvision": _torchvision, "timm": _timm}
