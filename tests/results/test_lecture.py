"""The lecture's experiments beside what their papers report, from stores made by hand."""

import csv
import math
from pathlib import Path

import pandas as pd
import pytest
from support.evaluated import SETTINGS, keep
from support.stores import finish

from transferlab import results
from transferlab.experiment.conf import CONF
from transferlab.experiment.run import Run
from transferlab.models.zoo import NETWORKS
from transferlab.results import catalogue, lecture
from transferlab.results.tables.lecture import STUDIES
from transferlab.store import evaluations


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "runs"


def trained(store: Path, model: str, *tops: float, **more: object) -> None:
    """Base networks for all classes, one a seed, with these accuracies."""
    for seed, top1 in enumerate(tops):
        whole = {"split.name": "whole", "split.seed": None, "seed": seed, "model.name": model}
        finish(store, "baseB", top1, {**whole, **more}, split=None)


def rows(store: Path, name: str) -> pd.DataFrame:
    return results.table(results.load(store), name).set_index("setting")


def test_each_setting_has_its_networks_and_the_published_value(store: Path):
    trained(store, "vgg_b_small", 0.5)

    table = rows(store, "vgg_depth")

    assert list(table.index) == ["A", "A-LRN", "B", "C", "D", "E"]
    assert list(table["published"]) == ["29.6", "29.7", "28.7", "28.1", "27.0", "27.3"]
    assert set(table["published_metric"]) == {"val top-1 error %"}
    assert set(table["status"]) == {"confirmed"}
    assert set(table["source"]) == {"Simonyan & Zisserman arXiv:1409.1556 Table 3"}
    assert [math.isnan(error) for error in table["ours"]] == [True, True, False, True, True, True]
    assert "vgg_b_small" in table.loc["B", "experiment"]


def test_errors_and_differences_have_their_interval_over_seeds(store: Path):
    trained(store, "vgg_a_small", 0.50, 0.54, 0.52)
    trained(store, "vgg_e_small", 0.55, 0.59, 0.59)

    table = rows(store, "vgg_depth")

    first, last = table.loc["A"], table.loc["E"]
    half = 4.302653 * 0.02 / math.sqrt(3)  # Student's t of two degrees of freedom
    assert [first["ours"], first["low_95"], first["high_95"], first["runs"]] == [
        pytest.approx(0.48), pytest.approx(0.48 - half), pytest.approx(0.48 + half), 3,
    ]  # fmt: skip
    assert math.isnan(first["difference"])
    half = 4.302653 * 0.0115470 / math.sqrt(3)  # of 5, 5 and 7 points
    assert last["difference"] == pytest.approx(-0.17 / 3)
    assert last["difference_low"] == pytest.approx(-0.17 / 3 - half, abs=1e-6)
    assert last["difference_high"] == pytest.approx(-0.17 / 3 + half, abs=1e-6)


def test_a_difference_is_to_the_first_of_its_own_group_and_images(store: Path):
    trained(store, "vgg_b_small", 0.5)
    trained(store, "zfnet_small", 0.4)
    trained(store, "zfnet_wide_small", 0.45)
    trained(store, "vgg_b_5x5_small", 0.4, **{"data.name": "cifar10"})

    table = rows(store, "filters")

    assert table.loc["ZFNet, more in conv3 to conv5", "difference"] == pytest.approx(-0.05)
    assert math.isnan(table.loc["VGG B, one of 5 x 5", "difference"])
    assert table.loc["VGG B, one of 5 x 5", "published"] == "+7"


def test_a_difference_is_between_networks_of_one_recipe(store: Path):
    trained(store, "vgg_a_small", 0.5)
    trained(store, "vgg_e_small", 0.6, **{"train.lr": 0.5})

    assert math.isnan(rows(store, "vgg_depth").loc["E", "difference"])


def test_runs_at_chance_enter_no_mean(store: Path):
    trained(store, "vgg_a_small", 0.5, 0.5)
    keys = {"split.name": "whole", "split.seed": None, "seed": 2, "model.name": "vgg_a_small"}
    finish(store, "baseB", 0.1, keys, split=None, learned=False)

    row = rows(store, "vgg_depth").loc["A"]

    assert (row["ours"], row["runs"], row["at_chance"]) == (0.5, 2, 1)


