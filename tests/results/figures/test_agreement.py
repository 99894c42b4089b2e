"""Figure and table of one store say the same, cell by cell; every mark is on its line and named."""

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from support.stores import finish

from transferlab import results
from transferlab.results import Results, catalogue, figures

STORES = ("published", "unbalanced", "one split", "base at chance")
NAMES = (
    "figure2", "interpretation", "figure3", "decomposition", "fine_tuning", "curves", "reduced",
)  # fmt: skip
GREY = "#999999"


def runs(folder: Path, *labels: tuple[str, float], split: int = 0, **more: object) -> None:
    for label, top1 in labels:
        finish(folder, label, top1, split=split, **more)  # type: ignore[arg-type]


def unbalanced(folder: Path) -> None:
    """Split 0 in both directions and two seeds, split 1 in one, split 2 without selffers; halves A
    are easier by 10 points, and some networks did not learn."""
    runs(folder, ("baseA", 0.9), ("baseB", 0.8), ("A3B", 0.74), ("B3B", 0.78), ("B3A", 0.85),
         ("A3A", 0.89), ("A5B", 0.6), ("B5B", 0.7), ("B3B+", 0.81), ("A3B+", 0.83),
         ("R3B", 0.5))  # fmt: skip
    for label, top1 in (("baseB", 0.81), ("A3B", 0.73), ("B3B", 0.8)):
        finish(folder, label, top1, {"seed": 1})
    runs(folder, ("baseA", 0.91), ("baseB", 0.79), ("A3B", 0.72), ("B3B", 0.8), split=1)
    runs(folder, ("baseB", 0.82), ("A3B", 0.7), split=2)
    runs(folder, ("A5B", 0.2), ("B7B", 0.2), ("R5B", 0.2), split=1, learned=False)
    natural = {"split.name": "manmade_natural", "split.seed": None}
    for label, top1 in (("baseA", 0.7), ("baseB", 0.8), ("A3B", 0.6), ("B3A", 0.55), ("B3B", 0.8)):
        finish(folder, label, top1, natural)


def one_split(folder: Path) -> None:
    """Study quick: both bases, everything else for B; at layer 1 nothing is lost."""
    runs(folder, ("baseA", 0.95), ("baseB", 0.8), ("A1B", 0.8), ("B1B", 0.82), ("A1B+", 0.84),
         ("B1B+", 0.83), ("A3B", 0.7), ("B3B", 0.78), ("A3B+", 0.8), ("B3B+", 0.75))  # fmt: skip


def base_at_chance(folder: Path) -> None:
    """A3B of split 0 rests on a base that did not learn."""
    runs(folder, ("baseB", 0.8), ("B3B", 0.78), ("A3B", 0.4))
    runs(folder, ("baseA", 0.2), learned=False)
    runs(folder, ("baseA", 0.9), ("baseB", 0.81), ("B5B", 0.8), ("A5B", 0.7), split=1)


MADE = {"unbalanced": unbalanced, "one split": one_split, "base at chance": base_at_chance}


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Results]:
    loaded = {"published": results.load("published:yosinski2014")}
    for name, make in MADE.items():
        folder = tmp_path_factory.mktemp("store")
        make(folder)
        loaded[name] = results.load(folder)
    return loaded


@pytest.fixture(scope="module")
def figure_of(stores: dict[str, Results]) -> Callable[[str, str], Figure]:
    return cache(lambda store, name: figures.draw(stores[store], name))


def lines(figure: Figure) -> dict[str, Line2D]:
    drawn = {line.get_gid(): line for line in figure.axes[0].get_lines()}
    return {str(gid): line for gid, line in drawn.items() if gid}


def points(line: Line2D) -> dict[int, float]:
    """n -> y, without what is missing."""
    x, y = (np.asarray(values, dtype=float) for values in line.get_data())
    return {round(n): float(v) for n, v in zip(x, y, strict=True) if not np.isnan(v)}


