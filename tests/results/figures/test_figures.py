"""The figures: markers and lines, text, and files."""

import csv
import re
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import replace
from functools import cache
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from support.stores import finish

import transferlab
from transferlab import results
from transferlab.__main__ import main
from transferlab.cli import results as command
from transferlab.errors import UserError
from transferlab.results import Results, figures, selections
from transferlab.results.figures import layout

PUBLISHED = "published:yosinski2014"
FACTS = Path(transferlab.__file__).parent / "results" / "yosinski2014.csv"
REFERENCE = Path(__file__).parents[2] / "support" / "yosinski2014_tables.csv"
NAMES = (
    "figure2", "interpretation", "figure3", "decomposition", "fine_tuning", "curves", "reduced",
)  # fmt: skip
DEEP = Path(__file__).parents[3] / "notebooks" / "results" / "choice.csv"  # cut at 2 to 19


@pytest.fixture(scope="module")
def paper() -> Results:
    return results.load(PUBLISHED)


@cache
def of_paper(name: str) -> Figure:
    """A figure of the paper's networks, for tests that do not change it."""
    return figures.draw(results.load(PUBLISHED), name)


def own(paper: Results, kept: pd.Series | None = None) -> Results:
    """The paper's networks, or some of them, as a store of one's own."""
    table = paper.table if kept is None else paper.table[kept].reset_index(drop=True)
    return replace(paper, stores=("mine",), table=table)


def on_axes(found: Results, name: str, *arguments: object, **more: object) -> Figure:
    """A figure whose parts are not laid out, which takes most of a draw."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layout, "lay_out", lambda *_: None)
        return figures.draw(found, name, *arguments, **more)  # type: ignore[arg-type]


def line(figure: Figure, gid: str) -> Line2D:
    (match,) = [line for line in figure.axes[0].get_lines() if line.get_gid() == gid]
    return match


def xy(figure: Figure, gid: str) -> tuple[list[float], list[float]]:
    x, y = line(figure, gid).get_data()
    return [float(value) for value in x], [float(value) for value in y]


def gids(figure: Figure) -> set[str]:
    return {gid for artist in figure.axes[0].get_children() if (gid := artist.get_gid())}


def labels(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def note(figure: Figure) -> str:
    return " ".join(figure.texts[0].get_text().split()) if figure.texts else ""


def facts() -> list[dict[str, str]]:
    lines = [text for text in FACTS.read_text().splitlines() if not text.startswith("#")]
    return list(csv.DictReader(lines))


def reference(experiment: str, series: str) -> dict[int, float]:
    """n -> the reference's mean of the ten best validations, in percent."""
    with REFERENCE.open() as file:
        rows = list(csv.DictReader(line for line in file if not line.startswith("#")))
    return {
        int(row["n"]): 100 * float(row["mean"])
        for row in rows
        if (row["experiment"], row["series"], row["metric"]) == (experiment, series, "top1_best10")
    }


# --- figure 2 -----------------------------------------------------------------------------------


def test_figure_2_of_the_paper_has_its_112_markers_at_the_published_values():
    figure = of_paper("figure2")

    counts = {}
    for series, pattern in {
        "baseB": r"base[AB]", "BnB": r"A\dA|B\dB", "BnB+": r"A\dA\+|B\dB\+", "AnB": r"A\dB|B\dA",
        "AnB+": r"A\dB\+|B\dA\+",
    }.items():  # fmt: skip
        rows = [
            row for row in facts()
            if row["split"] == "random" and row["top1_best10"]
            and re.fullmatch(pattern, row["label"])
        ]  # fmt: skip
        expected = sorted(
            (int(re.sub(r"\D", "", row["label"]) or 0), 100 * float(row["top1_best10"]))
            for row in rows
        )
        x, y = xy(figure, f"points {series}")
        drawn = sorted((round(n), accuracy) for n, accuracy in zip(x, y, strict=True))
        assert [n for n, _ in drawn] == [n for n, _ in expected]
        assert np.allclose([v for _, v in drawn], [v for _, v in expected], rtol=0, atol=1e-9)
        counts[series] = len(drawn)
    assert counts == {"baseB": 8, "BnB": 28, "BnB+": 10, "AnB": 56, "AnB+": 10}


def test_base_networks_of_the_paper_are_where_its_logs_say():
    x, y = xy(of_paper("figure2"), "points baseB")

    assert x == [0] * 8
    assert sorted(y)[0] == pytest.approx(61.5100, abs=1e-4)  # half0A
    assert sorted(y)[-1] == pytest.approx(63.4083, abs=1e-4)  # half0B


