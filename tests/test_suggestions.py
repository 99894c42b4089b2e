"""Every command and setting that a message suggests works as it is printed.

`runtime.commands` writes them all. Each place in the package that calls it is reached here, each
suggestion stands in the message as it was written, and is run or composed.
"""

import argparse
import ast
import copy
import importlib
import itertools
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache, partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from omegaconf import OmegaConf
from support import configs
from support.commandline import images
from support.records import made
from support.studies import make_local, make_runs, make_slurm, on_devices, start

import transferlab
from transferlab import __main__, data, results, runtime
from transferlab.cli import hydra_flags, status, summary, sweep
from transferlab.data.datasets.prepared_record import (
    FORMAT,
    RECORD,
    SUBSETS,
    Pixels,
    PreparedRecord,
    StoredSubset,
)
from transferlab.errors import RunFailed, UserError
from transferlab.experiment import command, compose, fit, reuse, study, usage
from transferlab.experiment.build import build_config
from transferlab.experiment.conf import CONF
from transferlab.experiment.keys import known_keys
from transferlab.experiment.launcher import build_launcher
from transferlab.experiment.resolve import resolve
from transferlab.experiment.run import make_run
from transferlab.experiment.splits import second_unused
from transferlab.launch import cluster, dispatch, edited, job, slurm
from transferlab.launch.local import Progress
from transferlab.launch.status import RunStatus
from transferlab.results import catalogue
from transferlab.runtime import commands, escapes, files
from transferlab.store import folders, inventory

PACKAGE = Path(transferlab.__file__).parent
WRITERS = ("setting", "settings", "line", "study")
ELSEWHERE = (  # made at import, or needs torch or wandb: see below
    "runtime/files.py", "runtime/compiled.py", "data/half.py", "data/datasets/cifar.py",
    "training/inference.py", "results/figures/select.py", "cli/sync.py",
    "cli/rerun.py", "training/session.py", "data/loader.py",
    "training/packs.py",
    # of runs, weights and images that a test of theirs has
    "evaluation/runs.py", "evaluation/source.py", "models/pretrained.py",
    "experiment/pretrained.py", "cli/evaluate.py", "data/datasets/voc.py",
)  # fmt: skip
PLACEHOLDER = "NAME"  # which nothing can be tried with
STORED = {
    8: "warp",
    16: "crop",
    64: "warp",
    96: "warp",
    97: "crop",
    128: "crop",
    226: "warp",
    227: "warp",
    256: "warp",
    300: "crop",
}  # prepared images: pixels a side -> how resized
DIGEST = "0" * 64
WORDNET = ("n01440764", "n01443537", "n02666196", "n02667093")  # two animals and two things

Site = tuple[str, int]


def calls() -> Iterator[tuple[Site, ast.Call]]:
    """Each call that writes a suggestion, with its file and line."""
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in CALLS:
                yield (str(path.relative_to(PACKAGE)), node.lineno), node


CALLS = {f"commands.{name}" for name in WRITERS}
SITES = dict(calls())


@dataclass
class Written:
    """What was suggested, and by which lines of the package."""

    texts: list[str]
    reached: set[Site]

    def take(self) -> list[str]:
        texts, self.texts = self.texts, []
        return texts


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> Written:
    record = Written([], set())

    def recorded(write: Callable[..., str]) -> Callable[..., str]:
        def call(*words: Any, **more: Any) -> str:
            frame = sys._getframe(1)
            path = Path(frame.f_code.co_filename)
            text = write(*words, **more)
            if path.is_relative_to(PACKAGE) and path != Path(commands.__file__):
                record.reached.add((str(path.relative_to(PACKAGE)), frame.f_lineno))
                record.texts.append(text)
            return text

        return call

    for name in WRITERS:
        monkeypatch.setattr(commands, name, recorded(getattr(commands, name)))
    return record


# --- what works ---------------------------------------------------------------------------------


class Parsed(Exception):
    """Raised in place of what a command with flags would do."""


def works(text: str, folder: Path) -> None:
    """Run or compose a suggestion: a command line, or settings to add to one."""
    if text.startswith(("mv ", "chmod ")):
        subprocess.run(["bash", "-c", text], check=True)
        return
    if not text.startswith(commands.PROGRAM):
        for word in (with_folder(word, folder) for word in shlex.split(text)):
            compose.parse(word)
            if not word.startswith(("launcher", "+study=")):
                compose.check([word])
        return
    words = [with_folder(word, folder) for word in shlex.split(text)[3:]]
    name, rest = __main__._command(words)
    if name == "sweep":
        of_study(rest)
    elif name != "run":
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(argparse.ArgumentParser, "parse_args", parse)
            with pytest.raises(Parsed):
                importlib.import_module(f"transferlab.cli.{name}").run(rest)
    elif "--cfg" not in rest:
        trains(rest)


