"""Hydra's own ways on the command line: what plain Hydra takes works, what cannot work is refused
in words. Nothing is trained here; see test_multirun for what a multirun starts."""

import ast
import os
import re
from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml

from transferlab import __main__
from transferlab.cli import summary
from transferlab.experiment.config import RunConfig
from transferlab.experiment.run import Run
from transferlab.launch import inline
from transferlab.launch.inline import FinishedRun

RUN = ("+split=random", "transfer.n=1")
RESULT = {"metrics": {"top1_final": 0.5}}


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of config files of the user's; stands in an empty folder beside it."""
    texts = {
        "data/mine.yaml": "defaults: [digits, _self_]\nsize: 24\ncrop: 24",
        "data/_part.yaml": "size: 20",
        "train/fast.yaml": "defaults: [quick, _self_]\nepochs: 1",
        "model/tiny.yaml": "name: alexnet_small\nnum_outputs: 7",
        "study/few.yaml": "- {split: random, transfer.variant: AnB, transfer.n: [1, 2]}",
        "experiment/both.yaml": "# @package _global_\n"
        "defaults: [{override /data: mine}, {override /train: fast}]\ntransfer: {n: 2}",
        "primary.yaml": "defaults: [config, _self_]\nseed: 5",
        "sweeping.yaml": "defaults: [config, _self_]\n"
        "hydra: {mode: MULTIRUN, sweeper: {params: {transfer.n: 'range(2,3)'}}}",
    }
    for name, text in texts.items():
        path = tmp_path / "own" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("TRANSFERLAB_STORE", str(tmp_path / "store"))
    return tmp_path / "own"


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[RunConfig]:
    """The configs of the runs that would be trained."""
    configs: list[RunConfig] = []

    def carry_out(runs: Sequence[Run]) -> tuple[FinishedRun, ...]:
        configs.extend(run.config for run in runs)
        return tuple(FinishedRun(run, RESULT, False) for run in runs)

    monkeypatch.setattr(inline, "carry_out", carry_out)
    monkeypatch.setattr(summary, "table", lambda _: [])
    monkeypatch.setattr(summary, "next_command", lambda _, words: [str(words)])
    return configs


def called(own: Path, *words: str) -> int:
    return __main__.main([word.replace("OWN", str(own)) for word in words])


# --- a user's own files -------------------------------------------------------------------------


@pytest.mark.parametrize("search", [("--config-dir", "OWN"), ("hydra.searchpath=[file://OWN]",)])
def test_own_choices_work_beside_those_of_conf(
    own: Path, started: list[RunConfig], search: tuple[str, ...]
):
    assert called(own, *RUN, *search, "data=mine", "train=fast", "model=tiny") == 0

    (config,) = started
    assert (config.data.size, config.train.epochs, config.model.num_outputs) == (24, 1.0, 7)


def test_a_multirun_has_them_too_and_a_glob_lists_them(own: Path, started: list[RunConfig]):
    words = ("hydra.searchpath=[OWN]", *RUN, "data=glob([m*,d*,_*])")

    assert called(own, "-m", *words) == 0

    assert [(config.data.name, config.data.size) for config in started] == [
        ("digits", 32), ("digits", 24),
    ]  # fmt: skip


def test_a_group_and_a_primary_config_of_ones_own(own: Path, started: list[RunConfig]):
    """The group sets several others."""
    words = ("--config-name", "primary", "+split=random", "+experiment=both")

    assert called(own, "--config-dir", "OWN", *words) == 0

    (config,) = started
    assert (config.data.size, config.train.epochs, config.transfer.n) == (24, 1.0, 2)
    assert config.seed == 5


def test_the_command_that_is_suggested_next_has_the_folder(
    own: Path, started: list[RunConfig], capsys: pytest.CaptureFixture[str]
):
    called(own, *RUN, "--config-dir", "OWN", "data=mine")

    assert ast.literal_eval(capsys.readouterr().err) == [
        "--config-dir", str(own), "+split=random", "transfer.n=1", "data=mine",
    ]  # fmt: skip


def test_the_parameters_of_a_sweeper_and_the_mode_come_from_a_file(
    own: Path, started: list[RunConfig]
):
    assert called(own, "--config-dir", "OWN", "--config-name", "sweeping", "+split=random") == 0

    assert [config.transfer.n for config in started] == [2]


def test_a_folder_in_place_of_conf(own: Path, started: list[RunConfig], tmp_path: Path):
    from shutil import copytree

    from transferlab.experiment.conf import conf_folder

    copytree(conf_folder(), tmp_path / "copy")
    (tmp_path / "copy" / "train" / "quick.yaml").write_text("defaults: [small32, _self_]")

    assert called(own, "--config-path", str(tmp_path / "copy"), *RUN) == 0

    assert [config.train.batch_size for config in started] == [128]