@pytest.mark.parametrize("series", ["BnB", "BnB+", "AnB", "AnB+"])
def test_lines_go_from_the_base_through_the_means_of_the_reference(series: str):
    x, y = xy(of_paper("figure2"), f"means {series}")

    means = reference("random_splits", series)
    assert len(means) == 7
    assert [round(n) for n in x] == [0, 1, 2, 3, 4, 5, 6, 7]
    assert set(xy(of_paper("figure2"), f"points {series}")[0]) == set(x[1:])  # markers on it
    expected = [62.5101, *(means[n] for n in range(1, 8))]
    assert y == pytest.approx(expected, abs=1e-4)


def test_figure_2_has_the_papers_series_names_and_percent():
    figure = of_paper("figure2")

    axes = figure.axes[0]
    assert labels(figure) == [
        "mean of baseB", "baseB", "selffer BnB", "selffer BnB+", "transfer AnB", "transfer AnB+",
    ]  # fmt: skip
    assert axes.get_xlabel() == "layer n at which network is chopped and retrained"
    assert axes.get_ylabel() == "top-1 accuracy (%)"
    assert axes.get_title(loc="left").replace("\n", " ") == (
        "imagenet (1000 classes, 1.28M images) alexnet yosinski2014: mean of the ten best "
        "validations"
    )
    assert "baseB rests on 8 halves, BnB on 4, BnB+ on 2, AnB+ on 2" in note(figure)
    assert "Left out of all runs of the store: 22 missing." in note(figure)


def test_another_metric_draws_other_values_and_is_named(paper: Results):
    figure = on_axes(paper, "figure2", "top1_final")

    assert xy(figure, "means AnB")[1][7] == pytest.approx(54.19, abs=0.005)
    assert figure.axes[0].get_title(loc="left").endswith("yosinski2014: final accuracy")


def test_markers_of_one_n_stand_side_by_side_in_distinct_colours_and_shapes():
    figure = of_paper("figure2")

    markers = [line(figure, f"points {series}") for series in ("BnB", "BnB+", "AnB", "AnB+")]
    assert [round(min(marker.get_xdata()) - 1, 2) for marker in markers] == [
        -0.12,
        -0.04,
        0.04,
        0.12,
    ]
    assert len({marker.get_marker() for marker in markers}) == 4
    assert [marker.get_markerfacecolor() for marker in markers] == [
        "#0072B2", "#56B4E9", "#D55E00", "#E69F00",
    ]  # fmt: skip


# --- the other figures --------------------------------------------------------------------------


def gaps(figure: Figure, n: int) -> dict[str, float]:
    """The height of every shade of the interpretation at a layer, 0 where it has none."""
    ys = {
        shade.get_gid(): [y for part in shade.get_paths() for x, y in part.vertices if x == n]
        for shade in figure.axes[0].collections
    }
    return {name: max(y) - min(y) if y else 0 for name, y in ys.items()}


def test_interpretation_shades_the_gaps_of_the_decomposition_and_what_is_recovered():
    figure = of_paper("interpretation")

    assert labels(figure)[1:4] == list(gaps(figure, 5))
    assert gaps(figure, 5) == pytest.approx(
        {"fragile co-adaptation": 2.97, "representation specificity": 1.68,
         "recovered by fine-tuning": 2.97}, abs=0.006,
    )  # fmt: skip
    # BnB is above baseB at layer 1: nothing was lost, and nothing is recovered
    assert gaps(figure, 1)["fragile co-adaptation"] == 0
    assert gaps(figure, 1)["recovered by fine-tuning"] == 0
    assert xy(figure, "level baseB")[1] == pytest.approx([62.5101], abs=1e-4)
    assert xy(figure, "levels BnB+")[1][5] == pytest.approx(62.5101 + 1.10, abs=0.01)


def test_figure_3_is_relative_to_the_base_of_the_same_target():
    figure = of_paper("figure3")

    dissimilar = reference("natman", "mean of both directions minus base")
    filters = reference("random_filters", "random minus base")
    similar = reference("fig3_relative", "AnB random splits minus mean base")
    for series, means in {
        "random halves": {0: 0.0, **similar},
        "man-made/natural, both": dissimilar,
        "random filters": filters,
    }.items():
        _, y = xy(figure, f"means {series}")
        assert y == pytest.approx([means[n] for n in range(8)], abs=1e-3)
    assert xy(figure, "chance random filters")[1] == pytest.approx([-57.52], abs=0.01)
    assert labels(figure) == [
        "baseB", "AnB, random halves", "AnB, man-made/natural", "to natural", "to man-made",
        "random filters", "never learned", "95 % of further random splits", "95 % interval",
    ]  # fmt: skip


