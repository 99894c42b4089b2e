"""Transfer with networks of torchvision and timm: frozen, fine-tuned, killed, packed."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from support.stopping import stop_after

from transferlab import store
from transferlab.experiment.config import RunConfig
from transferlab.experiment.resolve import resolve_all
from transferlab.launch import inline
from transferlab.runtime import signals
from transferlab.training.run import train_pack

pytestmark = pytest.mark.zoo
STEPS = (
    "+split=random", "data.size=32", "data.crop=32", "train.epochs=null", "train.total_steps=2",
    "train.val_every=1", "train.batch_size=4", "runtime.threads=1",
)  # fmt: skip


@pytest.mark.parametrize(
    ("network", "copied"),
    [("torchvision:squeezenet1_1", "features_3."), ("timm:test_efficientnet", "blocks_0.")],
)
def test_a_transfer_interrupted_in_a_pack_ends_with_the_bits_of_one_alone(
    config: Callable[..., RunConfig], tmp_path: Path, network: str, copied: str
):
    torch.set_num_threads(1)
    use = (*STEPS, f"model.name={network}", "transfer.n=2")
    runs = resolve_all([config(*use, f"transfer.variant={each}") for each in ("AnB", "AnB+")])
    alone = [inline.carry_out([run])[-1].result for run in runs]
    base = runs[0].base
    assert base is not None

    store_folder = tmp_path / "together"
    shutil.copytree(base.folder, store_folder / base.folder.name)
    together = [run.in_store(store_folder) for run in runs]
    with stop_after(1), signals.watch() as stop:
        train_pack(together, stop)
    with signals.watch() as stop:
        train_pack(together, stop)
    results = [store.read_result(run) or {} for run in together]

    assert [r["weights_sha256"] for r in results] == [r["weights_sha256"] for r in alone]
    assert [r["pack_size"] for r in results] == [2, 2]
    assert results[0]["prefix_unchanged"] is True
    weights = [load_file(run.folder / "weights.safetensors") for run in (base, *together)]
    given, frozen, tuned = ([w[name] for name in w if name.startswith(copied)] for w in weights)
    assert [torch.equal(*pair) for pair in zip(given, frozen, strict=True)] == [True] * len(given)
    assert not all(torch.equal(*pair) for pair in zip(given, tuned, strict=True))
