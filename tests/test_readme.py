"""What the READMEs, the help text and the heads of conf/ tell the user to type, name and expect."""

import argparse
import importlib
import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf
from support.commandline import images

from transferlab import __main__
from transferlab.cli import sweep
from transferlab.experiment import compose, study
from transferlab.experiment.config import known_keys
from transferlab.experiment.launcher import build_launcher

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
BLOCK = re.compile(r"^ *```\w*\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
BLOCKS = BLOCK.findall(README)
INLINE = re.findall(r"`([^`]+)`", BLOCK.sub("", README))
COMMAND = re.compile(r"python -m transferlab (.*)")
WITH_FLAGS = {"status", "results", "report", "prepare", "bench", "sync", "retry", "cancel"}
WORDNET = ("n01440764", "n01443537", "n02666196", "n02667093")  # two animals and two things


def head(path: Path) -> str:
    """The comment that a file begins with."""
    lines = path.read_text().splitlines()
    end = next((i for i, line in enumerate(lines) if not line.startswith("#")), len(lines))
    return "\n".join(lines[:end])


def commands() -> Iterator[tuple[str, str]]:
    """Where each command line stands, and its arguments."""
    texts = [(f"README block {number}", block) for number, block in enumerate(BLOCKS)]
    texts += [("slurm/README.md", (ROOT / "slurm/README.md").read_text())]
    texts += [("HELP", __main__.HELP)]
    texts += [(str(path.relative_to(ROOT)), head(path)) for path in sorted(ROOT.glob("conf/**/*"))
              if path.suffix == ".yaml"]  # fmt: skip
    for place, text in texts:
        for words in COMMAND.findall(text.replace("\\\n", " ")):
            if not words.startswith("[COMMAND]"):  # the grammar
                yield place, " ".join(words.split())


COMMANDS = list(commands())


def composed(words: list[str]) -> list[DictConfig]:
    """What Hydra composes for a command line: one config or, of a multirun, one for every job."""
    arguments = get_args_parser().parse_args([compose.with_plus(word) for word in words])
    compose.check(arguments.overrides)
    jobs = [arguments.overrides]
    if arguments.multirun:
        parsed = OverridesParser.create().parse_overrides(arguments.overrides)
        jobs = [job for batch in BasicSweeper.split_arguments(parsed, None) for job in batch]
    with initialize_config_dir(config_dir=str(compose.conf_folder()), version_base="1.3"):
        return [hydra_compose(config_name="config", overrides=overrides) for overrides in jobs]


# --- commands ------------------------------------------------------------------------------------


def test_commands_are_found_where_they_are_written():
    places = [place for place, _ in COMMANDS]
    assert sum(place.startswith("README") for place in places) >= 5
    assert places.count("HELP") == 3
    assert {"conf/config.yaml", "conf/split/random.yaml", "conf/data/imagenet.yaml"} <= set(places)
    joined = [words for place, words in COMMANDS if place == "HELP"][-1]
    assert joined.endswith("model=alexnet train=yosinski2014 transfer.variant=A5B+")
    named = {__main__._command(words.split())[0] for _, words in COMMANDS}
    assert named == {"run", "sweep", *WITH_FLAGS}
    for path in ROOT.glob("conf/study/*.yaml"):
        assert f"conf/study/{path.name}" in places


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What DIR stands for: four classes that the published groups know, two images each."""
    root = tmp_path_factory.mktemp("images")
    for subset in ("train", "val"):
        images(root, subset, dict.fromkeys(WORDNET, 2))
    return root


@pytest.mark.parametrize(("place", "line"), COMMANDS)
def test_every_command_is_one_that_works(
    place: str, line: str, folder: Path, monkeypatch: pytest.MonkeyPatch
):
    words = [re.sub(r"\bDIR\b", str(folder), word) for word in shlex.split(line, comments=True)]
    name, rest = __main__._command(words)
    if name == "run":
        composes_to_runs(rest, root=folder)
    elif name == "sweep":
        expands_to_a_study(rest, root=folder)
    else:
        assert name in WITH_FLAGS
        parses(name, rest, monkeypatch)


def composes_to_runs(words: list[str], *, root: Path) -> None:
    for raw in composed(words):
        if "--cfg" in words:  # shown and not carried out
            continue
        run = compose.build(raw)
        assert 0 <= run.variant.n <= 7
        assert run.data.root in (None, str(root), "PREPARED")


def expands_to_a_study(words: list[str], *, root: Path) -> None:
    name, own, others = sweep._sorted(words)
    raw = compose.compose("sweep", own)
    launcher = build_launcher(raw["launcher"])
    assert launcher.name == ("slurm" if "launcher=slurm" in words else "local")
    assert isinstance(raw["dry_run"], bool)
    sweep.pack_size(raw["sweep"]["pack"])
    runs = study.expand(study.load(name), others)
    assert len(runs) >= 8
    assert {run.data.root for run in runs} == ({str(root)} if "data.root" in str(words) else {None})


class Parsed(Exception):
    """Raised in place of what a command with flags would do."""


def parses(name: str, words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    original = argparse.ArgumentParser.parse_args

    def parse(self: argparse.ArgumentParser, arguments: list[str]) -> None:
        original(self, arguments)
        raise Parsed

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", parse)
    with pytest.raises(Parsed):
        importlib.import_module(f"transferlab.cli.{name}").run(words)


def test_every_setting_of_slurm_that_is_named_is_one():
    text = BLOCK.sub("", (ROOT / "slurm/README.md").read_text())
    named = re.findall(r"`('?launcher\.[\w.]+=[^`]+)`", text)
    words = [word for code in named for word in shlex.split(code)]
    assert {'launcher.extra=["--exclude=node7"]', "launcher.gres=null"} <= set(words)
    for word in words:
        _, own, _ = sweep._sorted(["+study=quick", "launcher=slurm", word])
        assert build_launcher(compose.compose("sweep", own)["launcher"]).name == "slurm"


def test_the_multirun_of_the_help_is_fourteen_runs():
    (line,) = (words for place, words in COMMANDS if place == "HELP" and words.startswith("-m "))
    runs = [compose.build(raw) for raw in composed(shlex.split(line))]
    expected = [f"A{n}B" for n in range(1, 8)] + [f"B{n}B" for n in range(1, 8)]
    assert [run.label for run in runs] == expected


@pytest.mark.parametrize("text", [README, (ROOT / "CONTRIBUTING.md").read_text()])
def test_every_make_target_that_is_named_exists(text: str):
    makefile = (ROOT / "Makefile").read_text()
    targets = re.findall(r"^([a-z]+):", makefile, re.MULTILINE)
    code = [*BLOCK.findall(text), *re.findall(r"`([^`]+)`", BLOCK.sub("", text))]
    named = {target for part in code for target in re.findall(r"^make (\w+)", part, re.MULTILINE)}
    assert "test" in named
    assert named <= set(targets)


# --- keys ----------------------------------------------------------------------------------------


def key_table() -> list[tuple[str, str]]:
    """Key and default of every row below the mark."""
    rows = README.split("<!-- keys -->\n")[1].split("\n\n")[0].splitlines()
    assert rows[:2] == ["| key | default | meaning |", "| --- | --- | --- |"]
    return [re.match(r"\| `(\S+)` \| `(\S+)` \| \S", row).groups() for row in rows[2:]]


def test_the_table_of_keys_has_every_key_in_order():
    assert [key for key, _ in key_table()] == known_keys()


def test_the_table_of_keys_has_the_defaults(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("TRANSFERLAB_STORE", raising=False)
    monkeypatch.delenv("TRANSFERLAB_CACHE", raising=False)
    (raw,) = composed(["+split=random"])
    defaults = {key: OmegaConf.select(raw, key) for key in known_keys()}
    shown = {k: v if isinstance(v, str) else json.dumps(v) for k, v in defaults.items()}
    assert dict(key_table()) == shown
    assert (shown["runtime.store"], shown["runtime.cache"]) == ("runs", "~/.cache/transferlab")


# --- files ---------------------------------------------------------------------------------------


def files_named() -> set[str]:
    """What the backticks name below transferlab/, conf/ or tests/, and modules by themselves."""
    return {
        word
        for word in INLINE
        if re.fullmatch(r"(transferlab|conf|tests)/[\w./]*", word) or re.fullmatch(r"\w+\.py", word)
    }


def test_files_are_found_where_they_are_named():
    expected = {"transferlab/splits.py", "conf/split/", "optimiser.py", "tests/test_imports.py"}
    assert expected <= files_named()


@pytest.mark.parametrize("name", sorted(files_named()))
def test_every_file_and_folder_that_is_named_exists(name: str):
    if "/" not in name:  # a neighbour of a module named in full
        assert list(ROOT.glob(f"transferlab/**/{name}"))
    elif name.endswith("/"):
        assert (ROOT / name).is_dir()
    else:
        assert any(path.is_file() for path in ROOT.glob(name.replace("NAME", "*")))


def test_every_choice_of_conf_is_named():
    for path in ROOT.glob("conf/*/*.yaml"):
        if path.stem != "default" and not path.stem.startswith("_"):
            word = re.compile(rf"\b{path.stem}\b")
            assert any(word.search(code) for code in INLINE), path
            assert word.search(__main__.HELP) or path.parent.name == "study", path


def test_the_help_fits_a_screen():
    lines = __main__.HELP.splitlines()
    assert max(map(len, lines)) <= 100
    assert len(lines) <= 40