def cells(table: pd.DataFrame, value: str) -> dict[int, float]:
    """n -> a column in percent, without what is missing."""
    rows = table[table[value].notna()]
    return dict(zip(rows["n"], 100 * rows[value].astype(float), strict=True))


def bars(figure: Figure, gid: str) -> dict[int, tuple[float, float]]:
    """n -> the ends of the interval that is drawn."""
    return {
        round(low[0]): (low[1], high[1])
        for part in figure.axes[0].collections
        if isinstance(part, LineCollection) and part.get_gid() == gid
        for low, high in part.get_segments()
    }


def ends(table: pd.DataFrame) -> dict[int, tuple[float, float]]:
    rows = table[table["low"].notna() & (table["n"] > 0)]
    return {n: (100 * low, 100 * high) for n, low, high in rows[["n", "low", "high"]].to_numpy()}


@pytest.mark.parametrize("store", STORES)
def test_the_lines_of_figure_2_are_the_rows_of_its_table(
    stores: dict[str, Results], figure_of: Callable[[str, str], Figure], store: str
):
    table, figure = results.table(stores[store], "figure2"), figure_of(store, "figure2")
    base = cells(table[table["series"] == "baseB"], "mean")[0]

    drawn = {gid: points(line) for gid, line in lines(figure).items() if gid.startswith("means")}
    expected = {
        f"means {series}": {0: base} | cells(rows, "mean")
        for series, rows in table.groupby("series")
        if series != "baseB" and rows["count"].any()
    }
    assert drawn.keys() == expected.keys()
    for gid, means in expected.items():
        assert drawn[gid] == pytest.approx(means), gid
    assert list(lines(figure)["base"].get_ydata()) == pytest.approx([base, base])


@pytest.mark.parametrize("store", STORES)
def test_the_gaps_of_the_interpretation_are_the_cells_of_the_decomposition(
    stores: dict[str, Results], figure_of: Callable[[str, str], Figure], store: str
):
    figure = figure_of(store, "interpretation")
    table = results.table(stores[store], "decomposition")
    table = table[(table["split"] == "random") & (table["pairs"] > 0)]
    means = results.table(stores[store], "figure2")
    base = cells(means[means["series"] == "baseB"], "mean")[0]

    levels = {gid: points(line) for gid, line in lines(figure).items()}
    assert levels["level baseB"] == pytest.approx({0: base})
    for n, rows in table.groupby("n"):
        drop = cells(rows.assign(n=rows["part"]), "mean")
        assert base - levels["levels BnB"][n] == pytest.approx(drop["co-adaptation"])
        assert levels["levels BnB"][n] - levels["levels AnB"][n] == pytest.approx(
            drop["specificity"]
        )
        shaded = dict(heights(figure, n))
        assert shaded["fragile co-adaptation"] == pytest.approx(max(drop["co-adaptation"], 0))
        assert shaded["representation specificity"] == pytest.approx(max(drop["specificity"], 0))
        assert shaded["recovered by fine-tuning"] <= max(drop["co-adaptation"], 0) + 1e-9
    assert set(levels["levels BnB"]) == set(levels["levels AnB"]) == {0, *table["n"]}
    shown = results.table(stores[store], "interpretation")
    for series, rows in shown[shown["series"] != "baseB"].groupby("series"):
        assert levels[f"levels {series}"] == pytest.approx({0: base} | cells(rows, "level"))


def heights(figure: Figure, n: int) -> Iterator[tuple[str, float]]:
    """Every shade, and its height at a layer, 0 where it has none."""
    for shade in figure.axes[0].collections:
        y = [y for part in shade.get_paths() for x, y in part.vertices if x == n]
        yield str(shade.get_gid()), max(y) - min(y) if y else 0.0


