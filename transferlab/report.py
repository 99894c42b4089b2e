"""A store's results as one page, and its parts for a notebook: tables, figures, what is missing.

The page is one file that asks nobody for anything: style, script, figures and data are in it, and
its content security policy forbids the rest. The same store gives the same page. What a store does
not have yet is said where it would be shown.
"""

import os
from collections.abc import Iterator
from html import escape
from importlib import resources
from pathlib import Path
from string import Template

import pandas as pd

from transferlab import explanations, fragments, overview, plots, results, tables
from transferlab.errors import UserError
from transferlab.experiments import Experiment
from transferlab.fragments import Fragment
from transferlab.plots import choice
from transferlab.published import is_published
from transferlab.results import Results

SECTIONS = (
    "figure2", "interpretation", "decomposition", "table1", "figure3", "reduced", "curves", "runs",
)  # fmt: skip
FIRST, LAST = "overview", "provenance"
DRAWN = ("id", "label", "series", "n", "target", "split", "split_seed", "seed", "data.per_class",
         "learned")  # fmt: skip


def default_store() -> str:
    """TRANSFERLAB_STORE, else `runs` here or, as it is for a notebook in its folder, above."""
    above = Path("..", "runs")
    beside = above.is_dir() and not Path("runs").is_dir()
    return os.environ.get("TRANSFERLAB_STORE") or (str(above) if beside else "runs")


def summary(found: Results, metric: str | None = None) -> Fragment:
    """What the store holds and how much of it is finished."""
    metric = tables.left_out(found, metric).attrs["metric"]
    counts = overview.coverage(found)
    return fragments.join(
        [
            fragments.facts(overview.facts(found, metric)),
            fragments.paragraph(explanations.COVERAGE),
            fragments.table(counts) if len(counts) else "",
        ]
    )


def missing(found: Results) -> Fragment:
    """What is in no table or in no mean, each with its reason."""
    left = tables.left_out(found)
    if left.empty:
        return fragments.paragraph("Nothing is left out: every run there should be is finished.")
    return fragments.join(
        [
            fragments.paragraph(explanations.TEXTS["left_out"]),
            fragments.table(left),
            fragments.data(left, "left_out"),
        ]
    )


def section(
    found: Results, name: str, metric: str | None = None, *, published: bool = True
) -> Fragment:
    """One of SECTIONS: what it is, its figures, its table, and the data of both.

    `published` draws the paper's networks behind one's own. Raises: UserError for another name.
    """
    if name not in SECTIONS:
        raise UserError(f"section={name} is not there: choose one of {', '.join(SECTIONS)}")
    pieces: list[str] = [fragments.paragraph(explanations.TEXTS[name])]
    if name in plots.PLOTS:
        pieces += _figures(found, name, metric, published)
    if name in tables.TABLES:
        pieces += _table(tables.TABLES[name](found, metric), name)
    return fragments.join(pieces)


def sources(found: Results) -> Fragment:
    """Where the numbers are from."""
    return fragments.join(
        [
            fragments.paragraph(explanations.PUBLISHED) if is_published(found.store) else "",
            fragments.facts(overview.provenance(found)),
        ]
    )


def page(found: Results, metric: str | None = None, *, published: bool = True) -> str:
    """Everything as one HTML page."""
    parts = {
        FIRST: ("Overview", summary(found, metric)),
        "left_out": (explanations.TITLES["left_out"], missing(found)),
        **{
            name: (explanations.TITLES[name], section(found, name, metric, published=published))
            for name in SECTIONS
        },
        LAST: ("Provenance", sources(found)),
    }
    script = _file("script.js")
    policy = (
        f"default-src 'none'; script-src 'sha256-{fragments.digest(script)}'; "
        "style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
    )
    return Template(_file("page.html")).substitute(
        policy=policy,
        title=escape(explanations.TITLE),
        store=escape(found.store),
        subject=escape(explanations.SUBJECT),
        style=_file("style.css"),
        script=script,
        contents="".join(_entry(name, title) for name, (title, _) in parts.items()),
        sections="\n".join(_part(name, title, body) for name, (title, body) in parts.items()),
    )


def _figures(found: Results, name: str, metric: str | None, published: bool) -> Iterator[str]:
    """The figure of every experiment, each with its data; what is lacking if there is none."""
    there = choice.found(found, name, metric)
    if not there:
        yield fragments.lacking(f"Nothing to draw yet: no finished run {choice.NEEDS[name][0]}.")
    for number, one in enumerate(there, 1):
        key = name if len(there) == 1 else f"{name}_{number}"
        data = _drawn(found, name, metric, one)
        if data.empty:
            yield fragments.lacking(f"Nothing to draw of {one.name}: no curve was kept.")
            continue
        try:
            drawn = plots.draw(found, name, metric, published, experiment=one.name)
        except UserError as error:
            yield fragments.lacking(str(error))
            continue
        yield fragments.figure(drawn, key, alt=f"{explanations.TITLES[name]} ({one.name})")
        yield fragments.data(data, f"{key}_drawn")


def _drawn(found: Results, name: str, metric: str | None, one: Experiment) -> pd.DataFrame:
    """What a figure is drawn from: its networks, or their curves."""
    if name == "curves":
        return results.curves(found, one.runs["id"])
    columns = [*DRAWN, choice.metric_of(found, metric)]
    return one.runs[columns].sort_values(["series", "n", "split_seed"], ignore_index=True)


def _table(table: pd.DataFrame, name: str) -> Iterator[str]:
    if len(table):
        yield fragments.table(table)
    yield fragments.notes(table.attrs["notes"])
    if len(table):
        yield fragments.data(table, name)


def _entry(name: str, title: str) -> str:
    return f'<li><a href="#{name}">{escape(title.partition(":")[0])}</a></li>'


def _part(name: str, title: str, body: str) -> str:
    heading = f'<h2 id="{name}-title">{escape(title)}</h2>'
    return f'<section id="{name}" aria-labelledby="{name}-title">\n{heading}\n{body}\n</section>'


def _file(name: str) -> str:
    return (resources.files("transferlab") / "page" / name).read_text("utf-8")
