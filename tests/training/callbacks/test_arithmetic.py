"""How a device computes, as far as can be seen without a GPU: which settings of torch are made."""

from collections.abc import Callable, Iterator

import pytest
import torch
from torch._dynamo import eval_frame

from transferlab.experiment.config import RunConfig
from transferlab.runtime import bfloat16
from transferlab.training.callbacks.arithmetic import Arithmetic
from transferlab.training.trainer import build_trainer


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    before = torch.backends.cudnn.allow_tf32, torch.backends.cudnn.benchmark
    yield
    torch.backends.cudnn.allow_tf32, torch.backends.cudnn.benchmark = before
    torch.compiler.set_stance("default")


def settings() -> tuple[bool, str, bool, str]:
    return (
        torch.backends.cudnn.allow_tf32,
        torch.get_float32_matmul_precision(),
        torch.backends.cudnn.benchmark,
        eval_frame._stance.stance,
    )


def test_float32_is_float32_and_what_gains_is_compiled():
    assert settings() == (True, "highest", False, "default")  # torch's own
    Arithmetic(compile=True).apply()
    assert settings() == (False, "highest", True, "default")


def test_nothing_is_compiled_where_that_is_asked_for_and_the_next_run_settles_it_anew():
    Arithmetic(compile=False).apply()
    assert settings()[-1] == "force_eager"
    function = torch.compile(lambda x: x + 1, backend=lambda *graph: pytest.fail("compiled"))
    assert function(torch.ones(1)).item() == 2.0
    Arithmetic(compile=True).apply()
    assert settings()[-1] == "default"


@pytest.mark.parametrize("compile", [True, False])
def test_every_run_settles_it_by_its_config_and_on_a_cpu_changes_nothing(
    config: Callable[..., RunConfig], compile: bool
):
    overrides = ("transfer.variant=baseA", "runtime.accelerator=cpu", f"runtime.compile={compile}")
    run_config = config("+split=random", *overrides)
    built = build_trainer(run_config, [], intervals=1)
    (arithmetic,) = [c for c in built.callbacks if isinstance(c, Arithmetic)]  # type: ignore[attr-defined]
    assert arithmetic.compile is compile
    arithmetic.setup(built, None, "fit")
    assert settings() == (True, "highest", False, "default")


@pytest.mark.parametrize(("precision", "devices"), [("bfloat16", ["cpu"]), ("float32", [])])
def test_a_processor_is_prepared_for_bfloat16_where_a_run_computes_in_it(
    config: Callable[..., RunConfig],
    precision: str,
    devices: list[str],
    monkeypatch: pytest.MonkeyPatch,
):
    prepared: list[torch.device] = []
    monkeypatch.setattr(bfloat16, "prepare", prepared.append)
    overrides = (
        "transfer.variant=baseA",
        "runtime.accelerator=cpu",
        f"train.precision={precision}",
    )
    built = build_trainer(config("+split=random", *overrides), [], intervals=1)
    Arithmetic(compile=False).setup(built, None, "fit")

    assert prepared == [torch.device(name) for name in devices]
