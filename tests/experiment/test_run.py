"""A run: its folder and files, its base, its halves; all from the config alone."""

import itertools
import random
import weakref
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.records import BASE_B, made

from transferlab.errors import UserError
from transferlab.experiment.build import build_config, config_dict
from transferlab.experiment.config import RunConfig, TransferConfig
from transferlab.experiment.identity import run_id
from transferlab.experiment.run import RunMaker, make_run
from transferlab.experiment.splits import Split
from transferlab.experiment.variations import Variations

HALVES = Split(a=tuple("01357"), b=tuple("24689"))


@pytest.fixture
def config(tmp_path: Path) -> RunConfig:
    """The config of an A3B."""
    return made({"runtime.store": f"{tmp_path}/runs"})


def test_folder_is_named_by_label_split_model_and_id(config: RunConfig):
    run = make_run(config)
    identity = run_id(config)

    assert (run.id, run.label, run.config) == (identity, "A3B", config)
    assert run.folder_name == f"A3B-random0-alexnet_small-{identity}"
    assert run.folder == Path(config.runtime.store) / run.folder_name
    assert run == make_run(build_config(config_dict(config)))


def test_a_run_touches_no_disk(config: RunConfig):
    assert not make_run(config).folder.exists()
    assert not Path(config.runtime.store).exists()


def test_the_store_may_be_in_the_home_folder(config: RunConfig, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOME", "/me")
    run = make_run(config).in_store(Path("~/runs"))

    assert run.folder.parent == Path("/me/runs")


def test_every_file_of_a_run_lies_in_its_folder(config: RunConfig):
    run = make_run(config)

    files = (
        run.config_file,
        run.log_file,
        run.metrics_file,
        run.checkpoint_file,
        run.weights_file,
        run.mean_file,
        run.inference_file,
        run.result_file,
        run.failure_file,
        run.owner_file,
        run.lock_file,
    )
    assert [file.name for file in files] == [
        "config.json",
        "log.txt",
        "metrics.csv",
        "last.ckpt",
        "weights.safetensors",
        "mean.safetensors",
        "inference.json",
        "result.json",
        "failure.json",
        "owner.json",
        "lock",
    ]
    assert {file.parent for file in files} == {run.folder}


@pytest.mark.parametrize(
    ("model", "middle"),
    [
        ("a.b:c", "a.b_c"),
        ("../../x", "_.._x"),
        ("/etc/passwd", "_etc_passwd"),
        ("..", ""),
        (".hidden", "hidden"),
        ("two words\n", "two_words_"),
    ],
)
def test_a_models_name_cannot_leave_the_store(config: RunConfig, model: str, middle: str):
    run = make_run(replace(config, model=replace(config.model, name=model)))

    assert run.folder.name == f"A3B-random0-{middle}-{run.id}"
    assert run.folder.parent == Path(config.runtime.store)
    assert run.folder.resolve().parent == Path(config.runtime.store).resolve()


def test_plus_and_keep_show_in_the_name(config: RunConfig):
    transfer = replace(config.transfer, variant="AnB+", keep=2)
    run = make_run(replace(config, transfer=transfer))

    assert run.folder.name.startswith("A3B+-keep2-random0-alexnet_small-")


def test_the_whole_stands_in_the_name_without_a_seed():
    run = make_run(made({"split.name": "whole", "split.seed": None, **BASE_B}))

    assert run.folder.name == "baseB-whole-alexnet_small-2310531736e9"


def test_its_base_is_the_run_of_the_base_network_on_the_same_images(config: RunConfig):
    run, base = make_run(config, HALVES), make_run(made(variant="baseA", n=None, target=None))

    assert run.base is not None
    assert (run.base.id, run.base.label, run.base_id) == (base.id, "baseA", base.id)
    assert run.base.folder == run.folder.with_name(base.folder_name)
    assert run.base.split == HALVES
    assert (base.base, base.base_id) == (None, None)


def test_a_random_prefix_has_no_base(config: RunConfig):
    assert make_run(made(variant="R3B", n=None, target=None)).base is None


def test_in_another_store_it_is_the_same_run_and_so_is_its_base(config: RunConfig, tmp_path: Path):
    run = make_run(config, HALVES)
    moved = run.in_store(tmp_path / "moved")

    assert moved.folder == tmp_path / "moved" / run.folder_name
    assert moved.base is not None and moved.base.folder.parent == tmp_path / "moved"
    assert moved == make_run(moved.config, HALVES)
    assert moved.in_store(Path(config.runtime.store)) == run


def test_a_sibling_differs_in_what_is_transferred_and_has_the_same_halves(config: RunConfig):
    run = make_run(config, HALVES)

    sibling = run.sibling(TransferConfig("BnB+", 2, None, 0))

    assert (sibling.label, sibling.split) == ("B2B+", HALVES)
    assert sibling.config == made(
        {"runtime.store": config.runtime.store}, variant="B2B+", n=None, target=None
    )


def test_a_sibling_on_a_half_that_does_not_exist_is_refused():
    run = make_run(made({"split.name": "whole", "split.seed": None, **BASE_B}))

    with pytest.raises(UserError, match="split=whole has no half A"):
        run.sibling(TransferConfig("base", 0, "A", 0))


def test_its_network_has_an_output_for_each_class_of_its_target_by_default(config: RunConfig):
    run = make_run(config, Split(a=tuple("013"), b=tuple("2456789")))

    assert (run.half("A"), run.classes) == (tuple("013"), tuple("2456789"))
    assert run.num_outputs == 7
    assert make_run(made({"model.num_outputs": 1000}), HALVES).num_outputs == 1000


def test_a_run_that_was_only_read_from_a_store_does_not_know_its_classes(config: RunConfig):
    with pytest.raises(AssertionError, match="has not been resolved"):
        _ = make_run(config).classes


# --- many runs ----------------------------------------------------------------------------------


class Completed:
    """Gives every config these halves, and counts how often it is asked."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self, config: RunConfig) -> tuple[RunConfig, Split]:
        self.times += 1
        return config, HALVES


def test_what_siblings_have_in_common_is_completed_once_and_each_is_the_run_made_alone():
    grid: dict[str, tuple[Any, ...]] = {
        "revision": (1, 2), "seed": (0, 1), "split.seed": (0, 1), "data.mean": ("base", "none"),
        "model.reduction": (None, "maxpool"), "train.lr": (0.1, 0.2), "runtime.threads": (1, 2),
        "transfer.variant": ("AnB", "BnB+", "RnA"), "transfer.n": (0, 3, 5),
        "transfer.target": (None,),
    }  # fmt: skip
    points = list(itertools.product(*grid.values()))
    random.Random(0).shuffle(points)
    variations, completed = Variations(made(), tuple(grid)), Completed()
    maker = RunMaker(completed)

    for point in points:
        config = variations.at(point)
        assert repr(maker.run(config)) == repr(make_run(config, HALVES))
    # With n = 0 AnB and BnB+ are the base network of B, and RnA is that of A
    assert completed.times == 2**7 * (3 + 2)


def test_sections_are_kept_by_which_siblings_are_known():
    """Or Python would give their ids to others."""
    maker = RunMaker(lambda config: (made(), HALVES))
    config = made({"split.seed": 7})
    split = weakref.ref(config.split)

    maker.run(config)
    del config

    assert split() is not None