def band(figure: Figure) -> dict[int, tuple[float, float]]:
    """The shaded range of further random halves, by n."""
    shaded = [part for part in figure.axes[0].collections if part.get_gid() == "further"]
    heights: dict[int, set[float]] = {}
    for part in shaded:
        for x, y in part.get_paths()[0].vertices:
            heights.setdefault(round(float(x)), set()).add(float(y))
    return {n: (min(ends), max(ends)) for n, ends in heights.items()}


def test_figure_3_shades_where_further_random_halves_would_lie(paper: Results):
    # -8.261 at n = 7, and t of 3 degrees of freedom 3.18245 x 0.195 x sqrt(1 + 1/4) = 0.692
    assert band(of_paper("figure3"))[7] == pytest.approx((-8.954, -7.569), abs=0.001)
    assert [*band(of_paper("figure3"))] == [1, 2, 3, 4, 5, 6, 7]

    alone = figures.draw(own(paper, paper.table["split"] == "random"), "figure3")
    assert band(alone) == {}
    assert "95 % of further random splits" not in labels(alone)


def test_a_wide_range_of_further_halves_does_not_squeeze_the_means(tmp_path: Path):
    """Two splits, 5 and 15 points below: t of 1 degree of freedom is 12.7062, the range is -10 and
    12.7062 x 7.0711 x sqrt(1.5) = 110 to both sides."""
    for split, top1 in enumerate((0.75, 0.65)):
        finish(tmp_path, "baseB", 0.8, split=split)
        finish(tmp_path, "A3B", top1, split=split)
    dissimilar = {"split.name": "manmade_natural", "split.seed": None}
    for label, top1 in (("baseB", 0.8), ("A3B", 0.6)):
        finish(tmp_path, label, top1, dissimilar)

    figure = figures.draw(results.load(tmp_path), "figure3")

    assert band(figure)[3] == pytest.approx((-120.04, 100.04), abs=0.01)
    assert figure.axes[0].get_ylim()[0] > -100.0  # of the interval of the mean, 90 wide: -99.8


def test_figure_3_has_a_line_for_every_target():
    figure = of_paper("figure3")

    to_natural = xy(figure, "means man-made/natural, target natural")[1]
    to_man_made = xy(figure, "means man-made/natural, target man-made")[1]
    assert to_natural[7] == pytest.approx(39.90 - 65.34, abs=0.02)
    assert to_man_made[7] == pytest.approx(29.14 - 53.72, abs=0.02)


def test_decomposition_of_the_paper_is_paired_and_has_intervals():
    figure = of_paper("decomposition")

    x, co_adaptation = xy(figure, "means co-adaptation random")
    _, specificity = xy(figure, "means specificity random")
    assert [round(n) for n in x] == [1, 2, 3, 4, 5, 6, 7]
    assert co_adaptation == pytest.approx([-0.35, -0.03, 0.21, 1.85, 2.97, 0.45, 0], abs=0.006)
    assert specificity == pytest.approx([-0.15, 0.01, 0.14, 0.62, 1.68, 3.90, 8.24], abs=0.006)
    bars = {bars.get_gid(): bars.get_segments() for bars in figure.axes[0].collections}
    assert {gid: len(segments) for gid, segments in bars.items()} == {
        "t co-adaptation random": 7, "t specificity random": 7,
    }  # fmt: skip
    (_, low), (_, high) = bars["t specificity random"][6]
    assert low < specificity[6] < high
    assert "Pairs, random halves: 4 at every n. Pairs, man-made/natural: 0" in note(figure)


def test_curves_are_those_of_the_eleven_published_base_networks():
    figure = of_paper("curves")

    x, y = xy(figure, "curve half0A")
    assert (x[0], y[0]) == (1000, pytest.approx(3.892))
    assert x[-1] == 450_000
    assert len([gid for gid in gids(figure) if gid.startswith("curve ")]) == 11
    assert labels(figure) == [
        "baseB, man-made/natural", "baseB, random halves", "baseB, all classes",
    ]  # fmt: skip
    assert "No curve is kept of 125 of 136 networks." in note(figure)


