"""The documents, the help text and the heads of conf/: their commands work."""

import argparse
import importlib
import json
import os
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf
from support import conf_readme, configs
from support.commandline import images

import transferlab.cli.help
from transferlab import __main__
from transferlab.cli import sweep
from transferlab.experiment import compose, fit, study, usage
from transferlab.experiment.conf import CONF
from transferlab.experiment.keys import known_keys
from transferlab.experiment.launcher import build_launcher
from transferlab.results import catalogue

ROOT = Path(__file__).parents[1]
FOLDERS = ("conf", "notebooks", "slurm", "transferlab")
MODELS = "transferlab/models/README.md"
HISTORY = "CHANGELOG.md"  # speaks of what was
DOCUMENTS = {
    str(path.relative_to(ROOT)): path.read_text()
    for path in sorted(
        (*ROOT.glob("*.md"), *(p for f in FOLDERS for p in ROOT.glob(f"{f}/**/*.md")))
    )
    if path.name != HISTORY
}
SCREENS = 100  # lines on two of them
BLOCK = re.compile(r"^ *```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"python -m transferlab (.*)")
WITH_FLAGS = {
    "status",
    "results",
    "report",
    "prepare",
    "bench",
    "sync",
    "retry",
    "rerun",
    "cancel",
    "inspect",
    "evaluate",
    "export",
}
WORDNET = ("n01440764", "n01443537", "n02666196", "n02667093")  # two animals and two things


def comments(path: Path) -> str:
    """The comment lines of a file."""
    lines = map(str.strip, path.read_text().splitlines())
    return "\n".join(line for line in lines if line.startswith("#"))


def blocks(text: str, language: str | None = None) -> list[str]:
    """The fenced blocks of a document, or those of one language."""
    return [block for kind, block in BLOCK.findall(text) if language in (None, kind)]


def inline(text: str) -> list[str]:
    """Text between single backticks, also across a line end."""
    return [" ".join(code.split()) for code in re.findall(r"`([^`]+)`", BLOCK.sub("", text))]


def commands() -> Iterator[tuple[str, str]]:
    """Where each command line stands, and its arguments."""
    texts = [(name, "\n".join([*blocks(text), *inline(text)])) for name, text in DOCUMENTS.items()]
    texts += [("HELP", transferlab.cli.help.text())]
    for path in sorted(ROOT.glob("notebooks/*.ipynb")):
        cells = json.loads(path.read_text())["cells"]
        texts += [(path.name, "\n".join(inline("".join(c["source"])))) for c in cells]
    commented = [*ROOT.glob("conf/**/*.yaml"), *ROOT.glob("slurm/*.sbatch")]
    texts += [(str(path.relative_to(ROOT)), comments(path)) for path in sorted(commented)]
    texts += [("Makefile", (ROOT / "Makefile").read_text())]
    for place, text in texts:
        for words in COMMAND.findall(text.replace("\\\n", " ")):
            if not words.startswith("[COMMAND]"):  # the grammar
                yield place, " ".join(words.split())


COMMANDS = list(commands())
CONF_README = DOCUMENTS["conf/README.md"]
# Files that a command of the documents writes, and a reader's own
WRITTEN = {"classes.csv", "metrics.csv"}


def composed(words: list[str], *, ends: bool = False) -> list[DictConfig]:
    """What Hydra composes for a command line: one config or, of a multirun, one for every job.

    ends: only of the first and the last job, in full.
    """
    arguments = get_args_parser().parse_args([compose.as_typed(word) for word in words])
    compose.check(arguments.overrides)
    jobs = [arguments.overrides]
    if arguments.multirun:
        parsed = OverridesParser.create().parse_overrides(arguments.overrides)
        jobs = [job for batch in BasicSweeper.split_arguments(parsed, None) for job in batch]
    if ends:
        jobs = jobs[:: max(1, len(jobs) - 1)]
    return [CONF.composed(job) if ends else configs.composed(job) for job in jobs]


# --- commands ------------------------------------------------------------------------------------


def test_commands_are_found_where_they_are_written():
    places = [place for place, _ in COMMANDS]
    assert {"README.md", "conf/README.md", "notebooks/README.md", "slurm/README.md"} <= set(places)
    assert {"tutorial.ipynb", "results.ipynb"} <= set(places)
    assert places.count("README.md") >= 10
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
    """The folder DIR: four classes of the published groups, two images each."""
    root = tmp_path_factory.mktemp("images")
    for subset in ("train", "val"):
        images(root, subset, dict.fromkeys(WORDNET, 2))
    return root


@pytest.mark.parametrize("line", sorted({line for _, line in COMMANDS}))
def test_every_command_is_one_that_works(line: str, folder: Path, monkeypatch: pytest.MonkeyPatch):
    words = [re.sub(r"\bDIR\b", str(folder), word) for word in shlex.split(line, comments=True)]
    name, rest = __main__._command(words)
    if __main__.HELP_FLAGS & {*rest}:
        assert name == "run"
    elif name == "run":
        composes_to_runs(rest, root=folder)
    elif name == "sweep":
        expands_to_a_study(rest, root=folder)
    else:
        assert name in WITH_FLAGS
        parses(name, rest, monkeypatch)


def composes_to_runs(words: list[str], *, root: Path) -> None:
    for raw in composed(words, ends=True):
        if "--cfg" in words:  # shown and not carried out
            continue
        run = compose.run_config(raw)
        usage.check(compose.settings(word for word in words if "=" in word), [run])
        fit.check_network(run)
        assert 0 <= run.variant.n <= 7
        assert run.data.root in (None, str(root), "PREPARED")


def expands_to_a_study(words: list[str], *, root: Path) -> None:
    name, own, others = sweep._sorted(words)
    raw = compose.compose("sweep", own)
    launcher = build_launcher(raw["launcher"])
    assert launcher.name == ("slurm" if "launcher=slurm" in words else "local")
    assert isinstance(raw["dry_run"], bool)
    sweep.pack_size(raw["sweep"]["pack"])
    runs = study.expand(study.load(name), list(map(compose.as_typed, others)))
    assert runs
    named = {word.partition("=")[2] for word in words if word.startswith("data.root=")} or {None}
    assert {run.data.root for run in runs} == {name and os.path.abspath(name) for name in named}


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


@pytest.mark.parametrize("name", ["notebooks/README.md", MODELS])
def test_the_tables_shown_are_what_the_commands_print(
    name: str, capsys: pytest.CaptureFixture[str]
):
    tables = [block for block in blocks(DOCUMENTS[name]) if block.startswith("$ python")]
    assert tables
    for command, *lines in (shown.splitlines() for shown in tables):
        assert __main__.main(command.split()[4:]) == 0

        assert set(lines) - {"..."} <= set(capsys.readouterr().out.splitlines())


def test_every_setting_of_slurm_that_is_named_is_one():
    named = [
        code for code in inline(DOCUMENTS["slurm/README.md"]) if re.match(r"'?launcher\.", code)
    ]
    words = [word for code in named if "=" in code for word in shlex.split(code)]
    assert {'launcher.extra=["--exclude=node7"]', "launcher.gres=null"} <= set(words)
    for word in words:
        _, own, _ = sweep._sorted(["+study=quick", "launcher=slurm", word])
        assert build_launcher(compose.compose("sweep", own)["launcher"]).name == "slurm"


def test_the_multirun_of_the_help_is_fourteen_runs():
    (line,) = (words for place, words in COMMANDS if place == "HELP" and words.startswith("-m "))
    runs = [compose.run_config(raw) for raw in composed(shlex.split(line))]
    expected = [f"A{n}B" for n in range(1, 8)] + [f"B{n}B" for n in range(1, 8)]
    assert [run.label for run in runs] == expected


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_make_target_that_is_named_exists(name: str):
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    code = [*blocks(DOCUMENTS[name], "sh"), *inline(DOCUMENTS[name])]
    named = {target for c in code for target in re.findall(r"^make ([\w-]+)", c, re.MULTILINE)}
    assert "test" in named or name not in ("README.md", "CONTRIBUTING.md")
    assert named <= set(targets)


# --- keys ----------------------------------------------------------------------------------------


def key_table() -> dict[str, str]:
    """Key -> default of every row of the tables of a run's keys, in the order of the document."""
    tables = re.findall(r"<!-- keys \w+ -->\n(.*?)<!-- end -->", CONF_README, re.DOTALL)
    return dict(re.findall(r"^\| `(\S+)` \| `(\S+)` \| \S.* \| \S", "".join(tables), re.MULTILINE))


def keys_of_tables() -> list[str]:
    """Every key of a run; those of A's data set, which are those of `data`, as one."""
    return [*(key for key in known_keys() if not key.startswith("split.a.")), "split.a"]


def test_the_tables_of_conf_are_those_of_its_files():
    assert conf_readme.complete(CONF_README) == CONF_README, "python tests/support/conf_readme.py"


def test_the_tables_of_conf_have_every_key_and_choice():
    assert sorted(key_table()) == sorted(keys_of_tables())
    for path in ROOT.glob("conf/*/[!_]*.yaml"):
        named = f"`{path.stem}`" in CONF_README or f"`launcher={path.stem}`" in CONF_README
        assert named or path.stem == "default", path


def test_the_tables_of_conf_have_the_defaults(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("TRANSFERLAB_STORE", raising=False)
    monkeypatch.delenv("TRANSFERLAB_CACHE", raising=False)
    (raw,) = composed(["+split=random"])
    defaults = {key: OmegaConf.select(raw, key) for key in keys_of_tables()}
    shown = {k: v if isinstance(v, str) else json.dumps(v) for k, v in defaults.items()}
    assert key_table() == shown
    assert (shown["runtime.store"], shown["runtime.cache"]) == ("runs", "null")


# --- files ---------------------------------------------------------------------------------------


def files_named() -> set[str]:
    """Files and folders that the documents name in backticks, and modules by themselves."""
    pattern = r"(transferlab|conf|tests|notebooks|slurm)/[\w./-]*|\w+\.(py|ipynb|csv)"
    codes = (code for text in DOCUMENTS.values() for code in inline(text))
    return {code for code in codes if re.fullmatch(pattern, code)} - WRITTEN


def test_files_are_found_where_they_are_named():
    expected = {"transferlab/experiment/splits/", "conf/split/", "optimiser.py",
                "tests/test_imports.py", "results.ipynb"}  # fmt: skip
    assert expected <= files_named()


@pytest.mark.parametrize("name", sorted(files_named()))
def test_every_file_and_folder_that_is_named_exists(name: str):
    if "/" not in name:  # a neighbour of a module named in full
        assert list(ROOT.glob(f"transferlab/**/{name}")) or (ROOT / "notebooks" / name).exists()
    elif name.endswith("/"):
        assert (ROOT / name).is_dir()
    else:
        assert any(path.is_file() for path in ROOT.glob(name.replace("NAME", "*")))


def anchors(text: str) -> set[str]:
    """What a link may point to: the headings as GitHub makes anchors of them."""
    titles = re.findall(r"^#+ (.*)$", BLOCK.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_link_leads_somewhere(name: str):
    for target in re.findall(r"\]\(([^)]+)\)", BLOCK.sub("", DOCUMENTS[name])):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        place = (ROOT / name).parent / path if path else ROOT / name
        assert place.exists(), target
        assert not anchor or anchor in anchors(place.read_text()), target


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_document_of_more_than_two_screens_has_a_table_of_contents(name: str):
    text = DOCUMENTS[name]
    sections = re.findall(r"^## (.*)$", BLOCK.sub("", text), re.MULTILINE)
    if len(text.splitlines()) > SCREENS:
        missing = anchors("".join(f"## {title}\n" for title in sections)) - set(
            re.findall(r"\]\(#([^)]+)\)", text)
        )
        assert missing == set()


def test_every_table_and_figure_is_explained():
    explained = set(inline(DOCUMENTS["notebooks/README.md"]))
    assert {*catalogue.table_names(), *catalogue.figure_names()} <= explained


def test_the_readme_has_at_most_two_hundred_lines():
    assert len(DOCUMENTS["README.md"].splitlines()) <= 200


def test_the_help_fits_a_screen():
    lines = transferlab.cli.help.text().splitlines()
    assert max(map(len, lines)) <= 100
    assert len(lines) <= 40


def test_the_help_names_every_choice_of_conf_but_of_many_and_marks_the_defaults():
    text = transferlab.cli.help.text()
    for path in ROOT.glob("conf/*/[!_]*.yaml"):
        if path.stem != "default" and path.parent.name in ("logger", "split"):
            assert re.search(rf"\b{path.stem}\b", text), path
    for group in ("data", "model", "train"):
        names = {path.stem for path in ROOT.glob(f"conf/{group}/[!_]*.yaml")}
        line = re.search(rf"  {group} +(.+), and (.+) more in conf/{group}/", text)
        assert line
        shown = {name.rstrip("*") for name in line[1].split(", ")}
        assert len(shown) > 3 and shown < names and len(names) == len(shown) + int(line[2])
    for word in ("digits*", "alexnet_small*", "quick*", "csv*", "AnB*"):
        assert word in text.replace(",", " ").split()
