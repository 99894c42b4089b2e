"""Results of other tasks than random halves: two data sets, a pre-trained network, own splits."""

from pathlib import Path
from typing import Any

import pytest
from support.records import RECORD
from support.stores import finish

from transferlab import results
from transferlab.__main__ import main
from transferlab.experiment.splits import SPLITS, SplitRule
from transferlab.experiment.splits.random import random_halves
from transferlab.results import Results, catalogue, figures, naming
from transferlab.results.figures import layout

RULE = SplitRule(random_halves)  # a split of one's own
OTHER_RULE = SplitRule(random_halves)
CIFAR10 = {**RECORD["data"], "name": "cifar10", "digest": "c" * 64}
DATASETS = {"split.name": "datasets", "split.seed": None, "split.a": CIFAR10}
KINDS: dict[str, dict[str, Any]] = {
    "man-made/natural": {"split.name": "manmade_natural", "split.seed": None},
    "size-matched random": {"split.name": "size_matched"},
    "two data sets": DATASETS,
    "pre-trained network": DATASETS | {"split.name": "pretrained", "split.weights": "timm:mine"},
    f"{__name__}:RULE": {"split.name": f"{__name__}:RULE"},
}
# Kinds of which each half as a target is a series of Figure 3
BOTH_TARGETS = {
    "man-made/natural": ", target natural",
    "size-matched random": ", target as many as natural",
}
SEEN = {
    "baseB": 0.5, "A1B": 0.49, "B1B": 0.52, "A3B": 0.4, "B3B": 0.48, "A3B+": 0.57, "B3B+": 0.53,
    "R3B": 0.3,
}  # fmt: skip


def store(folder: Path, *kinds: dict[str, Any]) -> Results:
    """The runs of SEEN of each kind; with a second seed all gain two points, AnB+ four."""
    for kind in kinds:
        for seed in (0, 1):
            for label, top1 in SEEN.items():
                gain = seed * (0.04 if label == "A3B+" else 0.02)
                finish(folder, label, top1 + gain, kind | {"seed": seed})
    return results.load(folder)


def bases(folder: Path, kind: dict[str, Any]) -> Path:
    """Bases of 50 and of all images a class, with their curves."""
    for per_class, top1 in ((50, 0.4), (None, 0.5)):
        base = finish(folder, "baseB", top1, kind | {"data.per_class": per_class})
        curve = f"step,val/accuracy,val/loss,train/loss\n10,0.2,1,1\n339,{top1},0.5,0.5\n"
        (base.folder / "metrics.csv").write_text(curve)
    return folder


def test_all_kinds_of_split_have_words():
    assert {*naming.TASKS} == {*SPLITS}


@pytest.mark.parametrize("words", KINDS)
def test_every_table_of_the_papers_shows_them_and_says_what_they_are(words: str, tmp_path: Path):
    loaded = store(tmp_path / "runs", KINDS[words])

    means = results.table(loaded, "figure2").set_index(["series", "n"])["mean"]
    assert means["AnB", 3] == pytest.approx(0.41) and means["BnB", 3] == pytest.approx(0.49)
    for name in ("figure2", "interpretation", "table1", "fine_tuning"):
        (note,) = (
            note for note in results.table(loaded, name).attrs["notes"] if "random halves" in note
        )
        assert note.endswith(f": {words} instead of random halves")
    parts = results.table(loaded, "decomposition").set_index(["part", "n"])
    assert parts.loc[("specificity", 3), "mean"] == pytest.approx(0.08)
    figure3 = results.table(loaded, "figure3")
    prefix = "random filters, " + words
    (filters,) = figure3.loc[(figure3["series"] == prefix) & (figure3["n"] == 3), "paired"]
    assert filters == pytest.approx(-0.2)
    # Its two seeds are of one split, which says nothing of a further one
    assert figure3["low"].notna().any() and figure3["further_low"].isna().all()