def test_reduced_is_against_images_per_class_and_marks_chance_level():
    figure = of_paper("reduced")

    x, y = xy(figure, "points whole")
    assert dict(zip(x, y, strict=True)) == pytest.approx(
        {1: 0.38, 2: 0.44, 250: 38.43, 500: 47.57, 750: 51.47, 1000: 54.09, 1300: 55.18}, abs=0.006
    )
    assert xy(figure, "chance whole")[0] == [5, 10, 25, 50, 100]
    means = dict(zip(*xy(figure, "means whole"), strict=True))
    assert np.isnan([means[images] for images in (5, 10, 25, 50, 100)]).all()
    assert labels(figure) == ["base, all classes", "at chance level"]


# --- the published curve behind -----------------------------------------------------------------


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return small(tmp_path / "runs")


@pytest.fixture
def long(tmp_path: Path) -> Path:
    """The same runs with 113 validations each, enough for their ten best."""
    return small(tmp_path / "runs", {"train.val_every": 3})


def small(store: Path, changes: dict[str, object] | None = None) -> Path:
    """Bases, selffers and transfers for B at n = 3 and 5, A5B at chance level; a curve of baseB."""
    steps = 339 if changes else 40
    base = finish(store, "baseB", 0.8, changes, steps=steps)
    finish(store, "baseA", 0.9, changes)
    finish(store, "A3B", 0.75, changes)
    finish(store, "B3B", 0.79, changes)
    finish(store, "A5B", 0.2, changes, learned=False)
    finish(store, "B5B", 0.7, changes)
    (base.folder / "metrics.csv").write_text(
        f"step,val/accuracy,val/loss,train/loss\n10,0.5,1,1\n{steps},0.8,0.5,0.5\n"
    )
    return store


@pytest.mark.parametrize(
    ("name", "lines", "last"),
    [("figure2", "means", 54.2486), ("interpretation", "levels", 54.2694)],
)
def test_published_means_are_grey_behind_ones_own(long: Path, name: str, lines: str, last: float):
    figure = figures.draw(results.load(long), name, "top1_best10", published=True)

    behind = line(figure, "published AnB")
    assert list(behind.get_ydata())[7] == pytest.approx(last, abs=1e-3)
    assert behind.get_color() == "#999999"
    assert behind.get_zorder() < line(figure, f"{lines} AnB").get_zorder()
    assert "Yosinski et al. 2014" in labels(figure)
    # baseA, at 91 %, is the base of no target here
    assert xy(figure, f"{lines} BnB")[1][:2] == pytest.approx([81, 80])
    assert [round(n) for n in xy(figure, f"{lines} BnB")[0]] == [0, 3, 5][: 3 - (lines == "levels")]


def test_published_curve_is_of_the_requested_metric(store: Path):
    figure = on_axes(results.load(store), "figure2", published=True)

    assert xy(figure, "published AnB")[1][7] == pytest.approx(54.19, abs=0.005)


@pytest.mark.parametrize(
    ("name", "gid", "value"),
    [
        ("figure3", "published random filters", -56.17),
        ("decomposition", "published specificity", 8.24),
        ("curves", "published half0A", 61.45),
    ],
)
def test_every_figure_can_have_the_published_one_behind(
    long: Path, name: str, gid: str, value: float
):
    figure = on_axes(results.load(long), name, "top1_best10", published=True)

    assert xy(figure, gid)[1][-1] == pytest.approx(value, abs=0.03)


def test_published_reduced_is_behind_ones_own(paper: Results):
    mine = own(paper, paper.table["data.per_class"].isin([250, 500]))

    figure = on_axes(mine, "reduced", published=True)

    assert xy(figure, "points whole")[0] == [250, 500]
    assert xy(figure, "published whole")[0][-1] == 1300


def test_curves_beside_the_published_are_against_the_share_of_training(store: Path):
    alone = on_axes(results.load(store), "curves")
    beside = on_axes(results.load(store), "curves", published=True)

    assert [xy(alone, gid)[0] for gid in gids(alone)] == [[10, 40]]
    assert [xy(beside, gid)[0] for gid in gids(beside) if gid.startswith("curve")] == [[25, 100]]
    assert beside.axes[0].get_xlabel() == "share of training (%)"


def published_behind(figure: Figure) -> bool:
    return any(gid.startswith("published ") for gid in gids(figure))


