"""A real run trained again, and how `rerun` reports weights that differ."""

import json
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file, save_file

from transferlab.__main__ import main
from transferlab.experiment import compose
from transferlab.experiment.build import build_config
from transferlab.experiment.resolve import resolve
from transferlab.experiment.run import Run
from transferlab.launch import inline
from transferlab.runtime import files
from transferlab.training.pack_module import PackModule

RUN = (
    "+split=random", "data.size=16", "data.crop=16", "train.epochs=null", "train.total_steps=12",
    "train.val_every=6", "runtime.threads=1", "transfer.n=2",
)  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    """A2B, and what `rerun` says of it, which is interrupted once before it says it."""
    place = tmp_path_factory.mktemp("rerun")
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRANSFERLAB_CACHE", str(place / "cache"))
        paths = (f"runtime.store={place}/runs", f"runtime.cache={place}/cache")
        run = inline.carry_out([resolve(build_config(compose.compose("config", [*RUN, *paths])))])[
            -1
        ].run
        original, codes = PackModule.training_step, []

        def training_step(module, batch, batch_idx):
            original(module, batch, batch_idx)
            if not codes and (module.members[0].name, module.step) == ("A2B", 8):
                os.kill(os.getpid(), signal.SIGTERM)

        patch.setattr(PackModule, "training_step", training_step)
        for _ in range(2):
            codes.append(main(["rerun", str(run.folder), "--into", str(place / "again")]))
        yield SimpleNamespace(run=run, codes=codes, into=place / "again")


@pytest.fixture
def folder(trained: SimpleNamespace, tmp_path: Path) -> Path:
    """A copy of the run's folder, to be changed."""
    return Path(shutil.copytree(trained.run.folder, tmp_path / trained.run.folder.name))


def change(folder: Path, tensor: str, amount: float, **record: object) -> None:
    """Add to the last value of a tensor, and record that as the run's result."""
    path = folder / "weights.safetensors"
    weights = load_file(path)
    weights[tensor].view(-1)[-1] += amount
    save_file(weights, path)
    result = json.loads((folder / "result.json").read_text())
    result |= {"weights_sha256": files.sha256(path), **record}
    (folder / "result.json").write_text(json.dumps(result))


def test_a_rerun_that_was_interrupted_ends_with_the_weights_of_the_run(trained: SimpleNamespace):
    assert trained.codes == [75, 0]
    again: Run = trained.run.in_store(trained.into)
    assert again.weights_file.read_bytes() == trained.run.weights_file.read_bytes()
    for name in ("mean.safetensors", "inference.json"):
        assert (again.folder / name).read_bytes() == (trained.run.folder / name).read_bytes()


@pytest.mark.parametrize(
    ("tensors", "verdict"),
    [
        (
            ["fc6.fc.bias", "conv3.conv.weight"],  # the file has them in another order
            "the weights differ, first in conv3.conv.weight, there by at most 5.0e-01; 2 of 16 "
            "tensors differ",
        ),
        (
            ["fc8.fc.bias", "conv2.conv.bias"],
            "the weights differ, first in conv2.conv.bias, copied from baseA, there by at most "
            "5.0e-01; 2 of 16 tensors differ",
        ),
    ],
)
def test_the_first_tensor_that_differs_is_named_in_the_order_of_the_network(
    trained: SimpleNamespace,
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    tensors: list[str],
    verdict: str,
):
    for tensor in tensors:
        change(folder, tensor, 0.5)

    assert main(["rerun", str(folder), "--into", str(trained.into)]) == 1
    assert capsys.readouterr().out.splitlines()[4:] == [
        verdict,
        "versions, commit, device, threads, mean image and number of images are the same",
    ]


def test_what_differs_in_provenance_is_named_as_a_cause(
    trained: SimpleNamespace, folder: Path, capsys: pytest.CaptureFixture[str]
):
    record = json.loads((folder / "result.json").read_text())
    versions = record["versions"]
    change(
        folder, "fc8.fc.bias", 1e-3, threads=7,
        versions={**versions, "torch": "2.0.0"},
        device="cuda: NVIDIA H200", skipped={"a.png": "cd" * 32}, inference_sha256="ab" * 32,
    )  # fmt: skip

    assert main(["rerun", str(folder), "--into", str(trained.into)]) == 1
    now = json.loads((trained.run.folder / "result.json").read_text())
    assert capsys.readouterr().out.splitlines()[-1] == (
        f"what may be the cause: device cuda: NVIDIA H200, now {now['device']}; "
        f"threads 7, now 1; inference_sha256 abababababab, "
        f"now {now['inference_sha256'][:12]}; skipped 1, now None; "
        f"versions.torch 2.0.0, now {versions['torch']}"
    )
