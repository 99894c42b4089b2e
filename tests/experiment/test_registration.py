"""A file and a line add a split or a network, a file a study; a choice has its file in conf/."""

import shutil
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from transferlab import models
from transferlab.errors import UserError
from transferlab.experiment import compose, plan, splits, study
from transferlab.experiment import conf as conf_files
from transferlab.experiment.build import build_config
from transferlab.experiment.resolve import resolve, resolve_all
from transferlab.experiment.splits import Split, SplitRule


@pytest.fixture
def conf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of conf/, which is composed from."""
    folder = tmp_path / "conf"
    shutil.copytree(conf_files.conf_folder(), folder)
    monkeypatch.setattr(conf_files, "conf_folder", lambda: folder)
    return folder


def module(monkeypatch: pytest.MonkeyPatch, name: str, **attributes: object) -> None:
    """What a file of that name would be, once imported."""
    made = ModuleType(name)
    vars(made).update(attributes)
    monkeypatch.setitem(sys.modules, name, made)


def test_a_split(conf: Path, monkeypatch: pytest.MonkeyPatch):
    def parity(classes, *, seed, groups, root) -> Split:
        return Split(a=(), b=tuple(name for name in classes if int(name) % 2 == seed))

    module(monkeypatch, "parity", PARITY=SplitRule(parity, seeded=True, halves="B"))
    monkeypatch.setitem(splits.SPLITS, "parity", "parity:PARITY")
    (conf / "split" / "parity.yaml").write_text(
        "name: parity\nseed: null\ngroups: null\ndigest: null\n"
    )

    def build(*words: str):
        compose.check(["+split=parity", *words])
        return build_config(compose.compose("config", ["+split=parity", *words]))

    run = resolve(build("split.seed=1", "transfer.variant=B3B"))

    assert run.split == Split(a=(), b=tuple("13579"))
    assert run.classes == tuple("13579")
    assert run.config.split_label == "parity1"
    with pytest.raises(UserError, match=r"^missing split\.seed: split=parity needs it"):
        build("transfer.variant=B3B")
    with pytest.raises(UserError, match="^split=parity has no half A, which A3B needs"):
        build("split.seed=1", "transfer.n=3")
    assert "+split=parity" in splits.missing_split()


def test_what_is_named_as_a_split_must_be_a_rule(monkeypatch: pytest.MonkeyPatch):
    module(monkeypatch, "no_rule", halves=Split((), ()))

    with pytest.raises(UserError, match="^split.name=no_rule:halves is a Split: it must be"):
        splits.split_rule("no_rule:halves")


@pytest.mark.parametrize(
    ("divide", "reason"),
    [
        (lambda classes, **_: 1 / 0, "raised ZeroDivisionError: division by zero"),
        (lambda classes, **_: (classes, ()), "returned tuple: it must return Split"),
        (lambda classes, **_: Split(("a", "b"), ("b", "c")), "has halves that overlap or hold unk"),
        (lambda classes, **_: Split(("a", "x"), ("b", "c")), "has halves that overlap or hold unk"),
        (None, "raised TypeError: 'NoneType' object is not callable"),
    ],
)
def test_a_rule_of_ones_own_that_does_not_divide_the_classes_is_named(
    monkeypatch: pytest.MonkeyPatch, divide: Any, reason: str
):
    module(monkeypatch, "own_split", RULE=SplitRule(divide))
    splits.split_rule.cache_clear()

    with pytest.raises(UserError) as error:
        splits.divide("own_split:RULE", ("a", "b", "c", "d"), seed=0, groups=None, root=None)
    assert str(error.value).startswith(f"split.name=own_split:RULE {reason}")


def test_a_study(conf: Path):
    (conf / "study" / "three.yaml").write_text(
        "- split: random\n  transfer.variant: [BnB, AnB]\n  transfer.n: 2\n"
    )

    runs = plan.order(resolve_all(study.expand(study.load("three"), ["split.seed=3"])))

    assert [run.label for run in runs] == ["baseB", "baseA", "B2B", "A2B"]
    assert {run.config.split_label for run in runs} == {"random3"}


def test_a_network(conf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from torch import nn

    from transferlab.launch import inline
    from transferlab.models.initial import gaussian
    from transferlab.models.stages import Stage, StagedNetwork
    from transferlab.models.zoo import Architecture

    def build(*, num_outputs: int, image_size: int) -> StagedNetwork:
        pool, flat = nn.AvgPool2d(image_size // 4), nn.Flatten()
        fc1 = Stage({"pool": pool, "flat": flat, "fc": nn.Linear(48, 8)}, gaussian(0.1, 0.0))
        fc2 = Stage({"fc": nn.Linear(8, num_outputs)}, gaussian(0.1, 0.0))
        return StagedNetwork({"fc1": fc1, "fc2": fc2})

    module(monkeypatch, "linear", build=build)
    linear = Architecture(
        "linear", (16, 32), "quick", size=16, crop=16, scale=1 / 64, builder="linear:build"
    )
    monkeypatch.setitem(models.NETWORKS, "linear", linear)
    (conf / "model" / "linear.yaml").write_text("defaults: [_base, _self_]\nname: linear\n")
    words = (
        "+split=random", "model=linear", "transfer.n=1", "data.size=16", "data.crop=16",
        "train.epochs=null", "train.total_steps=2", f"runtime.store={tmp_path}/runs",
        f"runtime.cache={tmp_path}/cache",
    )  # fmt: skip
    compose.check(words)

    base, run = inline.carry_out([resolve(build_config(compose.compose("config", words)))])

    assert (base.run.label, run.run.label) == ("baseA", "A1B")
    assert run.result["config"]["model"]["name"] == "linear"
    assert run.result["prefix_unchanged"] is True
