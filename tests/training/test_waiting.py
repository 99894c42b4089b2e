"""A training step leaves the device alone: what would make the host wait for it is counted.

On the CPU nothing waits, so the calls are counted that would on a GPU: those that take a value out
of a tensor, those whose result has a size that depends on values, and copies to and fro.
"""

import sys
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest
import torch
from lightning_fabric.utilities import apply_func
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from transferlab.data import transforms
from transferlab.experiment.config import RunConfig
from transferlab.experiment.resolve import resolve
from transferlab.experiment.run import Run
from transferlab.models.dropout import Dropout
from transferlab.models.initial import gaussian
from transferlab.models.normalisation import LocalResponseNorm
from transferlab.models.stages import Stage, StagedNetwork
from transferlab.runtime import signals
from transferlab.training import run
from transferlab.training.callbacks.timing import Timing

CALLS = {
    *("tolist", "numpy", "cpu", "cuda", "tensor", "as_tensor"),
    *("__bool__", "__int__", "__float__", "__index__", "__contains__"),
}
OPERATIONS = {
    *("_local_scalar_dense", "nonzero", "masked_select", "equal", "is_nonzero", "_unique2"),
    *("unique_dim", "unique_consecutive", "bincount", "repeat_interleave"),
}
BY_MASK = {"index", "index_put", "index_put_", "_index_put_impl_", "_unsafe_index"}


class Waits:
    """The calls that would wait, in order, under a name that the test sets."""

    def __init__(self) -> None:
        self.step: Callable[[], int] | None = None
        self.noted: list[tuple[int, str]] = []

    def note(self, name: str) -> None:
        if self.step is not None:
            self.noted.append((self.step(), name))


class Calls(TorchFunctionMode):
    """Notes what Python asks of tensors: on a CPU some of it never reaches an operation."""

    def __init__(self, waits: Waits) -> None:
        super().__init__()
        self.waits = waits

    def __torch_function__(self, function, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        kwargs = kwargs or {}
        name = getattr(function, "__name__", "")
        to_device = any(isinstance(a, str | torch.device) for a in (*args, *kwargs.values()))
        if name in CALLS or (name == "to" and to_device and not kwargs.get("non_blocking")):
            self.waits.note(name)
        return function(*args, **kwargs)


class Operations(TorchDispatchMode):
    """Notes what is computed, in the backward pass too."""

    def __init__(self, waits: Waits) -> None:
        super().__init__()
        self.waits = waits

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        name = function.overloadpacket.__name__
        indices = args[1] if name in BY_MASK else ()
        if name in OPERATIONS or any(i is not None and i.dtype == torch.bool for i in indices):
            self.waits.note(name)
        return function(*args, **(kwargs or {}))


@pytest.fixture
def waits() -> Iterator[Waits]:
    waits = Waits()
    with Calls(waits), Operations(waits):
        yield waits


def three_stages(*, num_outputs: int, image_size: int) -> StagedNetwork:
    """All kinds of layers that the networks have, small."""
    first: dict[str, nn.Module] = {
        "conv": nn.Conv2d(3, 4, 3, stride=2, padding=1),  # (B, 4, 8, 8)
        "relu": nn.ReLU(),
        "pool": nn.MaxPool2d(3, stride=2, ceil_mode=True),  # (B, 4, 4, 4)
        "norm": LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=1.0),
    }
    second = {"flatten": nn.Flatten(), "fc": nn.Linear(64, 8), "relu": nn.ReLU()}
    third = {"dropout": Dropout(0.5), "fc": nn.Linear(8, num_outputs)}
    return StagedNetwork(
        {
            "first": Stage(first, gaussian(0.1, 0.0)),
            "second": Stage(second, gaussian(0.1, 0.0)),
            "third": Stage(third, gaussian(0.1, 0.0)),
        }
    )


def pack(config: Callable[..., RunConfig], *overrides: str) -> list[Run]:
    """A base network and two with frozen random stages, on mirrored random crops of 16 pixels."""
    common = (
        "+split=random", "model.name=own_models:build", "data.size=20", "data.crop=16",
        "train.mirror=true", "train.epochs=null", "train.total_steps=120", "train.val_every=120",
        "runtime.checkpoint_every_s=1000000", "runtime.checkpoint_least_s=1000000",
        *overrides,
    )  # fmt: skip
    variants = ("baseB", "R1B", "R2B")
    return [resolve(config(*common, f"transfer.variant={variant}")) for variant in variants]


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.filterwarnings("ignore:.*bfloat16.*")
def test_a_step_waits_for_nothing_and_every_50th_looks_once(
    config: Callable[..., RunConfig],
    waits: Waits,
    precision: str,
    monkeypatch: pytest.MonkeyPatch,
):
    own = ModuleType("own_models")
    own.build = three_stages  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "own_models", own)
    monkeypatch.setattr(transforms, "LOOPS", ())  # as on a GPU, and so is the next
    monkeypatch.setattr(apply_func, "_BLOCKING_DEVICE_TYPES", ())
    begin, end = Timing.on_train_start, Timing.on_validation_start

    def start(self: Timing, trainer: Any, module: Any) -> None:
        begin(self, trainer, module)
        waits.step = lambda: module.step

    def stop(self: Timing, trainer: Any, module: Any) -> None:
        waits.step = None
        end(self, trainer, module)

    monkeypatch.setattr(Timing, "on_train_start", start)
    monkeypatch.setattr(Timing, "on_validation_start", stop)
    with signals.watch() as request:
        configs = pack(config, f"train.precision={precision}", "train.rate_in_velocity=true")
        run.train_pack(configs, request)

    assert waits.noted == [(50, "tolist"), (100, "tolist")]


@pytest.mark.parametrize(
    ("name", "ask"),
    [
        ("_local_scalar_dense", lambda x: x[0].item()),
        ("__float__", lambda x: float(x[0])),
        ("__bool__", lambda x: bool(x[0] > 0)),
        ("tolist", lambda x: x.tolist()),
        ("numpy", lambda x: x.numpy()),
        ("cpu", lambda x: x.cpu()),
        ("to", lambda x: x.to("cpu")),
        ("tensor", lambda x: x + torch.tensor(1.0)),
        ("nonzero", lambda x: x.nonzero()),
        ("index", lambda x: x[x > 0]),
        ("index_put_", lambda x: x.index_put_((x > 0,), x[0])),
        ("equal", lambda x: torch.equal(x, x)),
    ],
)
def test_what_would_wait_is_noted(waits: Waits, name: str, ask: Callable[[Tensor], object]):
    x = torch.arange(3.0)
    waits.step = lambda: 7
    ask(x)

    assert (7, name) in waits.noted


def test_what_does_not_wait_is_not_noted(waits: Waits):
    x = torch.arange(4.0, requires_grad=True)
    waits.step = lambda: 7
    moved = x.to("cpu", non_blocking=True).to(torch.bfloat16)
    torch.where(moved > 1, moved, 0)[torch.arange(2)].sum().backward()

    assert waits.noted == []
