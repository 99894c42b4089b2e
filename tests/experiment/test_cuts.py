"""Cut points by name, and all of them, in a run and in a study."""

from collections.abc import Callable
from pathlib import Path

import pytest

from transferlab.errors import UserError
from transferlab.experiment import compose, cuts, study
from transferlab.experiment.build import build_config
from transferlab.experiment.config import RunConfig
from transferlab.experiment.cost import networks

STAGES = {
    ("alexnet_small", "stage"): ("conv1", "conv2", "fc"),
    ("alexnet_small", "fine"): ("conv1", "conv2.a", "conv2.b", "fc"),
    ("alexnet", "stage"): ("conv1", "fc"),
}


@pytest.fixture(autouse=True)
def known(monkeypatch: pytest.MonkeyPatch):
    """No probe: the stages of three networks."""
    monkeypatch.setattr(
        networks, "stage_names", lambda network, cache: STAGES[network.model, network.cuts]
    )


def run(*words: str) -> RunConfig:
    composed = compose.compose("config", ["+split=random", *words])
    return build_config(cuts.numbered(composed))


@pytest.mark.parametrize(
    ("words", "n"),
    [(["transfer.n=conv2"], 2), (["transfer.n=conv2", "model.cuts=fine"], 3),
     (["transfer.n=b", "model.cuts=fine"], 3), (["transfer.n=2"], 2)],
)  # fmt: skip
def test_a_stage_by_its_name_is_its_number(words: list[str], n: int):
    assert run(*words) == run(*words[1:], f"transfer.n={n}")
    assert run(*words).variant.n == n


def test_a_run_has_one_cut():
    with pytest.raises(UserError) as error:
        run("transfer.n=all")
    assert str(error.value) == ("transfer.n=all is for a study or a sweep: a run has one cut, as 3")


def test_a_base_network_has_no_cut():
    fine = run("transfer.variant=baseA", "model.cuts=fine", "transfer.n=null")
    assert fine == run("transfer.variant=baseA", "transfer.n=null")


@pytest.fixture
def expand(tmp_path: Path) -> Callable[..., list[tuple[str, str, int]]]:
    def expand(text: str, *overrides: str) -> list[tuple[str, str, int]]:
        (tmp_path / "own.yaml").write_text(text)
        loaded = study.load(str(tmp_path / "own.yaml"))
        configs = study.expand(loaded, overrides)
        return [(c.model.name, c.label, c.variant.n) for c in configs]

    return expand


def test_all_is_every_cut_of_each_network(expand: Callable[..., list[tuple[str, str, int]]]):
    text = (
        "- {split: random, split.seed: 0, model: [alexnet_small, alexnet], "
        "transfer.variant: [AnB, BnB+], transfer.n: all}"
    )
    assert expand(text, "data.crop=32") == [
        ("alexnet_small", "A1B", 1), ("alexnet_small", "A2B", 2),
        ("alexnet_small", "B1B+", 1), ("alexnet_small", "B2B+", 2),
        ("alexnet", "A1B", 1), ("alexnet", "B1B+", 1),
    ]  # fmt: skip
    assert [n for *_, n in expand(text, "model=alexnet_small", "model.cuts=fine")] == [
        1, 2, 3, 1, 2, 3,
    ]  # fmt: skip


def test_a_study_takes_names_and_numbers(expand: Callable[..., list[tuple[str, str, int]]]):
    text = "- {split: random, split.seed: 0, transfer.variant: AnB, transfer.n: [1, conv2]}"
    assert expand(text) == [("alexnet_small", "A1B", 1), ("alexnet_small", "A2B", 2)]
    assert expand(text, "transfer.n=all,1") == [
        ("alexnet_small", "A1B", 1), ("alexnet_small", "A2B", 2), ("alexnet_small", "A1B", 1),
    ]  # fmt: skip