def test_rates_of_batch_norm_have_the_steps_to_the_best_of_the_network_without(store: Path):
    curves = {  # model, rate -> the validations of two seeds
        ("inception_no_bn_small", 0.005): [(0.2, 0.5, 0.4), (0.3, 0.3)],
        ("bn_inception_small", 0.025): [(0.5, 0.6), (0.2, 0.25)],
    }
    head = "step,lr,train/loss,train/accuracy,val/loss,val/accuracy,time_s"
    for (model, lr), of_seeds in curves.items():
        for seed, curve in enumerate(of_seeds):
            keys = {"split.name": "whole", "split.seed": None, "seed": seed, "model.name": model}
            run = finish(store, "baseB", curve[-1], {**keys, "train.lr": lr}, split=None)
            steps = range(340 - len(curve), 340)  # 339 is the last of a run made by hand
            lines = [f"{s},0.1,1,0.5,1.5,{top},1" for s, top in zip(steps, curve, strict=True)]
            run.metrics_file.write_text("\n".join([head, *lines]) + "\n")

    table = rows(store, "bn_rates")

    assert (table.loc["Inception", "steps"], table.loc["Inception", "reached"]) == (338, "2 of 2")
    assert (table.loc["BN-x5", "steps"], table.loc["BN-x5", "reached"]) == (338, "1 of 2")
    assert list(table["published_steps"]) == ["31.0e6", "13.3e6", "2.1e6", "2.7e6", "never"]
    assert math.isnan(table.loc["BN-x30", "ours"])


def test_evaluations_are_compared_with_the_networks_own_validation(store: Path):
    keys = {"split.name": "whole", "split.seed": None, "model.name": "zfnet_small"}
    found = [finish(store, "baseB", 0.5, {**keys, "seed": seed}, split=None) for seed in range(6)]
    for start, top1 in ((0, 0.53), (3, 0.55)):
        members = found[start : start + 3]
        keep_asked(members, {**SETTINGS, "crops": "centre"}, top1)
    keep_asked(found[:1], SETTINGS, 0.6)  # ten crops
    keep_asked(
        found[:3], SETTINGS, 0.62
    )  # whose members, 0.5 each, are no evaluations of their own

    table = results.table(results.load(store), "averaging").set_index(["group", "setting"])

    average = table.loc[("one crop", "three ZFNets")]
    assert (average["ours"], average["runs"]) == (pytest.approx(0.46), 2)
    assert average["difference"] == pytest.approx(-0.04)
    assert table.loc[("one crop", "one ZFNet"), "ours"] == pytest.approx(0.5)
    assert table.loc[("ten crops", "one ZFNet"), "ours"] == pytest.approx(0.4)
    assert table.loc[("ten crops", "one ZFNet"), "runs"] == 1
    assert table.loc[("ten crops", "three ZFNets"), "ours"] == pytest.approx(0.38)
    assert math.isnan(table.loc[("ten crops", "five ZFNets"), "ours"])


def keep_asked(members: list[Run], settings: dict[str, object], top1: float) -> None:
    """An evaluation of the images that the runs were validated on."""
    digests = {"weights_sha256": "0" * 64, "inference_sha256": "1" * 64}
    head = {"protocol": "posteriors", "rules": 1, "data": "2" * 64, "per_class": None}
    question = {**head, "settings": settings, "networks": [digests for _ in members]}
    own = {"question": question, "id": evaluations.identity(question), "metrics": {"top1": top1}}
    metrics = {"top1": 0.5 if len(members) > 1 else top1}
    keep(*((run, metrics) for run in members), **own, source={"name": "digits", "root": None})


def test_all_experiments_together_have_only_what_was_trained(store: Path):
    trained(store, "vgg_b_small", 0.5)

    table = results.table(results.load(store), "lecture")

    assert list(zip(table["study"], table["setting"], strict=True)) == [
        ("vgg_depth", "B"), ("filters", "VGG B, two of 3 x 3"),
    ]  # fmt: skip
    assert catalogue.EXHIBITS["vgg_depth"].part_of == "lecture"


def test_every_setting_names_networks_that_are_known_and_a_study_of_conf():
    text = (Path(lecture.__file__).parent / "lecture.csv").read_text()
    lines = csv.DictReader(line for line in text.splitlines() if not line.startswith("#"))
    found = {row["study"].partition("/")[0] for row in lines}

    assert found == {*STUDIES} <= {*CONF.choices("study")}
    for study in STUDIES:
        assert study in catalogue.EXHIBITS
        models = {model for setting in lecture.settings(study) for model in setting.models}
        assert models <= {*NETWORKS}