def with_folder(word: str, folder: Path) -> str:
    """The word with a folder in place of DIR, as a user writes it."""
    name, _, value = word.partition("=")
    if word == "DIR":
        return str(folder)
    return commands.override(name, str(folder)) if value == "DIR" else word


def parse(self: argparse.ArgumentParser, words: Sequence[str]) -> None:
    known, unknown = self.parse_known_args(words)
    assert unknown == []
    raise Parsed


def of_study(words: Sequence[str]) -> None:
    if "+study=NAME" in words:
        return
    name, own, others = sweep._sorted(words)
    launcher = build_launcher(compose.plain(configs.composed(own, "sweep"))["launcher"])
    assert dispatch.resolved(study.expand(study.load(name), others), launcher)


def trains(words: Sequence[str]) -> None:
    """All that a run does before it trains. Raises: UserError."""
    compose.check(words)
    compose.check_single(words)
    settings = compose.settings(words)
    groups = [word for word in words if key(word) in CONF.groups()]
    raw = copy.deepcopy(composed(tuple(map(compose.as_typed, groups))))
    for name, (value,) in settings.items():
        if name not in CONF.groups():
            group, _, leaf = name.rpartition(".")
            raw[group][leaf] = value
    config = build_config(raw)
    usage.check(settings, [config])
    fit.check_network(resolve(config).config)


@cache
def composed(groups: tuple[str, ...]) -> dict[str, Any]:
    """What Hydra composes of the choices alone, which takes most of the time."""
    return compose.compose("config", groups)


def key(word: str) -> str:
    return word.lstrip("+").partition("=")[0]


