"""Modules that are loaded when something of them is used: toys here, and the real ones."""

import importlib
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest
from support import forked

from transferlab.runtime import deferred
from transferlab.runtime.deferred import Deferral

TOYS = ("toy_trainer", "toy_metrics", "toy_compiler")
METRICS = """
    import events
    events.seen.append("metrics")
    from toy_metrics import heavy
    from toy_metrics.base import Metric
    def accuracy(): return 0.5
"""
COMPILER = """
    import events
    events.seen.append("compiler")
    class Compiled: pass
    def graph_break(*words): events.seen.append("break")
    def disable(function): return lambda *values: ("disabled", function(*values))
"""
TRAINER = """
    from toy_metrics import Metric
    from toy_compiler import Compiled, disable, graph_break
    class ResultMetric(Metric): pass
    @disable
    def step(number): return number
"""
FILES = {
    "events": "seen = []",
    "toy_metrics/__init__": METRICS,
    "toy_metrics/base": "class Metric: pass",
    "toy_metrics/heavy": 'import events; events.seen.append("heavy")',
    "toy_compiler": COMPILER,
    "toy_trainer": TRAINER,
}
Seen = Callable[[], list[str]]


@pytest.fixture
def seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Seen]:
    """Toys in place of Lightning and what it imports; called, it returns what has been loaded."""
    for name, code in FILES.items():
        path = tmp_path / f"{name}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(textwrap.dedent(code))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    monkeypatch.setattr(deferred, "LIGHTNING", "toy_trainer")
    monkeypatch.setattr(deferred, "ON_IMPORT", {"toy_trainer": deferred._Lightning})
    monkeypatch.setattr(deferred, "DEFERRALS", {
        "toy_metrics": Deferral({"Metric": deferred._of("toy_metrics.base")}, frozenset({"base"})),
        "toy_compiler": Deferral({
            "Compiled": deferred._class,
            "disable": deferred._decorator,
            "graph_break": deferred._no_op,
        }),
    })  # fmt: skip
    sys.meta_path[:] = [each for each in sys.meta_path if not isinstance(each, deferred._Finder)]
    deferred.install()
    yield lambda: list(importlib.import_module("events").seen)
    for name in [name for name in sys.modules if name.split(".")[0] in (*TOYS, "events")]:
        del sys.modules[name]


def load(name: str) -> ModuleType:
    return importlib.import_module(name)


def test_what_the_trainer_needs_is_there_and_nothing_is_loaded(seen: Seen):
    trainer = load("toy_trainer")

    assert trainer.step(3) == 3
    assert trainer.graph_break("why") is None
    assert not isinstance(3, trainer.Compiled)
    assert seen() == []
    assert trainer.Metric is load("toy_metrics.base").Metric
    assert seen() == []


def test_another_name_loads_the_module_in_its_place(seen: Seen):
    trainer, metrics = load("toy_trainer"), load("toy_metrics")

    assert metrics.accuracy() == 0.5
    assert seen() == ["metrics", "heavy"]
    assert metrics.Metric is trainer.Metric
    assert metrics is load("toy_metrics") and "__getattr__" not in vars(metrics)
    with pytest.raises(AttributeError):
        _ = metrics.missing


def test_what_inspection_asks_of_every_module_loads_nothing(seen: Seen):
    load("toy_trainer")
    metrics = load("toy_metrics")

    assert not hasattr(metrics, "__warningregistry__")
    assert (metrics.__name__, metrics.__file__ is None) == ("toy_metrics", False)
    assert seen() == []


def test_a_submodule_loads_its_package_first_and_is_imported_once(seen: Seen):
    load("toy_trainer")
    heavy = load("toy_metrics.heavy")

    assert seen() == ["metrics", "heavy"]
    assert heavy is load("toy_metrics").heavy
    assert heavy.__spec__ is not None and heavy.__spec__.origin == heavy.__file__


def test_once_loaded_the_answers_are_those_of_the_module(seen: Seen):
    trainer, compiler = load("toy_trainer"), load("toy_compiler")
    assert trainer.step(3) == 3
    with pytest.raises(AttributeError):
        _ = compiler.missing
    real = compiler.Compiled

    assert isinstance(real(), trainer.Compiled) and not isinstance(3, trainer.Compiled)
    assert trainer.step(3) == ("disabled", 3)
    trainer.graph_break("why")
    assert seen() == ["compiler", "break"]


def test_a_trainer_that_cannot_be_imported_so_is_imported_as_ever(
    seen: Seen, monkeypatch: pytest.MonkeyPatch
):
    wrong = Deferral({"Metric": deferred._of("toy_metrics.moved")}, frozenset({"moved"}))
    monkeypatch.setitem(deferred.DEFERRALS, "toy_metrics", wrong)
    trainer = load("toy_trainer")

    assert seen() == ["metrics", "heavy", "compiler"]
    assert trainer.Metric is load("toy_metrics").Metric
    assert trainer.step(3) == ("disabled", 3)


def test_what_was_imported_before_stays_as_it_is(seen: Seen):
    metrics = load("toy_metrics")
    trainer = load("toy_trainer")

    assert seen() == ["metrics", "heavy"]
    assert load("toy_metrics") is metrics and trainer.Metric is metrics.Metric


REAL = """
    import sys
    import transferlab.training.run
    LATER = {"scipy", "matplotlib", "sympy", "torchvision", "triton", "torch._inductor"}
    assert not LATER & sys.modules.keys(), LATER & sys.modules.keys()

    import torch
    from pytorch_lightning.utilities.compile import _maybe_unwrap_optimized
    layer = torch.nn.Linear(2, 1, bias=False)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)

    def step(model):
        before = layer.weight.detach().clone()
        optimizer.zero_grad()
        model(torch.ones(2)).sum().backward()
        optimizer.step()
        return (before - layer.weight.detach()).tolist()

    def close(moved):
        return all(abs(each - 0.1) < 1e-6 for each in moved[0])

    assert close(step(layer))
    assert not LATER & sys.modules.keys(), LATER & sys.modules.keys()

    from pytorch_lightning import LightningModule
    class Module(LightningModule):
        def forward(self, x):
            return layer(x)
    from torch._subclasses.fake_tensor import FakeTensorMode
    FakeTensorMode()  # imports a submodule of the compiler, its settings, and no more of it
    assert "torch._inductor" not in sys.modules
    torch._dynamo.config.recompile_limit = 17
    compiled = torch.compile(Module(), backend="eager")
    assert close(step(compiled))
    assert _maybe_unwrap_optimized(compiled) is compiled._orig_mod
    assert close(torch.compile(step, backend="eager")(layer))
    import torch._dynamo.config
    assert torch._dynamo.config is sys.modules["torch._dynamo.config"]
    assert torch._dynamo.config.recompile_limit == 17

    import torchmetrics
    from torchmetrics.classification import MulticlassAccuracy
    from pytorch_lightning.core.module import Metric
    accuracy = MulticlassAccuracy(2, average="micro")
    accuracy.update(torch.tensor([0, 1]), torch.tensor([0, 0]))
    assert isinstance(accuracy, Metric) and float(accuracy.compute()) == 0.5
    assert accuracy.plot() and torchmetrics.Accuracy
    print("all of it works")
"""


def test_the_real_modules_work_as_ever_only_later(needs_torch: None):
    done = forked.Popen(
        [sys.executable, "-c", textwrap.dedent(REAL)],
        env={**os.environ, "MPLBACKEND": "agg", forked.SOCKET: forked.light_server()},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    out, err = done.communicate(timeout=300)

    assert out == "all of it works\n", err
