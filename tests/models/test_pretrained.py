"""Weights from files and from the libraries' own caches; nothing is downloaded and no code run."""

import json
import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from transferlab.errors import UserError
from transferlab.models import pretrained


def refusal(source: object) -> str:
    with pytest.raises(UserError) as error:
        pretrained.read(str(source))
    return str(error.value)


TENSORS = {"a.weight": torch.arange(6.0).reshape(2, 3), "a.bias": torch.ones(2)}


def same(found: dict[str, torch.Tensor]) -> bool:
    return found.keys() == TENSORS.keys() and all(
        torch.equal(found[name], value) for name, value in TENSORS.items()
    )


@pytest.mark.parametrize("container", [None, "state_dict", "model"])
def test_files_of_torch_have_their_tensors_or_a_checkpoint_with_them(
    tmp_path: Path, container: str | None
):
    file = tmp_path / "w.ckpt"
    torch.save(TENSORS if container is None else {container: TENSORS, "epoch": 3}, file)

    found = pretrained.read(str(file))

    assert same(found.tensors)
    assert (found.view, found.mean, found.classes) == (None, None, ())


def test_safetensors_are_read_with_what_their_header_says(tmp_path: Path):
    header = {"view": {"size": 8}, "classes": ["x", "y"]}
    save_file(TENSORS, tmp_path / "w.safetensors", metadata={"transferlab": json.dumps(header)})

    found = pretrained.read(str(tmp_path / "w.safetensors"))

    assert same(found.tensors)
    assert (found.view, found.classes) == ({"size": 8}, ("x", "y"))


class Code:
    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> Any:
        return (os.mkdir, (str(self.file),))


@pytest.mark.parametrize("form", ["torch", "pickle"])
def test_a_pickle_that_wants_code_is_refused_and_runs_none(tmp_path: Path, form: str):
    file = tmp_path / "w.pt"
    if form == "torch":
        torch.save({"a": torch.ones(1), "b": Code(tmp_path / "made")}, file)
    else:
        file.write_bytes(pickle.dumps({"b": Code(tmp_path / "made")}, protocol=2))

    message = refusal(file)

    assert not (tmp_path / "made").exists()
    assert message == (
        f"split.weights={file} is a pickle that would run code (posix.mkdir), which is refused: "
        "where it comes from, save its tensors alone, torch.save(network.state_dict(), FILE)"
    )


def test_what_is_no_file_of_weights_is_refused_in_words(tmp_path: Path):
    (tmp_path / "damaged.safetensors").write_bytes(b"no header")
    (tmp_path / "damaged.pt").write_bytes(b"PK\x03\x04 no archive")
    torch.save({"epoch": 3}, tmp_path / "epoch.pt")
    torch.save({"a": torch.tensor([float("nan")])}, tmp_path / "nan.pt")
    (tmp_path / "folder").mkdir()

    assert refusal(tmp_path / "none.pt").startswith(f"split.weights={tmp_path}/none.pt does not ex")
    for name in ("damaged.safetensors", "damaged.pt"):
        assert refusal(tmp_path / name).startswith(
            f"split.weights={tmp_path}/{name} cannot be read"
        )
    assert "epoch.pt has no tensors by name: need a state_dict" in refusal(tmp_path / "epoch.pt")
    assert "nan.pt has values that are not finite: a" in refusal(tmp_path / "nan.pt")
    assert "folder has no result.json: it is not the" in refusal(tmp_path / "folder")


# --- libraries ----------------------------------------------------------------------------------

ENUM = "SqueezeNet1_1_Weights.IMAGENET1K_V1"


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Empty caches of both libraries, and no network."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError("no network here")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(torch.hub, "download_url_to_file", refuse)
    return tmp_path


def test_torchvisions_weights_come_from_its_cache_with_their_view(offline: Path):
    folder = offline / "torch" / "hub" / "checkpoints"

    assert refusal(f"torchvision:{ENUM}") == (
        f"split.weights=torchvision:{ENUM} cannot be downloaded (no network here): bring "
        "squeezenet1_1-b8a52dc0.pth from https://download.pytorch.org/models/"
        f"squeezenet1_1-b8a52dc0.pth into {folder}, or set TORCH_HOME to a folder that has it"
    )

    torch.save(TENSORS, folder / "squeezenet1_1-b8a52dc0.pth")
    found = pretrained.read(f"torchvision:{ENUM}")
    assert same(found.tensors)
    assert found.view is not None
    assert (found.view["size"], found.view["resize"], found.view["crop"]) == (256, "crop", 224)
    assert found.view["mean"] == pytest.approx([123.675, 116.28, 103.53])
    assert found.view["scale"] == pytest.approx([0.0171248, 0.0175070, 0.0174292], rel=1e-5)
    assert (len(found.classes), found.classes[0]) == (1000, "tench")
    assert "torchvision:Nothing_Weights.V1 is unknown: write ENUM.NAME" in refusal(
        "torchvision:Nothing_Weights.V1"
    )


def test_timms_weights_come_from_its_cache_with_their_view(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    hub = pytest.importorskip("timm.models._hub", reason="timm is an extra")
    constants = pytest.importorskip("huggingface_hub.constants", reason="timm is an extra")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))

    def refuse(*_: object, **__: object) -> None:
        raise OSError("no network here")

    monkeypatch.setattr(hub, "load_state_dict_from_hf", refuse)
    message = refusal("timm:resnet10t.c3_in1k")
    assert message == (
        "split.weights=timm:resnet10t.c3_in1k cannot be downloaded (OSError): bring "
        f"model.safetensors of timm/resnet10t.c3_in1k into {tmp_path}/models--timm--resnet10t.c3_"
        "in1k, set HF_HOME to a folder that has it, or name the file with split.weights=FILE and "
        "the network with model=timm:resnet10t"
    )

    monkeypatch.setattr(hub, "load_state_dict_from_hf", lambda name, weights_only: TENSORS)
    found = pretrained.read("timm:resnet10t.c3_in1k")
    assert same(found.tensors)
    assert found.view is not None
    assert (found.view["size"], found.view["crop"]) == (201, 176)
    assert "timm:nothing.at_all is unknown" in refusal("timm:nothing.at_all")
