"""Keys that a run does not use: refused where a user set them, with the choices that use them."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from transferlab.cli import run as command
from transferlab.errors import UserError
from transferlab.experiment import compose, study, usage
from transferlab.experiment.config import RunConfig
from transferlab.launch import inline

Compose = Callable[..., RunConfig]
RUN = ["+split=random", "transfer.n=3"]
WHOLE = ["+split=whole", "transfer.variant=BnB", "transfer.n=3"]
MANMADE = ["+split=manmade_natural", "transfer.n=3"]
FOLDER = [*RUN, "data=image_folder", "data.root=DIR"]


def check(config: Compose, words: Sequence[str]) -> None:
    usage.check(compose.settings(words), [config(*words)])


@pytest.mark.parametrize(
    ("words", "unused", "chosen", "users"),
    [
        (RUN, "data.root=DIR", "data=digits",
         "data=image_folder, data=imagenet, data=prepared, data=cifar10, data=cifar100, "
         "data=voc2007"),
        (RUN, "data.val=test", "data=digits", "data=image_folder, data=imagenet, data=voc2007"),
        (RUN, "data.resize=crop", "data=digits",
         "data=image_folder, data=imagenet, data=prepared, data=voc2007"),
        ([*RUN, "data=cifar10"], "data.decode=scaled", "data=cifar10",
         "data=image_folder, data=imagenet, data=prepared, data=voc2007"),
        ([*RUN, "data.name=types:SimpleNamespace", "data.root=DIR"], "data.decode=scaled",
         "data=types:SimpleNamespace",
         "data=image_folder, data=imagenet, data=prepared, data=voc2007"),
        ([*RUN, "data=cifar10"], "data.holdout=0.2", "data=cifar10",
         "data=digits, data=image_folder, data=imagenet"),
        ([*RUN, "data=prepared", "data.root=DIR"], "data.holdout=0.2", "data=prepared",
         "data=digits, data=image_folder, data=imagenet"),
        ([*RUN, "data=cifar100"], "data.unreadable=skip", "data=cifar100",
         "data=image_folder, data=imagenet, data=prepared, data=voc2007"),
        ([*FOLDER, "data.holdout=0.2"], "data.val=test", "data.holdout=0.2", "data.holdout=null"),
        (WHOLE, "split.seed=3", "split=whole", "split=random, split=size_matched"),
        (MANMADE, "split.seed=0", "split=manmade_natural",
         "split=random, split=size_matched"),
        (RUN, "split.groups=FILE", "split=random",
         "split=manmade_natural, split=size_matched"),
        (RUN, "train.lr_step=9", "train.schedule=cosine", "train.schedule=step"),
        (RUN, "train.lr_factor=0.5", "train.schedule=cosine",
         "train.schedule=step, train.schedule=steps"),
    ],
)  # fmt: skip
def test_a_key_without_effect_is_refused_with_what_would_use_it(
    config: Compose, words: list[str], unused: str, chosen: str, users: str
):
    with pytest.raises(UserError) as error:
        check(config, [*words, unused])

    key = unused.partition("=")[0]
    assert str(error.value) == f"{unused} is not used by {chosen}: choose {users}, or omit {key}"


@pytest.mark.parametrize(
    "words",
    [
        [*FOLDER, "data.val=test", "data.unreadable=skip", "data.resize=crop"],
        [*FOLDER, "data.decode=scaled"],
        [*RUN, "data=cifar10", "data.decode=exact"],
        [*FOLDER, "data.holdout=0.2"],  # conf/data/image_folder.yaml has a data.val
        [*FOLDER, "data.holdout=0.2", "data.val=null"],
        [*RUN, "data.root=null", "data.val=null", "data.resize=warp", "data.unreadable=error"],
        [*RUN, "data=cifar10", "data.root=DIR"],
        [*WHOLE, "split.seed=null"],
        [*RUN, "split.seed=3", "train.warmup=0"],
        [*RUN, "train.schedule=step", "train.lr_step=9", "train.lr_factor=0.5"],
        [*RUN, "train=yosinski2014", "train.schedule=cosine"],  # whose file has an lr_step
        [*RUN, "data.name=types:SimpleNamespace", "data.root=DIR", "data.resize=crop"],  # one's own
    ],
)
def test_a_key_with_an_effect_passes_and_so_does_one_that_asks_for_nothing(
    config: Compose, words: list[str]
):
    check(config, words)


# --- of several runs ----------------------------------------------------------------------------


@pytest.fixture
def carried_out(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The splits of the jobs that a command starts."""
    labels: list[str] = []
    monkeypatch.setattr(inline, "carry_out", lambda runs: labels.append(runs[0].config.split_label))
    return labels


def multirun(*words: str) -> None:
    with pytest.raises((UserError, TypeError)) as error:  # TypeError: nothing was carried out
        command.run(["-m", "transfer.variant=BnB", "transfer.n=1", *words])
    if isinstance(error.value, UserError):
        raise error.value


def test_in_a_multirun_one_of_the_runs_must_use_a_key(carried_out: list[str], tmp_path: Path):
    store = f"runtime.store={tmp_path}"
    with pytest.raises(UserError, match=r"^split\.seed=0 is not used by split=whole: "):
        multirun("+split=whole", "split.seed=0,1", store)
    with pytest.raises(UserError, match=r"^data\.root=/x is not used by data=digits: "):
        multirun("+split=random,whole", "split.seed=0,1", "data.root=/x", store)
    assert carried_out == []

    multirun("+split=random,whole", "split.seed=0,1", store)

    assert carried_out[0] == "random0"


def expanded(tmp_path: Path, grids: str, *words: str) -> int:
    (tmp_path / "mine.yaml").write_text(grids)
    words = (f"runtime.store={tmp_path}", *words)
    return len(study.expand(study.load(f"{tmp_path}/mine.yaml"), words))


GRIDS = """\
- {split: random, split.seed: [0, 1], transfer.variant: A1B}
- {split: whole, transfer.variant: B1B}
"""


def test_in_a_study_one_of_the_runs_must_use_an_override(tmp_path: Path):
    assert expanded(tmp_path, GRIDS, "split.seed=0,1,2") == 6
    with pytest.raises(UserError, match=r"^data\.root=.* is not used by data=digits: "):
        expanded(tmp_path, GRIDS, "data.root=DIR")
    with pytest.raises(UserError, match=r"^train\.lr_step=9 is not used by "):
        expanded(tmp_path, GRIDS, "train.lr_step=9")


def test_in_a_study_one_of_its_runs_must_use_a_key_of_a_grid(tmp_path: Path):
    grids = f"{GRIDS}- {{split: random, transfer.variant: B1B, data.root: DIR}}\n"
    with pytest.raises(UserError, match=r"^data\.root=DIR is not used by data=digits: "):
        expanded(tmp_path, grids)
    assert expanded(tmp_path, grids, "data=image_folder") == 4


def test_an_override_may_leave_a_key_of_a_grid_unused(tmp_path: Path):
    grid = "- {split: random, split.seed: [0, 1], transfer.variant: B1B}"
    assert expanded(tmp_path, grid, "split=whole") == 2
    with pytest.raises(UserError, match=r"^split\.seed=0 is not used by split=whole: "):
        expanded(tmp_path, grid.replace("random", "whole"))


@pytest.mark.parametrize("word", ["hydra/launcher=slurm", "hydra.launcher.jobs=2"])
def test_a_single_run_has_no_launcher(word: str, carried_out: list[str]):
    with pytest.raises(UserError) as error:
        command.run([*RUN, word])
    assert str(error.value) == f"{word} is used only by a multirun: add -m, or omit it"
    assert carried_out == []
