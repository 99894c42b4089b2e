"""Modules that Lightning imports for nothing, loaded when something of them is used.

Lightning asks torchmetrics for a base class and its version, and torch's compiler for a class; with
them come scipy, matplotlib, torchvision and the compiler itself: two thirds of the time that it
takes to import Lightning. After `install` these modules get a place in `sys.modules` which answers
the few names that Lightning and torch's optimisers use. The first use of any other name, and the
import of a submodule, run the module's own code in its place: the same module, later. If a version
of Lightning uses another name, that is what loads it; if it cannot be imported so, everything is
imported as ever.
"""

import functools
import importlib
import importlib.util
import logging
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from transferlab.runtime.garbage import uncollected

TORCH, LIGHTNING = "torch", "pytorch_lightning"
LOCK = threading.RLock()


@dataclass
class Deferred:
    """A module that is deferred, or was."""

    module: ModuleType
    code: Loader  # its own
    loaded: bool = False

    def load(self) -> None:
        """Run its own code."""
        with LOCK:
            answer = self.module.__dict__.pop("__getattr__", None)
            if answer is None:  # loaded by another thread, or being loaded by this one
                return
            try:
                self.code.exec_module(self.module)
            except BaseException:
                self.module.__dict__["__getattr__"] = answer
                raise
            self.loaded = True

    def real(self, name: str) -> Any:
        self.load()
        return getattr(self.module, name)


# --- what a name is while its module is not loaded ---------------------------------------------

Answer = Callable[[Deferred, str], object]


def _of(submodule: str) -> Answer:
    """The same name of a submodule."""
    return lambda _, name: getattr(importlib.import_module(submodule), name)


def _logger(deferred: Deferred, _: str) -> logging.Logger:
    return logging.getLogger(deferred.module.__name__)


def _annotation(deferred: Deferred, name: str) -> object:
    """Of a type that is only written in signatures."""
    return Any


def _function(deferred: Deferred, name: str) -> Callable[..., Any]:
    """Loads the module when it is called."""
    return lambda *arguments, **more: deferred.real(name)(*arguments, **more)


def _class(deferred: Deferred, name: str) -> type:
    """A class without instances until its module is loaded, and then with those of its own."""

    class OfInstances(type):
        def __instancecheck__(cls, instance: object) -> bool:
            return deferred.loaded and isinstance(instance, deferred.real(name))

    return OfInstances(name, (), {})


def _no_op(deferred: Deferred, name: str) -> Callable[..., None]:
    """For compiled code only, of which there is none before the compiler is loaded."""
    return lambda *arguments: deferred.real(name)(*arguments) if deferred.loaded else None


def _decorator(deferred: Deferred, name: str) -> Callable[..., Any]:
    """The same for a function that must not be compiled."""

    def decorate(function: Callable[..., Any], *arguments: Any, **more: Any) -> Any:
        @functools.cache
        def decorated() -> Callable[..., Any]:
            return deferred.real(name)(function, *arguments, **more)

        @functools.wraps(function)
        def either(*values: Any, **named: Any) -> Any:
            return (decorated() if deferred.loaded else function)(*values, **named)

        return either

    return decorate


@dataclass(frozen=True)
class Deferral:
    """What is known of a deferred: answers by name, and submodules that work without it."""

    answers: Mapping[str, Answer]
    submodules: frozenset[str] = field(default=frozenset())


DEFERRALS = {
    "torchmetrics": Deferral(
        {
            "__version__": _of("torchmetrics.__about__"),
            "_logger": _logger,
            "Metric": _of("torchmetrics.utilities.checks"),  # which `metric` imports in a circle
            "MetricCollection": _of("torchmetrics.collections"),
        },
        frozenset({"__about__", "collections", "metric", "utilities"}),
    ),
    "torchmetrics.utilities.plot": Deferral(
        {
            "_AX_TYPE": _annotation,
            "_PLOT_OUT_TYPE": _annotation,
            "plot_single_or_multi_val": _function,
        }
    ),
    "torch.utils.flop_counter": Deferral({"FlopCounterMode": _function}),
    "torch._dynamo": Deferral(
        {"OptimizedModule": _class, "disable": _decorator, "graph_break": _no_op},
        frozenset({"config"}),
    ),
}


