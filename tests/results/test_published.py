"""The published networks as a store: their number, their letters, and what is missing."""

from collections import Counter
from pathlib import Path

import pandas as pd
import pytest
from support.records import YOSINSKI

from transferlab import results
from transferlab.errors import UserError
from transferlab.experiment import compose
from transferlab.experiment.keys import known_keys
from transferlab.results import published

STORE = "published:yosinski2014"


@pytest.fixture(scope="module")
def paper() -> results.Results:
    return results.load(STORE)


def of(paper: results.Results, network: str) -> pd.Series:
    return paper.table.set_index("id").loc[network]


def test_the_networks_are_those_of_the_release_and_seven_with_untrained_filters():
    networks = published.networks(STORE)
    kinds = Counter(network.config["transfer.variant"] for network in networks)

    assert len(networks) == 163 + 7
    assert kinds == {
        "base": 10 + 1 + 12,
        "AnA": 28,
        "AnB": 28 + 7,
        "BnA": 28 + 7,
        "AnA+": 14,
        "AnB+": 14,
        "BnA+": 14,
        "RnB": 7,
    }


def test_networks_with_a_log_are_in_the_table_and_the_others_missing(paper: results.Results):
    missing = paper.left_out[paper.left_out["kind"] == "missing"]
    without_log = Counter((split, label[0] + label[2]) for split, label in
                   missing[["split", "label"]].itertuples(index=False))  # fmt: skip

    assert len(paper.table) == 148
    # All of ft0B0A and ft1B1A; ft1A1A n = 1, 2, 4, 7; ft1A1B n = 1, 5, 6, 7
    assert without_log == {("random0", "BA"): 7, ("random1", "BA"): 7, ("random1", "AA"): 4,
                    ("random1", "AB"): 4}  # fmt: skip
    assert set(missing["reason"]) == {"the release has no log of it"}
    assert not set(missing["id"]) & set(paper.table["id"])


def test_networks_at_chance_level_are_listed(paper: results.Results):
    chance = paper.left_out[paper.left_out["kind"] == "chance"]

    assert list(chance["id"]) == ["nolearn_1_3", *(f"reduced-{n:04}" for n in (5, 10, 25, 50, 100))]


def test_the_accuracies_are_those_of_the_logs(paper: results.Results):
    base, transfer = of(paper, "half0A"), of(paper, "transfer3B3A_1_7")

    assert (base["top1_final"], base["top1_best10"], base["top1_peak"]) == (
        0.614559, 0.615100, 0.615240,
    )  # fmt: skip
    assert (transfer["label"], transfer["top1_best10"]) == ("B7A", 0.544452)
    assert (base["chance"], of(paper, "netbase")["chance"]) == (1 / 500, 1 / 1000)


def test_letters_are_those_of_the_paper(paper: results.Results):
    # The release's halfnatmanA is natural, with 449 classes: the paper's B
    natural, transfer = of(paper, "halfnatmanA"), of(paper, "transfernatmanBA_1_7")
    assert (natural["label"], natural["num_classes"]) == ("baseB", 449)
    assert (transfer["label"], transfer["base_id"]) == ("A7B", "halfnatmanB")
    assert transfer["target_base_id"] == "halfnatmanA"
    assert of(paper, "transfer0A0B_1_1")["label"] == "A1B"


def test_every_network_has_the_base_of_its_own_target(paper: results.Results):
    table = paper.table
    targets = table[["split", "split_seed", "target", "data.per_class"]]
    bases = targets.set_axis(table["id"]).loc[table["target_base_id"]].set_axis(table.index)

    assert bases.equals(targets)
    assert of(paper, "nolearn_1_1")["target_base_id"] == "netbase"
    assert of(paper, "reduced-0250")["target_base_id"] == "reduced-0250"
    delta = of(paper, "transfer0A0B_1_7")["delta_to_target_base"]
    assert delta == pytest.approx(0.552568 - 0.634083)


def test_unknown_values_are_empty(paper: results.Results):
    unknown = ["seed", "data.digest", "split.digest", "commit", "host", "time_s", "runtime.store"]

    assert paper.table[unknown].isna().all(axis=None)


def test_the_recipe_is_that_of_conf(paper: results.Results):
    overrides = ["+split=random", "data=imagenet", "model=alexnet", "train=yosinski2014"]
    raw = compose.compose("config", [*overrides, "model.num_outputs=1000"])
    keys = [key for key in known_keys() if key.startswith(("train.", "model."))]
    composed = {key: raw[key.partition(".")[0]][key.partition(".")[2]] for key in keys}
    row = of(paper, "half0A")

    shown = {key: None if pd.isna(row[key]) else row[key] for key in composed}
    assert shown == composed
    assert {key: shown[key] for key in YOSINSKI} == YOSINSKI
    assert of(paper, "reduced-0250")["train.total_steps"] == 200_000


def test_the_default_metric_is_that_of_the_papers_figures(paper: results.Results):
    assert paper.metric == "top1_best10"


def test_the_base_networks_have_learning_curves(paper: results.Results):
    curves = results.curves(paper, ["half0A", "netbase", "transfer0A0B_1_1"])

    assert curves.groupby("id")["step"].agg(["min", "max"]).values.tolist() == [
        [1000, 450_000],
        [1000, 450_000],
    ]
    last = curves[curves["id"] == "half0A"].iloc[-1]
    assert (last["label"], last["value"], last["val_loss"]) == ("baseA", 0.614559, 1.74482)
    assert curves.attrs["missing"] == ["transfer0A0B_1_1"]


def test_the_files_name_their_source():
    facts = Path(published.__file__).parent
    for name in ("yosinski2014.csv", "yosinski2014_curves.csv"):
        assert "convnet_transfer, commit 9838c273" in (facts / name).read_text()


def test_a_name_made_an_absolute_path_is_still_recognised(tmp_path: Path):
    for store in (Path(STORE), Path(STORE).absolute(), str(tmp_path / STORE)):
        assert results.load(store).store == STORE


def test_an_unknown_publication_is_refused():
    with pytest.raises(UserError, match="--store published:lecun is unknown: choose published:"):
        results.load("published:lecun")
    with pytest.raises(UserError, match=f"--study quick is unknown in {STORE}"):
        results.load(STORE, study="quick")