@pytest.mark.parametrize("store", STORES)
def test_the_lines_and_intervals_of_the_decomposition_are_the_cells_of_its_table(
    stores: dict[str, Results], figure_of: Callable[[str, str], Figure], store: str
):
    table, figure = results.table(stores[store], "decomposition"), figure_of(store, "decomposition")
    drawn = 0
    for (split, part), rows in table[table["pairs"] > 0].groupby(["split", "part"]):
        if part != "total":
            gid = f"{part} {split}"
            assert points(lines(figure)[f"means {gid}"]) == pytest.approx(cells(rows, "mean"))
            assert bars(figure, f"t {gid}") == {
                n: pytest.approx(both) for n, both in ends(rows).items()
            }
            drawn += 1
    assert drawn == sum(gid.startswith("means") for gid in lines(figure)) > 0


@pytest.mark.parametrize("store", STORES[:3])  # the last has no fine-tuned network
def test_the_lines_and_intervals_of_fine_tuning_are_the_cells_of_its_table(
    stores: dict[str, Results], figure_of: Callable[[str, str], Figure], store: str
):
    table, figure = results.table(stores[store], "fine_tuning"), figure_of(store, "fine_tuning")
    drawn = 0
    for comparison, rows in table[table["pairs"] > 0].groupby("comparison"):
        assert points(lines(figure)[f"means {comparison}"]) == pytest.approx(cells(rows, "mean"))
        assert bars(figure, f"t {comparison}") == {
            n: pytest.approx(both) for n, both in ends(rows).items()
        }
        drawn += 1
    assert drawn == sum(gid.startswith("means") for gid in lines(figure)) > 0


@pytest.mark.parametrize("store", STORES)
def test_the_lines_and_intervals_of_figure_3_are_the_cells_of_its_table(
    stores: dict[str, Results], figure_of: Callable[[str, str], Figure], store: str
):
    table, figure = results.table(stores[store], "figure3"), figure_of(store, "figure3")
    drawn = 0
    for series, rows in table.groupby("series"):
        if rows["pairs"].any():
            rows = rows[rows["n"] > 0]
            line = lines(figure)[f"means {series}"]
            assert points(line) == pytest.approx({0: 0.0} | cells(rows, "paired")), series
            assert bars(figure, f"t {series}") == {
                n: pytest.approx(both) for n, both in ends(rows).items()
            }
            drawn += 1
    assert drawn == sum(gid.startswith("means") for gid in lines(figure)) > 0


def test_the_base_is_that_of_the_targets_in_every_table_and_figure(stores: dict[str, Results]):
    """baseA, at 95 %, is the target of nothing."""
    found = stores["one split"]
    figure2, figure3 = (results.table(found, name) for name in ("figure2", "figure3"))
    interpretation, parts = (
        results.table(found, name) for name in ("interpretation", "decomposition")
    )
    at_3 = figure2[figure2["n"] == 3].set_index("series")["mean"]
    drop = parts[parts["n"] == 3].set_index("part")["mean"]

    assert figure2.set_index("series").loc["baseB", "mean"] == pytest.approx(0.8)
    assert figure3["base"].tolist() == pytest.approx([0.8] * len(figure3))
    assert figure3["relative"].tolist()[1:] == pytest.approx(figure3["paired"].tolist()[1:])
    assert interpretation.set_index("series").loc["baseB", "level"] == pytest.approx(0.8)
    assert drop["co-adaptation"] == pytest.approx(0.8 - at_3["BnB"]) == pytest.approx(0.02)


def test_nothing_is_recovered_where_nothing_was_lost_or_fine_tuning_is_worse(
    figure_of: Callable[[str, str], Figure],
):
    figure = figure_of("one split", "interpretation")

    assert dict(heights(figure, 1)) == pytest.approx(
        {"fragile co-adaptation": 0, "representation specificity": 2, "recovered by fine-tuning": 0}
    )
    assert dict(heights(figure, 3)) == pytest.approx(
        {"fragile co-adaptation": 2, "representation specificity": 8, "recovered by fine-tuning": 0}
    )