def test_a_study_has_them_too(own: Path, capsys: pytest.CaptureFixture[str]):
    words = ("+study=few", "data=mine", "train=fast", "dry_run=true", "model=alexnet_small")

    assert called(own, "sweep", "--config-dir", "OWN", *words, "transfer.n=range(1,1)") == 2
    assert "transfer.n=range(1,1) has no values" in capsys.readouterr().err


def test_messages_and_the_help_list_them(own: Path, capsys: pytest.CaptureFixture[str]):
    assert called(own, *RUN, "--config-dir", "OWN", "data=mne") == 2
    assert called(own, "--help", "--config-dir", "OWN") == 0
    out, err = capsys.readouterr()
    assert "unknown data=mne: did you mean mine? choose one of cifar10, cifar100, digits," in err
    assert f"mine, prepared, voc2007 (conf/data/, {own}/data)" in err
    assert re.search(r"  data +digits\*, .*, and \d more in conf/data/", out)


def test_a_file_that_hydra_does_not_read_is_not_taken_for_the_one_it_does(
    own: Path, started: list[RunConfig], capsys: pytest.CaptureFixture[str]
):
    (own / "data" / "digits.yaml").write_text("name: digits")

    for words in (RUN, (*RUN, "data=digits")):
        assert called(own, "--config-dir", "OWN", *words) == 2
        assert f"hides {own}/data/digits.yaml: give your file" in capsys.readouterr().err
    assert started == []


# --- overrides ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "runs"),
    [
        (("transfer.n=range(3,4)",), "A3B"),
        (("transfer.n=sort(2,1)",), "A1B A2B"),
        (("transfer.n=choice(3)",), "A3B"),
        (("transfer.variant=glob(*)",), ""),
        (("transfer={n: 2}",), "A2B"),
        (("transfer.n=1", "data=[digits,cifar10]"), "A1B"),
        (("transfer.n=2", "~train.lr", "+train.lr=0.5", "++seed=3"), "A2B"),
        (("transfer.n=1", "~logger", "+runtime.logger=csv"), "A1B"),
        (("hydra.mode=MULTIRUN", "transfer.n=range(2,3)"), "A2B"),
        (("transfer.n=1", "runtime.wandb_project='a,b',c"), "A1B A1B"),
    ],
)
def test_what_hydra_composes_into_a_run_is_started(
    own: Path, started: list[RunConfig], words: tuple[str, ...], runs: str
):
    several = any("," in word and "[" not in word or "(" in word for word in words)

    status = called(own, *(["-m"] if several else []), "+split=random", *words)

    assert " ".join(config.label for config in started if config.variant.n) == runs
    assert (status == 0) == bool(runs)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("-m", "transfer.n=range(1,1)"), "transfer.n=range(1,1) has no values: "),
        (("-m", "transfer.n=range(1,3,0)"), "transfer.n=range(1,3,0): range() arg 3 must not be"),
        (("-m", "transfer.n=choice()"), "transfer.n=choice(): "),
        (("-m", "data=glob(zz*)"), "data=glob(zz*) has no values: "),
        (("-m", "transfer.n=glob(*)"), "transfer.n=glob(*) lists the choices of a group, and "),
        (("-m", "transfer.n=interval(1,3)"), "transfer.n=interval(1,3) has no values that Hydra's"),
        (("-m", "hydra.sweeper.params={seed: 1}"), "hydra.sweeper.params={seed: 1}: Hydra takes "),
        (("-m", "hydra/launcher=glob(*)"), "Sweeping over Hydra's configuration is not supported"),
        (("-m", "data=_base"), "unknown data=_base: "),
        (("-m", "data=null"), "unknown data=null: "),
        (("-m", "hydra.launcher._target_=os.system"), "hydra.launcher._target_=os.system is no "),
        (("-m", "runtime.store=/dev/null/a"), "/dev/null/a/.multirun cannot be written"),
        (("~split",), "Could not "),
        (("transfer.n=1,2",), "transfer.n=1,2 is a list of values: add -m"),
        (("train={lrr: 1}",), "unknown key train.lrr: did you mean train.lr"),
        (("data={_target_: os.system}",), "unknown key data._target_"),
        (("hydra.job.env_copy=[HOME]",), "hydra.job.env_copy writes values of the environment "),
        (("--config-dir", "none"), "--config-dir none is not a folder"),
        (("--config-name", "none"), "Cannot find primary config 'none'"),
        (("--config-name", "sweep"), "launcher belongs to a sweep, not to a run"),
        (("--experimental-rerun", "a.pickle"), "--experimental-rerun a.pickle would unpickle "),
        (("--resolve",), "--resolve is used only by --cfg: add --cfg job, or omit it"),
        (("--package", "train"), "--package is used only by --cfg: add --cfg job, or omit it"),
        (("--run", "-m"), "--run and --multirun do not go together: choose one"),
        (("--info", "config", "--cfg", "job"), "--cfg and --info do not go together: choose one"),
        (("--info", "nothing"), "argument --info/-i: invalid choice: 'nothing'"),
        (("--shell-completion",), "--shell-completion needs install=bash, or fish, or zsh"),
        (("--nothing",), "unrecognized arguments: --nothing; --help lists"),
        (("--store=runs2",), "; settings are keys without dashes: runtime.store=VALUE"),
        (("--size", "8"), "; settings are keys without dashes: data.size=VALUE"),
        (("--val-every", "5"), "; settings are keys without dashes: train.val_every=VALUE"),
        (('seed=${oc.decode:${oc.env:A}}',), "quote it: 'seed=\"${oc.decode:${oc.env:A}}\"'"),
    ],
)  # fmt: skip
def test_what_cannot_work_is_refused_in_one_line(
    own: Path,
    started: list[RunConfig],
    capsys: pytest.CaptureFixture[str],
    words: tuple[str, ...],
    message: str,
):
    alone = words[0] in ("~split", "--shell-completion")

    assert called(own, *words, *([] if alone else RUN[:1])) == 2

    out, err = capsys.readouterr()
    assert out == "" and len(err.splitlines()) == 1
    assert err.startswith("error: ") and message in err
    assert started == [] and os.listdir() == []