def test_published_store_has_nothing_behind_itself(paper: Results):
    assert not published_behind(on_axes(paper, "figure2", published=True))


@pytest.mark.parametrize("name", ["figure2", "interpretation", "figure3", "decomposition"])
def test_published_networks_stand_behind_the_papers_data_and_network(paper: Results, name: str):
    mine = own(paper)

    assert published_behind(on_axes(mine, name))
    assert not published_behind(on_axes(mine, name, published=False))


@pytest.mark.parametrize("other", [{"data.name": "digits"}, {"model.name": "resnet50"}])
def test_published_networks_do_not_spoil_the_axis_of_other_data_or_networks(
    paper: Results, other: dict[str, str]
):
    mine = own(paper)
    mine = replace(mine, table=mine.table.assign(**other))

    assert not published_behind(on_axes(mine, "figure2"))
    assert published_behind(on_axes(mine, "figure2", published=True))


# --- what is missing ----------------------------------------------------------------------------


def test_missing_series_are_named(paper: Results):
    figure = figures.draw(own(paper, ~paper.table["fine_tuned"]), "figure2")

    assert "selffer BnB+ (none)" in labels(figure)
    assert "transfer AnB+ (none)" in labels(figure)
    assert "selffer BnB" in labels(figure)
    assert "No network that learned: BnB+; AnB+." in note(figure)


def test_a_line_is_broken_where_a_series_has_no_network(paper: Results):
    table = paper.table
    gone = (table["n"] == 4) & (table["variant"] == "AnA")

    for name, lines, reason in (
        ("figure2", "means", "No network that learned: BnB at n = 4."),
        ("interpretation", "levels", "Without a pair: BnB at n = 4; AnB at n = 4."),
    ):
        figure = figures.draw(own(paper, ~gone), name)

        y = xy(figure, f"{lines} BnB")[1]
        assert [n for n, value in enumerate(y) if np.isnan(value)] == [4]
        assert reason in note(figure)


def test_levels_of_different_splits_are_named(paper: Results):
    figure = of_paper("interpretation")
    frozen = figures.draw(own(paper, ~paper.table["fine_tuned"]), "interpretation")

    assert "Averaged over 4 splits: AnB, BnB; over 1 to 2 splits: AnB+, BnB+." in note(figure)
    assert "Averaged over" not in note(frozen)


def test_runs_at_chance_level_are_marked_and_in_no_mean(store: Path):
    figure = figures.draw(results.load(store), "figure2")

    assert [round(n) for n in xy(figure, "chance")[0]] == [5]
    assert "in no mean (not to scale)" in labels(figure)
    assert "In no mean: 1 at chance level." in note(figure)
    assert xy(figure, "points AnB")[1] == [75]
    assert np.isnan(xy(figure, "means AnB")[1][2])
    low, high = figure.axes[0].get_ylim()
    assert low > 60  # its 20 % do not squeeze the others


def test_figure_3_and_decomposition_leave_out_a_run_at_chance_level(store: Path):
    relative = figures.draw(results.load(store), "figure3")
    parts = figures.draw(results.load(store), "decomposition")

    assert xy(relative, "means random halves")[1][1] == pytest.approx(-5)
    assert np.isnan(xy(relative, "means random halves")[1][2])
    assert xy(relative, "chance")[0] == [5]
    assert xy(parts, "means co-adaptation random")[1][0] == pytest.approx(1)
    assert xy(parts, "means specificity random")[1][0] == pytest.approx(4)
    assert "Pairs, random halves: 1 at n = 3, 0 at n = 5." in note(parts)


def test_without_base_networks_nothing_can_be_compared_and_is_named_as_missing(paper: Results):
    table = paper.table
    kept = ~((table["n"] == 0) & (table["split"] == "random"))

    figure = figures.draw(own(paper, kept), "interpretation")

    assert "baseB (none)" in labels(figure)
    assert "fragile co-adaptation (none)" in labels(figure)
    assert "representation specificity (none)" in labels(figure)
    assert "selffer BnB (none)" in labels(figure)


def test_figure_3_names_series_without_a_network(store: Path):
    figure = figures.draw(results.load(store), "figure3")

    assert "random filters (none)" in labels(figure)
    assert "Nothing to show of: AnB, man-made/natural; random filters." in note(figure)