# --- runs: whoever follows the advice arrives ---------------------------------------------------


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image folder `images`, one without val, records of prepared data, and a list of groups."""
    root = tmp_path_factory.mktemp("mine") / "my images (1)"
    for subset in ("train", "val"):
        images(root / "images", subset, dict.fromkeys(WORDNET, 2))
    images(root / "train_only", "train", dict.fromkeys(WORDNET, 4))
    for size, resize in STORED.items():
        stored = {name: StoredSubset(8, 8, 8 * size * size * 3) for name in SUBSETS}
        pixels = Pixels(size, resize, "raw", None)
        record = PreparedRecord(
            pixels, val="val", holdout=None, listing=DIGEST, sources=DIGEST, classes=WORDNET,
            digest=DIGEST, subsets=stored,
        )  # fmt: skip
        (root / f"{size}").mkdir()
        raw = {"format": FORMAT, **asdict(record)}
        (root / f"{size}" / RECORD).write_text(json.dumps(raw))
    lines = [f"{digit},{('manmade', 'natural')[digit % 2]}\n" for digit in range(10)]
    (root / "groups.csv").write_text("".join(["class,group\n", *lines]))
    return root


RUN = "+split=random transfer.n=3"
SMALL = "data.size=64 data.crop=64 data.scale=0.015625"
# A command line, and settings among the suggested ones that lead to a run
FOLLOWED = [
    ("transfer.n=3", "+split=random"),
    ("+split=random", "transfer.n=3"),
    ("+split=random split.seed=null transfer.n=3", "split.seed=0"),
    ("+split=random transfer.variant=base", "transfer.target=B"),
    ("+split=random transfer.variant=R3B+", "transfer.variant=baseB"),
    (f"{RUN} data.root=ROOT/images", "data=image_folder"),
    (f"{RUN} data.root=ROOT/64", f"data=prepared {SMALL}"),
    (f"{RUN} data=image_folder", "data.root=ROOT/images"),
    (f"{RUN} data=image_folder data.root=ROOT/train_only", "data.holdout=0.2"),
    (f"{RUN} data=image_folder data.root=ROOT/images data.val=null", "data.val=val"),
    (f"{RUN} data.holdout=null", "data.holdout=0.2"),
    (f"{RUN} data=prepared", f"data.root=ROOT/64 {SMALL}"),
    (f"{RUN} data=prepared data.root=ROOT/images", "data=image_folder"),
    (f"{RUN} data=prepared data.root=ROOT/64", SMALL),
    (f"{RUN} data=prepared data.root=ROOT/128 model=alexnet",
     "model=alexnet_small data.size=128 data.crop=96 data.scale=0.015625 data.resize=crop"),
    (f"{RUN} data=prepared data.root=ROOT/128 data.size=128 data.crop=96", "data.resize=crop"),
    (f"{RUN} model=alexnet", "data.size=256 data.crop=227 data.scale=1.0"),
    (f"{RUN} model=alexnet", "model=alexnet_small"),
    (f"{RUN} data=imagenet data.root=ROOT/images",
     "data.size=32 data.crop=32 data.scale=0.015625"),
    (f"{RUN} data=imagenet data.root=ROOT/images", "model=alexnet"),
    ("+split=manmade_natural transfer.n=3", "split.groups=ROOT/groups.csv"),
]  # fmt: skip


def spelled(words: str, root: Path) -> list[str]:
    """The words as Hydra takes them: the folder ROOT has spaces and brackets in its name."""
    pairs = [word.split("=") for word in words.split()]
    return [
        commands.override(name, value.replace("ROOT", str(root))) if "ROOT" in value
        else f"{name}={value}"
        for name, value in pairs
    ]  # fmt: skip


def follow(words: list[str], known: list[str], written: Written) -> int:
    """How many errors have to be followed, each by suggested settings that are among `known`."""
    for errors in range(4):
        written.take()
        try:
            trains(words)
            return errors
        except UserError as error:
            message = str(error)
        texts = written.take()
        assert texts and all(text in message for text in texts), message
        settings = [shlex.split(text) for text in texts if not text.startswith(commands.PROGRAM)]
        filled = [[filled_in(word, known) for word in each] for each in settings]
        advice = next(each for each in filled if {*each} <= {*known})
        words = [word for word in words if key(word) not in map(key, advice)] + advice
    raise AssertionError(f"the advice leads in a circle: {words}")


def filled_in(word: str, known: list[str]) -> str:
    """A setting with a placeholder, as the user would write it."""
    if not re.search(r"=(DIR|NAME|FILE)$", word):
        return word
    return next((each for each in known if key(each) == key(word)), word)


# --- other messages -----------------------------------------------------------------------------


def message(call: Callable[..., object], *words: Any, **more: Any) -> str:
    """The message of the error that a call ends with."""
    with pytest.raises((UserError, RunFailed)) as error:
        call(*words, **more)
    return str(error.value)


def said_by_commands(place: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """What commands print or log, and their errors, about a store that needs quoting."""
    said: list[str] = []
    for module in (sweep, status):
        monkeypatch.setattr(module.log, "info", lambda text, *words: said.append(text % words))
    order = dispatch.Order("quick", make_runs(place), make_runs(place), make_slurm(), 1)
    with monkeypatch.context() as patch:
        for name in ("_jobs", "_cost", "_title"):
            patch.setattr(sweep, name, lambda *_: [])
        for name in ("look", "cost", "submit"):
            patch.setattr(dispatch, name, lambda order: order)
        patch.setattr(sweep.store, "require_writable", lambda _: None)
        patch.setattr(sweep.cluster, "require", lambda: None)
        sweep.carry_out(order)
    with monkeypatch.context() as patch:
        patch.setattr(dispatch.sweeps, "start", lambda *_: None)
        patch.setattr(dispatch.local, "carry_out", lambda *_, **__: Progress(1))
        yield message(dispatch.train, replace(order, launcher=make_local()))
    place.mkdir()
    with monkeypatch.context() as patch:
        patch.setattr(status, "look", lambda _: [RunStatus("1", "A1B", "random0", "failed")])
        status.run(["--store", str(place)])
    yield "\n".join(said)
    two = [make_run(made({"runtime.store": name})) for name in ("a", "b")]
    yield message(dispatch.order, "quick", two, make_local(), pack=1)
    yield message(sweep.run, ["launcher.jobs=2"])
    monkeypatch.setattr(reuse, "changed", lambda *_: ())
    yield message(reuse.require_same_images, two[0], {"a.png": "0" * 64}, place)
    yield message(inventory.check, place / "none")
    yield message(results.load, place / "none")
    yield message(results.load, place)
    with monkeypatch.context() as patch:
        patch.setattr(os, "geteuid", lambda: 12345)
        yield runtime.folders.foreign(place / "none") or ""
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=0))
    yield message(folders.require_space, place, 1)
    yield cluster._missing("sbatch")
    yield from said_by_jobs(place, monkeypatch)
    yield command.line(build_config(compose.compose("config", ["+split=random", "transfer.n=1"])))
    run = make_run(made({"runtime.store": str(place)}))
    words = ["+split=random", commands.override("runtime.wandb_project", "a b")]
    yield "\n".join(summary.next_command(run, words))


def said_by_jobs(place: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Errors about launchers and their jobs."""
    runs = make_runs(place)
    yield message(slurm.template, make_slurm(template="/none"))
    few = make_slurm(gres="gpu:1")
    on_gpus = on_devices(make_runs(place, runtime__accelerator="gpu"), 2)
    yield message(slurm._require_gpus, few, on_gpus)
    sweep = start(runs, make_slurm(changed_code="refuse"))
    task = job.SlurmTask("7_0", 0, 2)
    with monkeypatch.context() as patch:
        for name in ("note", "note_edited"):
            patch.setattr(job.sweeps, name, lambda *_, **__: None)
        patch.setattr(job.sweeps, "sweep_of", lambda _: sweep)
        patch.setattr(edited.provenance, "difference", lambda *_: "other files")
        submitted: Any = SimpleNamespace(code={"commit": None})
        yield str(job._no_progress(submitted, task, runs))
        yield message(edited.compare, submitted, 0, runs)


