"""Which layer: accuracy over multiply-accumulates of a training step, the efficient ones joined.

The points and their intervals are the rows of the table `choice`.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import product

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from matplotlib.transforms import Bbox

from transferlab.results import notes
from transferlab.results.exhibits import Selection
from transferlab.results.figures import select, style
from transferlab.results.figures.axes import accuracy_axis, intervals, title
from transferlab.results.figures.style import SERIES, Look
from transferlab.results.tables import choice

LOOKS = {**SERIES, "random": Look("random filters", style.PURPLE, "^")}
LINES = ("--", ":", "-.", "-")  # of the tasks
LABEL = 5.0  # points
LETTER = 0.62  # of a letter's height, its width
DISTANCES = (3.5, 5.0, 8.0, 12.0)  # points, of a label from its marker
ANGLES = 16
SAME = 0.02  # costs that differ by less are drawn side by side
STEP = 0.022  # of the width of the axes, between them
ROOM = 0.06  # of the height, above and below


def draw(axes: Axes, selection: Selection, published: Selection | None) -> list[str]:
    """Accuracies in percent against multiply-accumulates of an image, logarithmic."""
    table = choice.build(selection)
    points = table.dropna(subset="mean").reset_index(drop=True)
    points = points.assign(x=_side_by_side(points), y=100 * points["mean"])
    for series, look in LOOKS.items():
        rows = points[points["series"] == series]
        if len(rows):
            x = rows["x"].to_numpy(dtype=float)
            intervals(axes, x, 100 * rows["low"], 100 * rows["high"], look, f"t {series}")
            style.points(axes, x.tolist(), rows["y"].tolist(), look, f"points {series}")
            style.name(axes, replace(look, line="none"))
    several = len(points[choice.TASK].drop_duplicates()) > 1
    for line, (task, rows) in zip(LINES, points.groupby(choice.TASK, sort=False), strict=False):
        name = f"efficient, {', '.join(map(str, task[1:]))}" if several else "efficient"
        best = efficient(rows)
        axes.plot(best["x"], best["y"], line, color=style.DARK_GREY, linewidth=style.THIN,
                  zorder=1.8, gid=name, label=name)  # fmt: skip
    if points["low"].notna().any():
        style.name_once(axes, "95 % interval", color=style.DARK_GREY, linewidth=style.THIN)
    _scales(axes, points, selection.metric)
    title(axes, selection.experiment.name, selection.metric)
    _labels(axes, points[points["n"] > 0].reset_index(drop=True))
    caption = "Numbers at the markers are n; what costs the same is drawn side by side."
    return [caption, *_sentences(selection, table), *select.left_out(selection)]


def efficient(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows that have a higher mean than all that are as cheap or cheaper, by cost."""
    ordered = rows.sort_values(["training_macs", "mean"], ascending=[True, False])
    return ordered[ordered["mean"] > ordered["mean"].cummax().shift(fill_value=-math.inf)]


def _side_by_side(points: pd.DataFrame) -> list[float]:
    """x of every point: its cost, but those of about one cost in a row around it, by n."""
    costs = points["training_macs"].astype(float)
    span = max(math.log10(costs.max() / costs.min()), 0.3) if len(costs) else 0.3
    x = costs.tolist()
    ordered = costs.sort_values().index
    group: list[int] = []
    for place, index in enumerate(ordered):
        group.append(index)
        following = ordered[place + 1] if place + 1 < len(ordered) else None
        if following is None or costs[following] > costs[group[0]] * (1 + SAME):
            members = sorted(group, key=lambda i: (points["n"][i], points["series"][i]))
            for position, member in enumerate(members):
                shift = (position - (len(members) - 1) / 2) * STEP * span
                x[member] = costs[member] * 10**shift
            group = []
    return x