def test_figure_3_counts_networks_without_the_base_of_their_target(tmp_path: Path):
    finish(tmp_path, "A3B", 0.7)
    alone = figures.draw(results.load(tmp_path), "figure3")
    finish(tmp_path, "A5B", 0.7)
    two = figures.draw(results.load(tmp_path), "figure3")

    assert "1 network without the base of its target is not shown." in note(alone)
    assert "2 networks without the base of their target are not shown." in note(two)


def test_dissimilar_halves_have_separate_parts_beside_random_ones(tmp_path: Path):
    for split in ({}, {"split.name": "manmade_natural", "split.seed": None}):
        for label, top1 in (("baseB", 0.8), ("B3B", 0.7), ("A3B", 0.6 - 0.1 * bool(split))):
            finish(tmp_path, label, top1, split)

    figure = figures.draw(results.load(tmp_path), "decomposition")

    assert xy(figure, "means specificity random")[1] == pytest.approx([10])
    assert xy(figure, "means specificity manmade_natural")[1] == pytest.approx([20])
    assert "specificity, BnB \N{MINUS SIGN} AnB, man-made/natural" in labels(figure)


def test_experiments_are_never_mixed(store: Path):
    finish(store, "baseB", 0.6, {"train.batch_size": 64})
    finish(store, "A3B", 0.5, {"train.batch_size": 64})
    loaded = results.load(store)

    with pytest.raises(UserError, match="figure2 shows one experiment and .* has 2, which must"):
        on_axes(loaded, "figure2")
    (other,) = (part for part in loaded.experiments if "batch_size" not in part.name)
    figure = on_axes(loaded, "figure2", experiment="batch_size=64")

    assert "quick batch_size=64 lr=0.02" in " ".join(figure.axes[0].get_title(loc="left").split())
    assert xy(figure, "points AnB")[1] == [50]
    assert xy(figure, "points baseB")[1] == [60]
    assert xy(on_axes(loaded, "figure2", experiment=other.id), "points AnB")[1] == [75]
    with pytest.raises(UserError, match="--experiment 'x y' is unknown: choose one of"):
        on_axes(loaded, "figure2", experiment="x y")


# --- the picture --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def drawings(
    paper: Results, tmp_path_factory: pytest.TempPathFactory
) -> Iterable[tuple[str, Figure]]:
    """Every plot of the paper, as narrow as may be and two columns wide, and those of a small store
    before the paper's, as narrow as may be: where there is least room. And one of many layers."""
    mine = results.load(small(tmp_path_factory.mktemp("drawings") / "runs"))
    drawn = []
    for width in (3.0, 7.0):
        for name in NAMES:
            drawn.append((f"{name} {width}", figures.draw(paper, name, width=width)))
    for name in NAMES:
        if name not in ("reduced", "fine_tuning"):  # of which it has no network
            drawn.append((f"own {name}", figures.draw(mine, name, published=True, width=3.0)))
    drawn.append(("deep", figures.draw(results.load(DEEP), "figure2", width=3.0)))
    for _, figure in drawn:
        figure.draw_without_rendering()
    return drawn


def test_nothing_is_cut_off_and_nothing_covers_the_axes(
    drawings: Iterable[tuple[str, Figure]],
):
    for name, figure in drawings:
        axes = figure.axes[0]
        whole, inside = figure.bbox, axes.get_window_extent()
        parts = [axes.get_tightbbox(), *(text.get_window_extent() for text in figure.texts)]
        parts += [legend.get_window_extent() for legend in figure.legends]
        for box in parts:
            assert box.x0 >= -0.5 and box.x1 <= whole.x1 + 0.5, name
            assert box.y0 >= -0.5 and box.y1 <= whole.y1 + 0.5, name
        for above, below in zip(parts[:1] + parts[2:][::-1], parts[2:][::-1] + parts[1:2],
                                strict=False):  # fmt: skip
            assert below.y1 <= above.y0 + 1, name
        for drawn in axes.get_lines():
            points = drawn.get_transform().transform(np.column_stack(drawn.get_data()))
            points = points[np.isfinite(points).all(axis=1)]
            if drawn.get_gid() is None or not len(points):
                continue  # of the legend
            assert points[:, 0].min() >= inside.x0 - 1e-6, (name, drawn.get_gid())
            assert points[:, 0].max() <= inside.x1 + 1e-6, (name, drawn.get_gid())
            assert points[:, 1].min() >= inside.y0 - 1e-6, (name, drawn.get_gid())
            assert points[:, 1].max() <= inside.y1 + 1e-6, (name, drawn.get_gid())