def test_a_folder_that_is_not_there_is_reported_once(
    own: Path, started: list[RunConfig], capsys: pytest.CaptureFixture[str]
):
    assert called(own, *RUN, "hydra.searchpath=[missing]") == 0

    err = capsys.readouterr().err
    assert err.count("Hydra: provider=hydra.searchpath in command-line, path=missing is not") == 1


def test_paths_are_those_of_the_users_folder_also_where_hydra_changes_it(
    own: Path, started: list[RunConfig]
):
    here = Path.cwd()

    called(own, *RUN, "hydra.job.chdir=true", "hydra.run.dir=other", "runtime.store=runs")

    assert started[0].runtime.store == f"{here}/runs"
    assert Path.cwd() == here


# --- what Hydra shows ---------------------------------------------------------------------------


def test_cfg_shows_the_config_and_trains_nothing(
    own: Path, started: list[RunConfig], capsys: pytest.CaptureFixture[str]
):
    assert called(own, "--cfg", "job", "--config-dir", "OWN", *RUN, "data=mine") == 0

    shown = yaml.safe_load(capsys.readouterr().out)
    assert (shown["data"]["size"], shown["transfer"]["n"]) == (24, 1)
    assert shown["runtime"]["store"] == "${oc.env:TRANSFERLAB_STORE,runs}"
    assert "hydra" not in shown and started == []


def test_cfg_of_a_multirun_shows_every_job(
    own: Path, started: list[RunConfig], capsys: pytest.CaptureFixture[str]
):
    words = ("--cfg", "job", "--package", "transfer", "+split=random", "transfer.n=1,2")

    assert called(own, "-m", *words) == 0

    out = capsys.readouterr().out
    assert [each["n"] for each in yaml.safe_load_all(out)] == [1, 2]
    assert "--- # job 1: +split=random transfer.n=2\n# @package transfer\n" in out
    assert started == []


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("--cfg", "hydra"), "hydra:"),
        (("--cfg", "all"), "hydra:"),
        (("--cfg", "job", "--resolve"), "data:"),
        (("--info",), "Config search path"),
        (("--info", "plugins"), "Installed Hydra Plugins"),
        (("-m", "--info", "defaults", "seed=1,2"), "--- # job 1: +split=random seed=2"),
        (("-m", "--info", "searchpath", "seed=1,2"), "Config search path"),
        (("--hydra-help",), "Hydra (1.3"),
        (("--shell-completion", "install=bash"), "hydra_bash_completion()"),
    ],
)
def test_what_hydra_shows_it_shows(
    own: Path,
    started: list[RunConfig],
    capsys: pytest.CaptureFixture[str],
    words: tuple[str, ...],
    line: str,
):
    rest = () if {"--hydra-help", "--shell-completion"} & {*words} else ("+split=random",)

    assert called(own, *rest, *words) == 0

    assert any(shown.startswith(line) for shown in capsys.readouterr().out.splitlines())
    assert started == [] and os.listdir() == []
