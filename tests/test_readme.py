"""What README, the help text and the heads of conf/ tell the user to type, name and expect."""

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

from transferlab import __main__ as front_door
from transferlab import compose, config

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
BLOCK = re.compile(r"^```\w*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BLOCKS = BLOCK.findall(README)
INLINE = re.findall(r"`([^`]+)`", BLOCK.sub("", README))
COMMAND = re.compile(r"python -m transferlab (.*)")


def head(path: Path) -> str:
    """The comment that a file begins with."""
    lines = path.read_text().splitlines()
    end = next((i for i, line in enumerate(lines) if not line.startswith("#")), len(lines))
    return "\n".join(lines[:end])


def commands() -> Iterator[tuple[str, str]]:
    """Where each command line stands, and its arguments."""
    texts = [(f"README block {number}", block) for number, block in enumerate(BLOCKS)]
    texts += [("HELP", front_door.HELP)]
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


@pytest.mark.parametrize(("place", "line"), COMMANDS)
def test_every_command_composes_to_runs(place: str, line: str, tmp_path: Path):
    words = [re.sub(r"\bDIR\b", str(tmp_path), word) for word in shlex.split(line, comments=True)]
    name, rest = front_door._command(words)
    assert name == "run"
    for raw in composed(rest):
        if "--cfg" in rest:  # shown and not carried out
            continue
        run = compose.build(raw)
        assert 0 <= run.variant.n <= 7
        assert run.data.root in (None, str(tmp_path))


def test_the_multirun_of_the_readme_is_fourteen_runs():
    (line,) = (words for place, words in COMMANDS if "README" in place and words.startswith("-m "))
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
    assert [key for key, _ in key_table()] == config.known_keys()


def test_the_table_of_keys_has_the_defaults(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("TRANSFERLAB_STORE", raising=False)
    monkeypatch.delenv("TRANSFERLAB_CACHE", raising=False)
    (raw,) = composed(["+split=random"])
    defaults = {key: OmegaConf.select(raw, key) for key in config.known_keys()}
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
        assert (ROOT / name).is_file()


def test_every_choice_of_conf_is_named():
    for path in ROOT.glob("conf/*/*.yaml"):
        if path.stem != "default":
            assert f"`{path.stem}`" in README
            assert re.search(rf"\b{path.stem}\b", front_door.HELP)


def test_the_help_fits_a_screen():
    lines = front_door.HELP.splitlines()
    assert max(map(len, lines)) <= 100
    assert len(lines) <= 40
