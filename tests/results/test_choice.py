"""The table and figure for the choice of layers, of stores made by hand."""

from pathlib import Path

import pandas as pd
import pytest
from matplotlib.transforms import Bbox
from support.stores import finish

from transferlab import results
from transferlab.results import Results, figures
from transferlab.results.figures import choice

MACS = {"base": 300, "A3B": 120, "A5B": 60, "A3B+": 300, "A5B+": 300, "B3B": 120, "R3B": 120}
# By label, the accuracies with seeds 0, 1, 2
SEEN = {
    "baseB": (0.60, 0.62, 0.64),
    "A3B": (0.70, 0.73, 0.73),
    "A5B": (0.66, 0.66, 0.70),
    "A3B+": (0.71, 0.73, 0.74),
    "A5B+": (0.72, 0.74, 0.76),
    "R3B": (0.30, 0.33, 0.33),
}


def store(folder: Path, seeds: int, **changes: tuple[float, ...]) -> Results:
    """The runs of SEEN, with so many seeds, of one split and the target B."""
    for seed in range(seeds):
        finish(folder, "baseA", 0.6, {"seed": seed})
        for label, accuracies in {**SEEN, **changes}.items():
            macs = MACS.get(label, MACS["base"])
            cost = {
                "learning_parameters": 10 * macs,
                "training_macs": macs,
                "step_s": (1 + seed) * 1e-3,
                "peak_bytes": 2_000_000,
                "step_images": 32,
            }
            finish(folder, label, accuracies[seed], {"seed": seed}, cost=cost)
    return results.load(folder)


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Results:
    return store(tmp_path_factory.mktemp("three"), 3)


def of(table: pd.DataFrame, series: str, n: int) -> pd.Series:
    (row,) = (row for _, row in table[(table["series"] == series) & (table["n"] == n)].iterrows())
    return row


def test_differences_are_in_pairs_with_intervals_over_seeds(three: Results):
    table = results.table(three, "choice")

    # A3B less baseB: 0.10, 0.11, 0.09; sd 0.01, half the interval 4.302653 x 0.01 / sqrt(3)
    row = of(table, "AnB", 3)
    assert [row[key] for key in ("count", "to_scratch_pairs", "unit", "seeds")] == [3, 3, "seed", 3]
    ends = [row[f"to_scratch{end}"] for end in ("", "_low", "_high")]
    assert ends == pytest.approx([0.10, 0.10 - 0.0248414, 0.10 + 0.0248414], abs=1e-7)
    # Less A5B+, the fine-tuned one with the largest n: -0.02, -0.01, -0.03
    ends = [row[f"to_full{end}"] for end in ("", "_low", "_high")]
    assert ends == pytest.approx([-0.02, -0.02 - 0.0248414, -0.02 + 0.0248414], abs=1e-7)
    assert pd.isna(of(table, "AnB+", 5)["to_full"])
    assert pd.isna(of(table, "baseB", 0)["to_scratch"])
    assert of(table, "baseB", 0)["to_full"] == pytest.approx(-0.12)


def test_costs_are_those_of_the_records(three: Results):
    row = of(results.table(three, "choice"), "AnB", 5)

    costs = [row[k] for k in ("learning_parameters", "training_macs", "step_ms", "peak_mb")]
    assert costs == [600, 60, pytest.approx(2.0), pytest.approx(2.0)]  # of 1, 2 and 3 ms


def test_no_winner_is_named_that_the_intervals_do_not_carry(three: Results, tmp_path: Path):
    notes = results.table(three, "choice").attrs["notes"]
    # A3B less A5B+ is -0.02 -+ 0.0248, which holds 0; A3B+ -0.01, -0.01, -0.02 too; A5B -0.06,
    # -0.08, -0.06 does not. Less baseB, A5B is 0.06, 0.04, 0.06, and R3B -0.30, -0.29, -0.31
    assert (
        "A5B+ has the highest mean; the intervals cannot tell it apart from A3B, A3B+, and the "
        "cheapest of these takes 0.4 of its multiply-accumulates: A3B"
    ) in notes
    assert ("against training from scratch: above it A3B, A5B, A3B+, A5B+; below it R3B") in notes

    one = results.table(store(tmp_path, 1), "choice")
    assert (
        "A5B+ has the highest mean, of one repetition, which carries no comparison: train with "
        "further seeds"
    ) in one.attrs["notes"]
    assert not any("tell it apart" in note for note in one.attrs["notes"])


def test_the_line_joins_what_nothing_cheaper_exceeds(three: Results):
    best = choice.efficient(results.table(three, "choice"))

    assert list(zip(best["series"], best["n"], strict=True)) == [
        ("AnB", 5), ("AnB", 3), ("AnB+", 5)
    ]  # fmt: skip


def test_labels_in_the_figure_do_not_cover_each_other_or_a_marker(three: Results):
    figure = figures.draw(three, "choice")
    (axes,) = figure.axes
    figure.draw_without_rendering()
    renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    assert sorted(text.get_text() for text in axes.texts) == ["3", "3", "3", "5", "5"]
    boxes = [text.get_window_extent(renderer) for text in axes.texts]
    for place, box in enumerate(boxes):
        assert not any(Bbox.intersection(box, other) for other in boxes[place + 1 :])
    lines = [line for line in axes.lines if (line.get_gid() or "").startswith("points")]
    markers = [point for line in lines for point in axes.transData.transform(line.get_xydata())]
    assert len(markers) == 6
    assert not any(box.contains(*marker) for box in boxes for marker in markers)


def test_without_recorded_costs_there_is_nothing_to_choose_by(tmp_path: Path):
    for label in ("baseA", "baseB", "A3B"):
        finish(tmp_path, label, 0.7)

    table = results.table(results.load(tmp_path), "choice")
    assert table.empty
    assert "no finished run with a cut has the cost of a step" in table.attrs["notes"][0]