@pytest.mark.parametrize("words", KINDS)
def test_every_figure_draws_them(words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(layout, "lay_out", lambda *_: None)  # which takes most of a draw
    loaded = store(tmp_path / "runs", KINDS[words])

    drawn = {name: figures.draw(loaded, name) for name in catalogue.figure_names()[:5]}

    assert [*drawn] == ["figure2", "interpretation", "decomposition", "fine_tuning", "figure3"]
    kind = KINDS[words]["split.name"]
    series = words + BOTH_TARGETS.get(words, "")
    for name, gid, at_3 in (
        ("figure2", "means AnB", 41),
        ("interpretation", "levels AnB", 41),
        ("decomposition", f"means specificity {kind}", 8),
        ("fine_tuning", "means AnB+ - BnB+", 5),
        ("figure3", f"means {series}", -10),
    ):
        (y,) = (
            line.get_ydata()[-1]
            for line in drawn[name].axes[0].get_lines()
            if line.get_gid() == gid
        )
        assert y == pytest.approx(at_3), name


def test_two_splits_of_ones_own_can_be_told_apart_in_figure_3(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(layout, "lay_out", lambda *_: None)
    names = [f"{__name__}:{rule}" for rule in ("RULE", "OTHER_RULE")]
    loaded = store(tmp_path / "runs", *({"split.name": name} for name in names))

    lines = {line.get_gid(): line for line in figures.draw(loaded, "figure3").axes[0].get_lines()}

    first, second = (lines[f"means {name}"] for name in names)
    assert first.get_color() != second.get_color() and first.get_marker() != second.get_marker()
    filters, others = (lines[f"means random filters, {name}"] for name in names)
    assert filters.get_marker() != others.get_marker()


@pytest.mark.parametrize("words", KINDS)
def test_curves_and_fewer_images_are_drawn_of_all_kinds(
    words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(layout, "lay_out", lambda *_: None)
    loaded = results.load(bases(tmp_path / "runs", KINDS[words]))
    whole = next(part for part in loaded.experiments if "per_class" not in part.name)

    curves = figures.draw(loaded, "curves", experiment=whole.id).axes[0]
    (curve,) = (line for line in curves.get_lines() if str(line.get_gid()).startswith("curve"))
    assert list(curve.get_ydata()) == [20.0, 50.0]
    (means,) = (
        line
        for line in figures.draw(loaded, "reduced").axes[0].get_lines()
        if str(line.get_gid()).startswith("means")
    )
    assert [list(values) for values in means.get_data()] == [[50.0, 144.2], [40.0, 50.0]]


def test_each_of_two_data_sets_as_a_target_is_an_experiment(tmp_path: Path):
    for label, top1 in (("baseB", 0.9), ("A3B", 0.8), ("baseA", 0.6), ("B3A", 0.3)):
        finish(tmp_path / "runs", label, top1, DATASETS, data_classes=10, data_images=1442)
    loaded = results.load(tmp_path / "runs")

    assert {part.name: sorted(part.runs["label"]) for part in loaded.experiments} == {
        "cifar10 to digits (10 classes, 1.44k images) alexnet_small quick lr=0.02": [
            "A3B", "baseB",
        ],
        "digits to cifar10 (10 classes, 1.44k images) alexnet_small quick lr=0.02": [
            "B3A", "baseA",
        ],
    }  # fmt: skip
    table = results.table(loaded, "figure2")
    means = {
        (name.split()[0], series): mean
        for name, series, mean in zip(
            table["experiment"], table["series"], table["mean"], strict=True
        )
    }
    assert means == {
        ("cifar10", "baseB"): 0.9, ("cifar10", "AnB"): 0.8,
        ("digits", "baseB"): 0.6, ("digits", "AnB"): 0.3,
    }  # fmt: skip


def test_random_halves_come_first_and_the_others_are_listed(tmp_path: Path):
    loaded = store(tmp_path / "runs", {}, KINDS["man-made/natural"])

    table = results.table(loaded, "figure2")

    assert table.set_index(["series", "n"]).loc[("AnB", 3), "count"] == 2
    notes = " ".join(table.attrs["notes"])
    assert "4 AnB of manmade_natural" in notes and "instead of" not in notes


def test_random_bases_alone_do_not_hide_the_others(tmp_path: Path):
    finish(tmp_path / "runs", "baseB", 0.9)
    loaded = store(tmp_path / "runs", KINDS["man-made/natural"])

    table = results.table(loaded, "fine_tuning")

    assert table["mean"].tolist() == pytest.approx([0.08, 0.05, 0.03])


def test_the_page_of_a_pretrained_network_shows_them(tmp_path: Path):
    folder, page = tmp_path / "runs", tmp_path / "page.html"
    store(bases(folder, KINDS["pre-trained network"]), KINDS["pre-trained network"])

    assert main(["report", "--store", str(folder), "--out", str(page)]) == 0

    assert "mine to digits (10 classes, 1.44k images)" in page.read_text()


def test_the_gains_of_fine_tuning_are_in_pairs_with_intervals_over_seeds(tmp_path: Path):
    table = results.table(store(tmp_path / "runs", {}), "fine_tuning")

    rows = table.set_index("comparison")
    assert [*rows.index] == ["AnB+ - baseB", "AnB+ - BnB+", "BnB+ - baseB"]
    assert {*rows["n"]} == {3} and {*rows["pairs"]} == {2} and {*rows["unit"]} == {"seed"}
    # AnB+ - baseB: 0.07 and 0.09; half the interval 12.706205 x 0.01
    ends = rows.loc["AnB+ - baseB", ["mean", "low", "high"]].tolist()
    assert ends == pytest.approx([0.08, 0.08 - 0.12706205, 0.08 + 0.12706205], abs=1e-7)
    assert rows["mean"].tolist() == pytest.approx([0.08, 0.05, 0.03])


def test_a_fine_tuned_network_without_a_pair_is_counted(tmp_path: Path):
    finish(tmp_path / "runs", "baseB", 0.5)
    finish(tmp_path / "runs", "A3B+", 0.6)

    table = results.table(results.load(tmp_path / "runs"), "fine_tuning")

    assert dict(zip(table["comparison"], table["pairs"], strict=True)) == {
        "AnB+ - baseB": 1, "AnB+ - BnB+": 0, "BnB+ - baseB": 0,
    }  # fmt: skip