def said_of_data(root: Path) -> Iterator[str]:
    """Errors and advice about data and settings."""
    exact = {"val": None, "holdout": None, "decode": "exact", "cache": root}
    prepared = partial(data.load, "prepared", root=str(root / "64"))
    yield message(prepared, **exact, size=96, resize="warp")
    yield message(prepared, **exact, size=64, resize="crop")
    yield message(prepared, **exact | {"decode": "scaled"}, size=64, resize="warp")
    yield message(data.describe, "prepared", root=str(root / "64"), val="x", holdout=None)
    yield message(data.describe, "prepared", root=str(root / "none"), val=None, holdout=None)
    (root / "latin").mkdir()
    os.mkdir(os.fsencode(root / "latin") + b"/caf\xe9\n")
    yield message(data.describe, "image_folder", root=str(root / "latin"), val=None, holdout=0.5)
    assert os.listdir(root / "latin") == ["NAME"]
    for text in ("/lr=0.1", "/run (1)", "/#1", "~/data", "/日本語", "/o'brien", "/[x]", "2026"):
        yield message(compose.parse, f"data.root={text}")
    yield message(compose.check_single, ["data.root=/a,b"])
    yield message(hydra_flags.parse, ["--experimental-rerun", "x"])
    yield message(compose.check, ["+study=quick"])
    yield message(compose.check, ["qqqq=1"])
    for size, classes in [*((size, 4) for size in STORED), (64, 3), (64, 1)]:
        yield fit.first_run(
            root / f"{size}", data.StoredPixels(size, STORED[size], "exact"), classes
        )


def said_of_tasks() -> Iterator[str]:
    """Errors about two data sets, weights, and several labels an image."""

    def raw(split: str, **changes: object) -> dict[str, Any]:
        found = copy.deepcopy(composed((f"+split={split}", "transfer=default")))
        found["transfer"]["n"] = 3
        for key, value in changes.items():
            section, _, leaf = key.partition("__")
            found[section][leaf] = value
        return found

    yield message(build_config, raw("pretrained", split__weights=None))
    yield message(build_config, raw("datasets", split__a=None))
    yield message(build_config, raw("random", train__loss="ranking", runtime__devices=2))
    yield second_unused()
    two = build_config(raw("datasets"))
    yield fit._crossing(two)
    yield message(resolve, two)
    several = data.Description(("a", "b"), DIGEST, multi_label=True)
    for loss in ("cross_entropy", "binary"):
        one = build_config(raw("random", train__loss=loss, data__per_class=3))
        yield message(fit.check_labels, one, one.data, several)
    whole = build_config(raw("random", data__resize="side"))
    yield message(fit.check_stored, whole, data.StoredPixels(32, "warp", "exact"))


# --- the test -----------------------------------------------------------------------------------