def _scales(axes: Axes, points: pd.DataFrame, metric: str) -> None:
    axes.set_xscale("log")
    if len(points):
        low, high = points["x"].min(), points["x"].max()
        margin = max(0.08 * math.log10(high / low), 0.05)
        axes.set_xlim(low / 10**margin, high * 10**margin)
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(FuncFormatter(_short))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("multiply-accumulates of a training step, per image")
    accuracy_axis(axes, metric)
    low, high = axes.get_ylim()
    axes.set_ylim(low - ROOM * (high - low), high + ROOM * (high - low))


def _short(value: float, place: object) -> str:
    """`200M`, `1G`."""
    for unit, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= unit:
            return f"{value / unit:g}{letter}"
    return f"{value:g}"


def _sentences(selection: Selection, table: pd.DataFrame) -> Iterator[str]:
    """What the intervals are over and allow to say."""
    runs = choice.tasks(selection)
    for note in (*choice.verdicts(runs, table), *notes.repetition(table)):
        yield f"{note[0].upper()}{note[1:]}."


# --- labels that do not collide -----------------------------------------------------------------


def _labels(axes: Axes, points: pd.DataFrame) -> None:
    """The n of every point, at the nearest place that is free; with a line if it is far."""
    markers = axes.transData.transform(points[["x", "y"]].to_numpy(dtype=float)) * _points(axes)
    taken = [_box(x, y, 2 * style.MARKER / 2, 2 * style.MARKER / 2) for x, y in markers]
    taken += list(_bars(axes, points))
    inside = Bbox(axes.get_window_extent().get_points() * _points(axes))
    for index in points["y"].sort_values(ascending=False).index:
        row, (x, y) = points.loc[index], markers[index]
        text = str(row["n"])
        half = LETTER * LABEL * len(text) / 2, LABEL / 2 + 0.5
        best = min(_places(x, y, half), key=lambda place: _cost(place, half, taken, inside, (x, y)))
        taken.append(_box(*best, *half))
        far = math.hypot(best[0] - x, best[1] - y) > DISTANCES[1] + half[0]
        axes.annotate(
            text, (row["x"], row["y"]), (best[0] - x, best[1] - y), textcoords="offset points",
            fontsize=LABEL, ha="center", va="center", color=LOOKS[row["series"]].colour, zorder=4,
            arrowprops={"arrowstyle": "-", "linewidth": 0.3, "color": style.GREY} if far else None,
        )  # fmt: skip


def _points(axes: Axes) -> float:
    """Points in a pixel."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    return 72 / figure.dpi


def _bars(axes: Axes, points: pd.DataFrame) -> Iterator[Bbox]:
    """The places of the intervals."""
    known = points.dropna(subset=["low", "high"])
    for x, low, high in known[["x", "low", "high"]].itertuples(index=False):
        (left, bottom), (_, top) = axes.transData.transform([(x, 100 * low), (x, 100 * high)])
        scale = _points(axes)
        yield Bbox([[left * scale - 0.5, bottom * scale], [left * scale + 0.5, top * scale]])


def _places(x: float, y: float, half: tuple[float, float]) -> Iterator[tuple[float, float]]:
    """Centres for a label around a marker, the nearest first."""
    for distance, turn in product(DISTANCES, range(ANGLES)):
        angle = 2 * math.pi * turn / ANGLES
        yield x + (distance + half[0]) * math.cos(angle), y + (distance + 1) * math.sin(angle)


def _cost(
    place: tuple[float, float],
    half: tuple[float, float],
    taken: Sequence[Bbox],
    inside: Bbox,
    marker: tuple[float, float],
) -> float:
    """How bad a place is: what it covers, in square points, then how far it is."""
    box = _box(*place, *half)
    covered = sum(_area(Bbox.intersection(box, other)) for other in taken)
    outside = box.width * box.height - _area(Bbox.intersection(box, inside))
    distance = math.hypot(place[0] - marker[0], place[1] - marker[1])
    return 10 * (covered + outside) + distance


def _area(box: Bbox | None) -> float:
    return 0.0 if box is None else box.width * box.height


def _box(x: float, y: float, half_width: float, half_height: float) -> Bbox:
    return Bbox([[x - half_width, y - half_height], [x + half_width, y + half_height]])