def test_networks_in_no_mean_are_marked_at_their_n_and_counted(
    figure_of: Callable[[str, str], Figure],
):
    """baseA is at chance, so that A3B, which rests on it, counts as little."""
    for name in ("figure2", "interpretation", "figure3", "decomposition"):
        marks = lines(figure_of("base at chance", name))["chance"]
        assert [round(n) for n in marks.get_xdata()] == [3], name
        text = " ".join(figure_of("base at chance", name).texts[0].get_text().split())
        assert "In no mean: 1 on a base at chance level." in text, name


def test_points_of_one_split_have_no_interval_and_the_figure_says_so(
    figure_of: Callable[[str, str], Figure],
):
    for name in ("figure3", "decomposition", "fine_tuning"):
        figure = figure_of("one split", name)
        assert not [part for part in figure.axes[0].collections if isinstance(part, LineCollection)]
        note = " ".join(figure.texts[0].get_text().split())  # wherever its lines break
        assert "No interval where there is one repetition." in note, name


def test_random_filters_of_one_kind_of_halves_are_not_named_as_missing(
    figure_of: Callable[[str, str], Figure],
):
    texts = [text.get_text() for text in figure_of("unbalanced", "figure3").legends[0].get_texts()]
    assert "random filters, random halves" in texts
    assert "random filters (none)" not in texts


def test_intervals_of_accuracies_are_within_0_and_100_percent(tmp_path: Path):
    accuracies = ((0.97, 0.35), (0.6, 0.9), (0.95, 0.35))
    for split, (base, transfer) in enumerate(accuracies):
        runs(tmp_path, ("baseB", base), ("A3B", transfer), split=split)

    table = results.table(results.load(tmp_path), "figure2")

    assert table["low"].tolist() == pytest.approx([0.3231, 0.0], abs=1e-4)
    assert table["high"].tolist() == pytest.approx([1.0, 1.0], abs=1e-4)


@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize("name", NAMES)
def test_every_mark_is_in_the_legend_and_every_entry_of_the_legend_is_visible(
    stores: dict[str, Results], figure_of: Callable[[str, str], Figure], store: str, name: str
):
    if not catalogue.select(stores[store], name).experiments:
        return
    figure = figure_of(store, name)
    (legend,) = figure.legends

    named = set()
    for handle in legend.legend_handles:
        if isinstance(handle, Line2D):
            marked = handle.get_marker() not in ("none", "None", None)
            assert marked or handle.get_linestyle() != "None", handle.get_label()
            named.add((handle.get_marker(), handle.get_color()) if marked else None)
    for gid, line in lines(figure).items():
        marks = line.get_marker() not in ("none", "None", None) and len(points(line))
        colour = line.get_color() if gid.startswith(("means", "levels")) else None
        if marks and colour is not None:
            if line.get_linestyle() != "None":
                assert (line.get_marker(), colour) in named, (gid, named)
        elif marks and gid == "chance":
            assert ("x", line.get_color()) in named, gid


@pytest.mark.parametrize("store", STORES)
def test_the_networks_of_figure_2_stand_over_the_n_of_their_line(
    figure_of: Callable[[str, str], Figure], store: str
):
    drawn = lines(figure_of(store, "figure2"))
    for gid, line in drawn.items():
        if gid.startswith("points") and gid != "points baseB" and points(line):
            on_line = drawn[gid.replace("points", "means")].get_xdata()
            assert set(line.get_xdata()) <= set(on_line), gid


def test_the_published_networks_behind_are_in_the_legend_with_a_mark(stores: dict[str, Results]):
    figure = figures.draw(stores["one split"], "figure2", published=True)

    handles = {handle.get_label(): handle for handle in figure.legends[0].legend_handles}
    assert handles["Yosinski et al. 2014"].get_marker() == "o"
    assert handles["Yosinski et al. 2014"].get_color() == GREY
