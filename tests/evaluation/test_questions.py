"""What the runs of a study are asked: the questions, and which runs they are put to."""

from pathlib import Path
from typing import Any

import pytest
from support.stores import config, record

from transferlab.__main__ import main
from transferlab.errors import UserError
from transferlab.evaluation import questions
from transferlab.evaluation.questions import Question
from transferlab.evaluation.runs import FinishedFolder
from transferlab.experiment import study
from transferlab.experiment.conf import CONF, Conf


def run(model: str, seed: int, **changes: Any) -> FinishedFolder:
    chosen = config("baseB", {"model.name": model, "seed": seed, **changes})
    return FinishedFolder(Path(f"{model}{seed}"), record(chosen, 0.5), chosen)


def put(question: Question, *runs: FinishedFolder) -> list[list[str]]:
    return [[str(each.path) for each in part] for part in question.put_to(runs)]


def question(average: int | str | None = None, **where: list[Any]) -> Question:
    named = {key.replace("__", "."): values for key, values in where.items()}
    return Question("posteriors", {"crops": "ten"}, named, average)


RUNS = [run(model, seed) for model in ("nin_small", "vgg_small") for seed in (3, 0, 2, 1, 4)]


def test_a_question_is_put_to_each_run_that_has_its_values():
    chosen = question(model__name=["nin_small"], seed=[0, 4])
    assert put(chosen, *RUNS) == [["nin_small0"], ["nin_small4"]]
    assert put(question(train__lr=[0.1]), *RUNS) == []


def test_averages_are_of_so_many_runs_that_differ_in_their_seed_only():
    other = run("nin_small", 5, **{"train.lr": 0.5})
    assert put(question(2, model__name=["nin_small"]), *RUNS, other) == [
        ["nin_small0", "nin_small1"], ["nin_small2", "nin_small3"],
    ]  # fmt: skip
    assert len(put(question(2), *RUNS)) == 4


def test_averages_of_models_are_of_one_run_of_each_with_equal_seeds():
    both = question("models", model__name=["nin_small", "vgg_small"])
    alone = run("nin_small", 7)
    assert put(both, *RUNS[:2], *RUNS[5:7], alone) == [
        ["nin_small0", "vgg_small0"], ["nin_small3", "vgg_small3"],
    ]  # fmt: skip


def test_every_file_of_conf_asks_runs_of_the_study_of_its_name():
    names = CONF.choices("evaluation")
    assert "averaging" in names
    for name in names:
        trained = {grid.get("model", ()) for grid in study.load(name).grids}
        models = {model for each in trained for model in each}
        for each in questions.load(name):
            assert {*each.where.get("model.name", models)} <= models, name


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- {crop: ten}", "question 1: crop is neither a key of a run nor a setting of posteriors: "
         "its settings are crops, scales, dense, subset"),
        ("- {protocol: mine}", "question 1: protocol=mine is unknown: choose one of "),
        ("- {average: 1}", "question 1: average=1 must be the number of runs, at least 2, or "
         "models of a list of models"),
        ("- {average: models}", "question 1: average=models must be the number of runs"),
    ],
)  # fmt: skip
def test_what_is_no_question_is_refused_by_its_place(tmp_path: Path, text: str, message: str):
    (tmp_path / "evaluation").mkdir()
    (tmp_path / "evaluation" / "mine.yaml").write_text(text)
    (tmp_path / "config.yaml").write_text("{}")
    with pytest.raises(UserError) as caught:
        questions.load("mine", Conf(directory=tmp_path))
    assert message in str(caught.value)


def test_the_command_refuses_what_it_cannot_ask(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    def refused(*words: str) -> str:
        assert main(["evaluate", *words, "--store", str(tmp_path)]) == 2
        return capsys.readouterr().err

    assert "name a RUN, or --study NAME: see evaluate --help" in refused()
    assert "--study quick has no questions: choose one of averaging" in refused("--study", "quick")
    assert "--crops has no effect with --study, which has its questions: omit it" in refused(
        "--study", "averaging", "--crops", "ten"
    )
    assert "baseB has no effect with --study" in refused("baseB", "--study", "averaging")
    assert (
        f"no finished run of {tmp_path} is one that --study averaging asks: train python -m "
        "transferlab sweep +study=averaging"
    ) in refused("--study", "averaging")