# --- how they get their place -------------------------------------------------------------------


def install() -> None:
    """Defer them when Lightning is imported, by whomever; a no-op if it was."""
    if LIGHTNING not in sys.modules and not any(isinstance(f, _Finder) for f in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


class _Finder(MetaPathFinder):
    def __init__(self) -> None:
        self.modules: dict[str, Deferred] = {}
        self.importing = False  # Lightning

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        parent, _, child = name.rpartition(".")
        if parent in self.modules and child not in DEFERRALS[parent].submodules:
            self.modules[parent].load()
            if name in sys.modules:
                return _imported(sys.modules[name])
        kinds = {name: _Place for name in DEFERRALS} if self.importing else ON_IMPORT
        spec = self._found(name, path) if name in kinds else None
        if spec is not None and spec.loader is not None:
            spec.loader = kinds[name](self, spec.loader)
        return spec

    def _found(self, name: str, path: Sequence[str] | None) -> ModuleSpec | None:
        """As the other finders find it."""
        specs = (each.find_spec(name, path) for each in sys.meta_path if each is not self)
        return next((spec for spec in specs if spec is not None), None)


class _Wrapped(Loader):
    """Stands for the loader of a module until that is imported."""

    def __init__(self, finder: _Finder, code: Loader) -> None:
        self.finder, self.code = finder, code

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self.code.create_module(spec)

    def restore(self, module: ModuleType) -> None:
        assert module.__spec__ is not None
        module.__loader__ = module.__spec__.loader = self.code


class _Place(_Wrapped):
    """Gives a deferred module its place."""

    def exec_module(self, module: ModuleType) -> None:
        self.restore(module)
        deferred = self.finder.modules[module.__name__] = Deferred(module, self.code)
        answers = DEFERRALS[module.__name__].answers

        def answer(name: str) -> object:
            if name in answers:
                return answers[name](deferred, name)
            if name.startswith("__") and name != "__all__":  # asked of every module, by `inspect`
                raise AttributeError(f"module {module.__name__!r} has no attribute {name!r}")
            return deferred.real(name)

        module.__dict__["__getattr__"] = answer


class _Torch(_Wrapped):
    """Imports torch without collecting garbage, of which an import makes none: a tenth of it."""

    def exec_module(self, module: ModuleType) -> None:
        self.restore(module)
        with uncollected():
            self.code.exec_module(module)


class _Lightning(_Wrapped):
    """The same for Lightning, with the modules deferred if that is possible."""

    def exec_module(self, module: ModuleType) -> None:
        self.restore(module)
        with uncollected():
            self._import(module)

    def _import(self, module: ModuleType) -> None:
        before = set(sys.modules)
        self.finder.importing = True
        try:
            self.code.exec_module(module)
        except Exception:
            self.finder.importing = False
            self.finder.modules.clear()
            _forget(set(sys.modules) - before - {LIGHTNING})
            self.code.exec_module(module)
        finally:
            self.finder.importing = False


ON_IMPORT: dict[str, type[_Wrapped]] = {TORCH: _Torch, LIGHTNING: _Lightning}


class _Imported(Loader):
    """For once that of a module which the package that it is in has imported already."""

    def __init__(self, module: ModuleType, spec: ModuleSpec) -> None:
        self.module, self.spec, self.loader = module, spec, spec.loader

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return self.module

    def exec_module(self, module: ModuleType) -> None:
        self.spec.loader = self.loader


def _imported(module: ModuleType) -> ModuleSpec:
    """Its own spec, which Python would take in place of another, and which executes nothing."""
    spec = module.__spec__ or ModuleSpec(module.__name__, None)
    spec.loader = _Imported(module, spec)
    return spec


def _forget(names: set[str]) -> None:
    """Remove modules that were imported from Lightning and what is deferred, or for them."""
    roots = {LIGHTNING, "lightning_fabric", *DEFERRALS}
    for name in names:
        if any(name == root or name.startswith(f"{root}.") for root in roots):
            del sys.modules[name]
            parent, _, child = name.rpartition(".")
            if parent in sys.modules:
                sys.modules[parent].__dict__.pop(child, None)
