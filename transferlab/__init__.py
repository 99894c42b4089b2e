"""How transferable are the features of a deep network, layer by layer (Yosinski et al. 2014).

From Python, in a dozen lines; a name is imported when it is first used, and torch with it:

    import pytorch_lightning as lightning
    import transferlab

    half_a, half_b = (transferlab.HalfDataModule("digits", half=half) for half in "AB")
    recipe = transferlab.Recipe(lr=0.01, schedule="cosine", momentum=0.9)

    network = transferlab.build_network("alexnet_small", num_outputs=5, image_size=32)
    base = transferlab.TransferModule(network, recipe=recipe)
    lightning.Trainer(max_epochs=3).fit(base, half_a)

    network = transferlab.build_network("alexnet_small", num_outputs=5, image_size=32)
    a3b = transferlab.TransferModule(network, n=3, base=base.network, frozen=True, recipe=recipe)
    lightning.Trainer(max_epochs=3).fit(a3b, half_b)

    results = transferlab.load_results("published:yosinski2014")
    transferlab.figure(results, "figure2").savefig("figure2.png")

The rooms, each with one job. A room imports only rooms above it (tests/test_imports.py):

    errors       the errors that end a command
    runtime      the process and the machine: files, locks, logs, signals, devices, provenance
    models       networks as ordered named stages: built by name, cut, grafted, frozen
    data         from image files to batches: data sets, halves, sampling, transforms
    experiment   what is to be trained: variants, splits, configs, ids, studies, plans, their cost
    store        everything on disk: run folders, records, sweeps and jobs
    results      the results of finished runs: the tables, the figures, the page
    training     training with Lightning: modules, data modules, callbacks, packs
    evaluation   asks finished runs without training them: crops, scales, averages
    launch       carries a plan out, here or on SLURM, and reports its status
    bench        benchmarks: implementations measured in turn, as ratios
    cli          the commands, one file each; __main__ is the entry point
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transferlab.experiment.splits.manmade_natural import manmade_natural
    from transferlab.experiment.splits.random import random_halves
    from transferlab.experiment.splits.size_matched import size_matched
    from transferlab.models import build as build_network
    from transferlab.models.shapes import stages
    from transferlab.models.transfer import freeze, graft
    from transferlab.results import curves, table
    from transferlab.results import load as load_results
    from transferlab.results.figures import draw as figure
    from transferlab.training.classifier import load_run
    from transferlab.training.datamodule import HalfDataModule
    from transferlab.training.module import TransferModule
    from transferlab.training.recipe import Recipe

__version__ = "0.1.0"
__all__ = [
    "HalfDataModule",
    "Recipe",
    "TransferModule",
    "build_network",
    "curves",
    "figure",
    "freeze",
    "graft",
    "load_results",
    "load_run",
    "manmade_natural",
    "random_halves",
    "size_matched",
    "stages",
    "table",
]

# Where each of them is, imported at its first use (PEP 562)
_HOMES = {
    "HalfDataModule": "transferlab.training.datamodule:HalfDataModule",
    "Recipe": "transferlab.training.recipe:Recipe",
    "TransferModule": "transferlab.training.module:TransferModule",
    "build_network": "transferlab.models:build",
    "curves": "transferlab.results:curves",
    "figure": "transferlab.results.figures:draw",
    "freeze": "transferlab.models.transfer:freeze",
    "graft": "transferlab.models.transfer:graft",
    "load_results": "transferlab.results:load",
    "load_run": "transferlab.training.classifier:load_run",
    "manmade_natural": "transferlab.experiment.splits.manmade_natural:manmade_natural",
    "random_halves": "transferlab.experiment.splits.random:random_halves",
    "size_matched": "transferlab.experiment.splits.size_matched:size_matched",
    "stages": "transferlab.models.shapes:stages",
    "table": "transferlab.results:table",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, _, attribute = _HOMES[name].partition(":")
    value = getattr(import_module(module), attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