def test_letters_are_legible_at_one_column(
    drawings: Iterable[tuple[str, Figure]],
):
    for name, figure in drawings:
        sizes = [text.get_fontsize() for text in figure.findobj(match=_is_text)]
        assert min(sizes) >= 6.5, name


def _is_text(artist: object) -> bool:
    return hasattr(artist, "get_fontsize") and bool(artist.get_text())  # type: ignore[attr-defined]


def test_tick_labels_of_an_axis_do_not_touch(
    drawings: Iterable[tuple[str, Figure]],
):
    for name, figure in drawings:
        boxes = [
            text.get_window_extent()
            for text in figure.axes[0].get_xticklabels()
            if text.get_text() and text.get_visible()
        ]
        inside = figure.axes[0].get_window_extent()
        boxes = sorted((box for box in boxes if inside.x0 <= box.x0 + box.width / 2 <= inside.x1),
                       key=lambda box: box.x0)  # fmt: skip
        gaps = [b.x0 - a.x1 for a, b in zip(boxes, boxes[1:], strict=False)]
        assert all(gap > 3 for gap in gaps), (name, gaps)


def test_a_store_of_perfect_networks_has_no_tick_above_100(tmp_path: Path):
    for label in ("baseB", "A3B", "B3B"):
        finish(tmp_path, label, 1.0, top1_best10=1.0, metrics={
            "top1_final": 1.0, "top1_best10": 1.0, "top1_peak": 1.0, "chance": 0.2,
            "val_loss_final": 1.0, "train_loss_final": 1.0,
        })  # fmt: skip

    figure = figures.draw(results.load(tmp_path), "figure2")
    low, high = figure.axes[0].get_ylim()
    assert 100 < high < 101
    assert max(tick for tick in figure.axes[0].get_yticks() if low <= tick <= high) == 100


@pytest.mark.parametrize(
    ("name", "kind"),
    [("figure2", "pdf"), ("figure2", "png"), *((name, "svg") for name in NAMES)],
)
def test_every_figure_is_written_and_reproducibly(
    paper: Results, tmp_path: Path, name: str, kind: str
):
    path = tmp_path / f"figure.{kind}"
    figures.write(of_paper(name), path)
    content = path.read_bytes()

    assert content == figures.render(figures.draw(paper, name), kind)
    assert list(tmp_path.iterdir()) == [path]
    starts = {"pdf": b"%PDF", "png": b"\x89PNG", "svg": b"<?xml"}
    assert content.startswith(starts[kind])
    for word in (b"CreationDate", b"<dc:date>", b"Software"):
        assert word not in content
    if kind == "svg":
        text = content.decode()
        for label in labels(of_paper(name)):
            assert re.search(rf"<text[^>]*>{re.escape(label)}</text>", text), label


def test_names_are_not_formulas(paper: Results):
    mine = own(paper)
    mine = replace(mine, table=mine.table.assign(data_set="a_$b$"))

    picture = figures.render(figures.draw(mine, "figure2"), "svg").decode()

    assert re.search(r"<text[^>]*>a_\$b\$ \(1000", picture)


def test_users_own_settings_of_matplotlib_change_nothing_and_are_not_changed(paper: Results):
    before = figures.render(figures.draw(paper, "figure2"), "svg")
    theirs = {"font.size": 30, "savefig.bbox": "tight", "axes.grid": True, "svg.fonttype": "path"}
    with matplotlib.rc_context(theirs):
        after = figures.render(figures.draw(paper, "figure2"), "svg")
        assert {key: matplotlib.rcParams[key] for key in theirs} == theirs

    assert after == before


def test_runs_with_short_curves_have_no_figure_of_their_ten_best(tmp_path: Path):
    finish(tmp_path, "baseB", 0.8)
    finish(tmp_path, "A3B", 0.7)
    finish(tmp_path, "baseB", 0.8, {"train.epochs": 100})  # an epoch has 22.6 steps, or 23

    with pytest.raises(UserError, match="top1_best10 is missing for 3 of 3.*--metric top1_final"):
        figures.draw(results.load(tmp_path), "figure2", "top1_best10")
    finish(tmp_path, "baseB", 0.8, {"train.epochs": 100}, steps=2300)
    figure = figures.draw(results.load(tmp_path), "figure2", "top1_best10")
    assert "top1_best10 is missing for 2 of 3 finished runs: it needs 100" in note(figure)


