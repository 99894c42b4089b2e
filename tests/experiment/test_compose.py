"""From overrides to plain dicts, and what is refused before Hydra sees it. See also test_config for
conf/ itself and test_cli_wrong_use for whole command lines."""

import shlex
from pathlib import Path

import pytest
from omegaconf import OmegaConf

import transferlab
from transferlab.errors import UserError
from transferlab.experiment import compose, conf
from transferlab.experiment.conf import CONF, Conf


def refusal(*words: str) -> str:
    with pytest.raises(UserError) as error:
        compose.check(words)
    return str(error.value)


def test_conf_is_beside_the_package_here_and_in_it_where_it_was_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    assert conf.conf_folder() == Path(transferlab.__file__).parents[1] / "conf"

    (tmp_path / "transferlab" / "conf").mkdir(parents=True)
    monkeypatch.setattr(conf, "__file__", str(tmp_path / "transferlab" / "experiment" / "conf.py"))
    assert conf.conf_folder() == tmp_path / "transferlab" / "conf"


def test_a_run_is_composed_of_seven_groups():
    assert CONF.groups() == [
        "data", "logger", "model", "runtime", "split", "train", "transfer",
    ]  # fmt: skip
    assert CONF.choices("split") == [
        "datasets", "manmade_natural", "pretrained", "random", "size_matched", "whole",
    ]  # fmt: skip
    assert "yosinski2014" in CONF.choices("study")
    assert CONF.choices("nothing") == []


def test_hydra_lists_the_same_groups_and_choices():
    of_hydra = Conf(folder=conf.conf_folder())

    assert of_hydra.groups() == CONF.groups()
    for group in (*CONF.groups(), "study", "launcher", "nothing"):
        assert of_hydra.choices(group) == CONF.choices(group)


def test_a_base_of_a_group_is_no_choice():
    for group in ("data", "train"):
        assert (conf.conf_folder() / group / "_base.yaml").exists()
        with pytest.raises(UserError, match=f"unknown {group}=_base"):
            compose.check([f"{group}=_base"])


def test_only_the_choice_of_a_split_gets_a_plus():
    words = ["split=random", "+split=random", "split.seed=1", "splits=2", "data=digits", "-m"]

    assert [compose.as_typed(word) for word in words] == ["+split=random", *words[1:]]


def test_what_has_no_file_in_conf_is_a_name():
    typed = ["model=timm:convnext_tiny", "model=a.b:c,d:e", "data=own:images", "model=vgg,a:b"]
    expected = ["model.name=timm:convnext_tiny", "model.name=a.b:c,d:e", "data.name=own:images"]
    assert [compose.as_typed(word) for word in typed] == [*expected, "model=vgg,a:b"]
    assert compose.as_typed("model=${oc.env:MODEL}") == "model=${oc.env:MODEL}"


def test_what_is_composed_is_plain_and_has_no_trace_of_hydra(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TRANSFERLAB_STORE", "/of/mine")

    raw = compose.compose("config", ["+split=random", "transfer.n=3"])

    assert "hydra" not in raw
    assert type(raw["train"]) is dict
    assert raw["runtime"]["store"] == "/of/mine"  # an interpolation
    assert (raw["split"]["name"], raw["transfer"]["n"]) == ("random", 3)


def test_an_error_of_hydra_is_reported_on_one_line():
    with pytest.raises(UserError) as error:
        compose.compose("config", ["data=nothing"])

    assert (
        str(error.value)
        == "In 'config': Could not find 'data/nothing'; Available options in 'data':"
    )


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ({"seed": "???"}, "Missing mandatory value: seed"),
        ({"seed": "${nothing}"}, "seed=${nothing}: Interpolation key 'nothing' not found"),
    ],
)
def test_a_value_that_is_missing_is_refused(raw: dict[str, str], message: str):
    with pytest.raises(UserError) as error:
        compose.plain(OmegaConf.create(raw))

    assert str(error.value) == message