def test_every_suggestion_works_as_it_is_printed(
    root: Path, tmp_path: Path, written: Written, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    for line, known in FOLLOWED:
        assert follow(spelled(line, root), spelled(known, root), written) > 0
    said = (
        said_by_commands(tmp_path / "my store (1)", monkeypatch),
        said_of_data(root),
        said_of_tasks(),
    )
    for text in itertools.chain(*said):
        for suggested in written.take():
            assert suggested in text
            if not suggested.endswith(f"={PLACEHOLDER}"):
                works(suggested, root / "images")
        written.take()  # what the tried commands themselves would suggest
    works("runtime.store=DIR", root)
    assert "runtime.store=DIR" in files.IN_STORE.refused
    assert {site for site in SITES if not site[0].startswith(ELSEWHERE)} - written.reached == set()


HOSTILE = ["it's $HOME", '-"a"\\', "a=${x}, [b] #~", "日本\n\x1b[31m\u202e", "caf\udce9"]


@pytest.mark.parametrize("name", HOSTILE)
def test_suggestions_with_any_store_can_be_pasted(name: str, tmp_path: Path):
    """What bash makes of each is read back as the same store."""
    place = tmp_path / name
    lines = {
        commands.line("status", "--store", str(place)): ["status", "--store", str(place)],
        f"{commands.line(str(place), program='wandb sync')}/offline-run-*": [
            f"{place}/offline-run-1"
        ],
        commands.study("quick", place): [
            "sweep", "+study=quick", commands.override("runtime.store", str(place)),
        ],
    }  # fmt: skip
    (place / "offline-run-1").mkdir(parents=True)
    for line, words in lines.items():
        assert escapes.escaped(line) == line  # it is shown as it was written
        program = line.replace(commands.PROGRAM, "printf '%s\\0'").replace(
            "wandb sync", "printf '%s\\0'"
        )
        read = subprocess.run(["bash", "-c", program], capture_output=True, check=True).stdout
        assert [os.fsdecode(word) for word in read.split(b"\0")[:-1]] == words
    (read_by_hydra,) = compose.settings([words[-1]])["runtime.store"]
    assert OmegaConf.create([read_by_hydra])[0] == str(place)


def test_suggestions_that_need_torch_or_wandb_to_be_reached_work_as_well(root: Path):
    varying = set()
    for (file, _), call in SITES.items():
        words = [node.value for node in call.args if isinstance(node, ast.Constant)]
        if file.startswith(ELSEWHERE) and len(words) < len(call.args):
            varying.add(file)
        elif file.startswith(ELSEWHERE) and PLACEHOLDER not in words:
            works(getattr(commands, ast.unparse(call.func).split(".")[1])(*words), root / "images")
    assert varying == {
        "training/inference.py", "results/figures/select.py", "cli/sync.py", "data/loader.py",
        "training/packs.py", "evaluation/runs.py", "evaluation/source.py", "models/pretrained.py",
        "experiment/pretrained.py", "cli/evaluate.py", "data/datasets/voc.py",
    }  # fmt: skip
    works(commands.line("rerun", str(root)), root)
    works(commands.setting("runtime.workers", 0), root)
    works(commands.setting("runtime.memory_gb", 3), root)
    drawn = (exhibit for exhibit in catalogue.EXHIBITS.values() if exhibit.figure is not None)
    for name in {exhibit.study for exhibit in drawn}:
        works(commands.study(name, root), root)
    line = f"{commands.line(str(root), program='wandb sync')}/offline-run-*"
    assert shlex.split(line) == ["wandb", "sync", f"{root}/offline-run-*"]
    assert line.endswith("(1)'/offline-run-*")  # the shell expands what is not quoted


# What a message says of a choice, in contrast to what it suggests: `data=digits has no ...`
SAID = re.compile(r"\S+(: | has| makes| needs)")


def test_no_other_module_writes_a_command_or_a_setting():
    names = "|".join(map(re.escape, [*known_keys(), *CONF.groups(), "study", "launcher"]))
    pattern = re.compile(rf"{commands.PROGRAM} \S|(?<![\w./])\+?({names})=[\w\"'\[]")
    found = {
        f"{path.relative_to(PACKAGE)}: {text[match.start() :][:40]}"
        for path in PACKAGE.rglob("*.py")
        for text in prose(path)
        for match in pattern.finditer(text)
        if not SAID.match(text[match.start() :])
    }
    assert found == set()


def prose(path: Path) -> Iterator[str]:
    """The texts of a module with more than one word, without docstrings and the help screen."""
    tree = ast.parse(path.read_text())
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
    documentation = {
        ast.get_docstring(node, clean=False)
        for node in ast.walk(tree)
        if isinstance(node, documented)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
            if node.value not in documentation and path.name not in ("help.py", "commands.py"):
                yield node.value