def test_other_endings_and_names_are_refused(paper: Results, tmp_path: Path):
    figure = of_paper("figure2")

    with pytest.raises(UserError, match=r"suffix \.pdf, \.png or \.svg"):
        figures.write(figure, tmp_path / "figure.jpg")
    with pytest.raises(UserError, match="nowhere.* cannot be written: No such file"):
        figures.write(figure, tmp_path / "nowhere" / "figure.pdf")
    with pytest.raises(UserError, match="--plot figure4 is unknown: choose one of figure2,"):
        of_paper("figure4")
    with pytest.raises(UserError, match="choose one of top1_final, top1_best10, top1_peak"):
        figures.draw(paper, "figure2", "top5")
    with pytest.raises(UserError, match="--width 1 is out of range: a figure is 3 to 40"):
        figures.draw(paper, "figure2", width=1)
    assert list(tmp_path.iterdir()) == []


def test_drawing_needs_no_display_no_pyplot_and_no_torch():
    code = f"""
import sys
from transferlab import results
from transferlab.results import figures
figures.render(figures.draw(results.load({PUBLISHED!r}), "figure2"), "pdf")
print(sorted({{"torch", "matplotlib.pyplot", "tkinter"}} & set(sys.modules)))
"""
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(FACTS.parents[2])}

    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment
    )

    assert done.stdout == "[]\n", done.stderr


# --- the command --------------------------------------------------------------------------------


def test_command_writes_the_plot_and_prints_its_path(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    path = tmp_path / "fig2.svg"

    status = command.run(
        ["--store", str(store), "--plot", "figure2", "--out", str(path), "--published",
         "--metric", "top1_peak"]
    )  # fmt: skip

    out, err = capsys.readouterr()
    assert (status, out, err) == (0, "", f"{path}\n")
    words = re.findall(r"<text[^>]*>([^<]*)</text>", path.read_text())
    assert "alexnet_small quick lr=0.02: best validation" in " ".join(words)
    assert "Yosinski et al. 2014" in path.read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--plot", "figure4", "--out", "x.pdf"], "--plot figure4 is unknown: choose one of fig"),
        (["--plot", "figure2"], "needs a file: --out figure2.pdf, .png or .svg"),
        (["--plot", "figure2", "--out", "x.gif"], "--out x.gif is not an image file: "),
        (["--plot", "figure2", "--out", "no/x.svg"], "no/x.svg cannot be written: No such"),
        (
            ["--plot", "figure2", "--out", "x.svg", "--format", "csv"],
            "--format has no effect with --plot",
        ),
        (["--plot", "figure2", "--out", "x.svg", "--metric", "top5"], "--metric top5 is unknown"),
        (["--plot", "reduced", "--out", "x.svg"], "no finished run is a base network with fewer"),
        (["--plot", "figure2", "--out", "x.svg", "--width", "0"], "--width 0 is out of range"),
    ],
)
def test_command_refuses_what_it_cannot_plot(
    store: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
):
    monkeypatch.chdir(store.parent)

    with pytest.raises(UserError) as caught:
        command.run(["--store", str(store), *arguments])

    assert message in str(caught.value)
    assert list(store.parent.iterdir()) == [store]


def test_no_run_is_trained_into_an_archive(tmp_path: Path):
    store, file = tmp_path / "runs", tmp_path / "study.csv"
    finish(store, "baseB", 0.8)
    assert main(["results", "--store", str(store), "--archive", str(file)]) == 0

    for stores, setting in (((file,), ""), ((file, store), f" runtime.store={store}")):
        with pytest.raises(UserError, match=rf"sweep \+study=random_filters{setting}$"):
            figures.draw(results.load(*stores), "figure3")


def test_a_figure_of_some_of_many_curves_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for split in range(5):
        for label in ("baseB", "A3B"):
            run = finish(tmp_path, label, 0.75, split=split, steps=20)
            run.metrics_file.write_text("step,train/loss,val/loss,val/accuracy\n20,1,0.5,0.75\n")
    run.metrics_file.unlink()
    monkeypatch.setattr(selections, "MOST", 4)

    figure = figures.draw(results.load(tmp_path), "curves")

    assert all(artist.get_visible() for artist in figure.axes[0].lines)
    assert len([gid for gid in gids(figure) if gid.startswith("curve ")]) == 4
    assert "No curve is kept of 1 of 10 networks. 4 of 9 curves are drawn, evenly" in note(figure)