@pytest.mark.parametrize(
    "word",
    [
        "seed=1", "+split=random", "data=digits,imagenet", "train.lr=0.1,0.2", "~logger=csv",
        "hydra/launcher=slurm", "hydra.launcher.jobs=2", "hydra.sweep.dir=here",
        "transfer.n=range(1,8)", "model=choice(alexnet,alexnet_small)",
    ],
)  # fmt: skip
def test_what_a_run_has_passes(word: str):
    compose.check([word])


@pytest.mark.parametrize(
    ("word", "message"),
    [
        (
            "data=digits,digit",
            "unknown data=digit: did you mean digits? choose one of cifar10, cifar100, "
            "digits, image_folder, imagenet, imagenet_torchvision, prepared, voc2007 (conf/data/)",
        ),
        (
            "+split=choice(random,halves)",
            "unknown split=halves: choose one of datasets, manmade_natural, pretrained, "
            "random, size_matched, whole (conf/split/)",
        ),
        ("modl=alexnet", "unknown group modl: did you mean model=?"),
        (
            "+train.lrr=1",
            "unknown key train.lrr: did you mean train.lr (conf/train/)?",
        ),
        (
            "hydr.x=1",
            "unknown key hydr.x: python -m transferlab --cfg job lists all keys",
        ),
        (
            "+study=quick",
            "study belongs to a sweep, not to a run: python -m transferlab sweep +study=NAME",
        ),
        (
            "launcher.jobs=2",
            "launcher.jobs belongs to a sweep, not to a run: python -m transferlab sweep "
            "+study=NAME",
        ),
        (
            "dry_run=true",
            "dry_run belongs to a sweep, not to a run: python -m transferlab sweep +study=NAME",
        ),
    ],
)
def test_an_unknown_key_or_choice_is_refused_with_the_nearest_known_one(word: str, message: str):
    assert refusal("seed=1", word) == message


def test_a_word_that_cannot_be_parsed_is_refused_with_itself():
    assert refusal("seed").startswith("seed: ")
    assert refusal("seed=[1").startswith("seed=[1: ")
    assert "\n" not in refusal("seed=[1")


def test_an_error_without_a_message_is_named_by_its_type():
    assert compose.reason(ValueError("")) == "ValueError"
    assert compose.reason(ValueError("one\n\n two\nthree")) == "one; two"


@pytest.mark.parametrize(
    ("word", "quoted"),
    [
        ("data.root=/data/lr=0.1", """'data.root="/data/lr=0.1"'"""),
        ("data.root=/data/run (1)", """'data.root="/data/run (1)"'"""),
        ("data.root=/data/#1", """'data.root="/data/#1"'"""),
        ("data.root=~/data", """'data.root="~/data"'"""),
        ("data.root=/data/日本語", """'data.root="/data/日本語"'"""),
        ("data.root=/data/[x]", """'data.root="/data/[x]"'"""),
        ("runtime.store=2026", """'runtime.store="2026"'"""),
        ("+study=my (1).yaml", """'+study="my (1).yaml"'"""),
    ],
)
def test_a_path_that_hydra_cannot_read_is_answered_with_how_to_write_it(word: str, quoted: str):
    with pytest.raises(UserError) as error:
        compose.parse(word)
    assert str(error.value) == f"{word} is not a text to Hydra: write {quoted}"
    (written,) = shlex.split(quoted)
    assert compose.settings([written]) == {
        word.lstrip("+").partition("=")[0]: (word.partition("=")[2],)
    }


def test_a_list_of_values_needs_a_multirun():
    compose.check_single(["transfer.n=1", 'data.root="/a,b"'])
    with pytest.raises(UserError) as error:
        compose.check_single(["transfer.n=1,2"])
    assert str(error.value) == "transfer.n=1,2 is a list of values: add -m for a run of each"
    with pytest.raises(UserError, match="""if it is one text, write 'data.root="/a,b"'$"""):
        compose.check_single(["data.root=/a,b"])
