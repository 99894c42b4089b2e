"""The published networks as a store: which there are, under whose letters, and what is missing."""

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
def found() -> results.Results:
    return results.load(STORE)


def of(found: results.Results, network: str) -> pd.Series:
    return found.table.set_index("id").loc[network]


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


def test_the_table_has_those_with_a_log_and_the_others_are_missing(found: results.Results):
    missing = found.left_out[found.left_out["kind"] == "missing"]
    lost = Counter((split, label[0] + label[2]) for split, label in
                   missing[["split", "label"]].itertuples(index=False))  # fmt: skip

    assert len(found.table) == 148
    # All of ft0B0A and ft1B1A; ft1A1A n = 1, 2, 4, 7; ft1A1B n = 1, 5, 6, 7
    assert lost == {("random0", "BA"): 7, ("random1", "BA"): 7, ("random1", "AA"): 4,
                    ("random1", "AB"): 4}  # fmt: skip
    assert set(missing["reason"]) == {"the release has no log of it"}
    assert not set(missing["id"]) & set(found.table["id"])


def test_networks_at_chance_level_are_listed(found: results.Results):
    chance = found.left_out[found.left_out["kind"] == "chance"]

    assert list(chance["id"]) == ["nolearn_1_3", *(f"reduced-{n:04}" for n in (5, 10, 25, 50, 100))]


def test_the_accuracies_are_those_of_the_logs(found: results.Results):
    base, transfer = of(found, "half0A"), of(found, "transfer3B3A_1_7")

    assert (base["top1_final"], base["top1_best10"], base["top1_peak"]) == (
        0.614559, 0.615100, 0.615240,
    )  # fmt: skip
    assert (transfer["label"], transfer["top1_best10"]) == ("B7A", 0.544452)
    assert (base["chance"], of(found, "netbase")["chance"]) == (1 / 500, 1 / 1000)


def test_letters_are_the_papers(found: results.Results):
    # The release's halfnatmanA is natural, with 449 classes: the paper's B
    natural, transfer = of(found, "halfnatmanA"), of(found, "transfernatmanBA_1_7")
    assert (natural["label"], natural["num_classes"]) == ("baseB", 449)
    assert (transfer["label"], transfer["base_id"]) == ("A7B", "halfnatmanB")
    assert transfer["target_base_id"] == "halfnatmanA"
    assert of(found, "transfer0A0B_1_1")["label"] == "A1B"


def test_every_network_has_the_base_of_its_own_target(found: results.Results):
    table = found.table
    targets = table[["split", "split_seed", "target", "data.per_class"]]
    bases = targets.set_axis(table["id"]).loc[table["target_base_id"]].set_axis(table.index)

    assert bases.equals(targets)
    assert of(found, "nolearn_1_1")["target_base_id"] == "netbase"
    assert of(found, "reduced-0250")["target_base_id"] == "reduced-0250"
    delta = of(found, "transfer0A0B_1_7")["delta_to_target_base"]
    assert delta == pytest.approx(0.551440 - 0.633239)


def test_nothing_is_guessed(found: results.Results):
    unknown = ["seed", "data.digest", "split.digest", "commit", "host", "time_s", "runtime.store"]

    assert found.table[unknown].isna().all(axis=None)


def test_the_recipe_is_the_one_that_conf_has(found: results.Results):
    words = ["+split=random", "data=imagenet", "model=alexnet", "train=yosinski2014"]
    raw = compose.compose("config", [*words, "model.num_outputs=1000"])
    keys = [key for key in known_keys() if key.startswith(("train.", "model."))]
    composed = {key: raw[key.partition(".")[0]][key.partition(".")[2]] for key in keys}
    row = of(found, "half0A")

    shown = {key: None if pd.isna(row[key]) else row[key] for key in composed}
    assert shown == composed
    assert {key: shown[key] for key in YOSINSKI} == YOSINSKI
    assert of(found, "reduced-0250")["train.total_steps"] == 200_000


def test_what_the_paper_plots_is_what_is_shown(found: results.Results):
    assert found.metric == "top1_best10"


def test_the_base_networks_have_learning_curves(found: results.Results):
    curves = results.curves(found, ["half0A", "netbase", "transfer0A0B_1_1"])

    assert curves.groupby("id")["step"].agg(["min", "max"]).values.tolist() == [
        [1000, 450_000],
        [1000, 450_000],
    ]
    last = curves[curves["id"] == "half0A"].iloc[-1]
    assert (last["label"], last["top1"], last["val_loss"]) == ("baseA", 0.614559, 1.74482)
    assert curves.attrs["missing"] == ["transfer0A0B_1_1"]


def test_the_facts_name_their_source():
    facts = Path(published.__file__).parent
    for name in ("yosinski2014.csv", "yosinski2014_curves.csv"):
        assert "convnet_transfer, commit 9838c273" in (facts / name).read_text()


def test_a_name_that_was_taken_for_a_path_is_still_the_name(tmp_path: Path):
    for store in (Path(STORE), Path(STORE).absolute(), str(tmp_path / STORE)):
        assert results.load(store).store == STORE


def test_a_publication_that_is_not_there_is_refused():
    with pytest.raises(UserError, match="--store published:lecun is unknown: choose published:"):
        results.load("published:lecun")
    with pytest.raises(UserError, match=f"--study quick is unknown in {STORE}"):
        results.load(STORE, study="quick")
