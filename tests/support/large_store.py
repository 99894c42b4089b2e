"""A store of many finished runs as a long study leaves it: records, curves, and their sweep."""

import json
import random
from pathlib import Path

from support.stores import LOCAL, config, record

from transferlab.experiment.launcher import build_launcher
from transferlab.experiment.run import Run, make_run
from transferlab.store import FORMAT, sweeps

MODELS = ("alexnet_small", "zfnet")
SEEDS = range(3)
CUTS = range(1, 8)
LABELS = ("baseA", "baseB", *(f"{base}{n}{target}{plus}" for n in CUTS for base in "AB"
                              for target in "AB" for plus in ("", "+")))  # fmt: skip
STEPS = 339
VALIDATIONS = 20


def fill(store: Path, runs: int) -> Path:
    """The store with so many runs, of several splits, seeds and networks: bases first."""
    draw = random.Random(0)
    finished = []
    for number in range(runs):
        rest, label = divmod(number, len(LABELS))
        rest, seed = divmod(rest, len(SEEDS))
        split, model = divmod(rest, len(MODELS))
        finished.append(_finished(store, LABELS[label], MODELS[model], split, seed, draw))
    bases_first = sorted(finished, key=lambda run: run.base is not None)
    sweeps.start(store, "random_splits", bases_first, build_launcher(LOCAL), 1)
    return store


def _finished(
    store: Path, label: str, model: str, split: int, seed: int, draw: random.Random
) -> Run:
    changes = {"model.name": model, "seed": seed, "split.digest": f"{split:064}"}
    chosen = config(label, changes, split=split)
    run = make_run(chosen).in_store(store)
    top1 = 0.55 + 0.1 * draw.random() - 0.02 * chosen.variant.n * chosen.variant.frozen
    curve = [top1 * (1 - 0.8 / (1 + each)) for each in range(VALIDATIONS - 1)] + [top1]
    folder = run.folder
    folder.mkdir(parents=True)
    content = record(chosen, top1)
    head = {key: content[key] for key in ("id", "label", "config")}
    (folder / "config.json").write_text(json.dumps({"format": FORMAT, **head}))
    rows = [
        f"{(each + 1) * STEPS // VALIDATIONS},{1.5 - 0.05 * each},{1.6 - 0.04 * each},{value!r}"
        for each, value in enumerate(curve)
    ]
    text = "\n".join(["step,train/loss,val/loss,val/accuracy", *rows]) + "\n"
    (folder / "metrics.csv").write_text(text)
    (folder / "result.json").write_text(json.dumps(content, indent=1))
    return run
