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

from transferlab.errors import UserError
from transferlab.results import catalogue, figures, loading, tables
from transferlab.results.comparable import Experiment
from transferlab.results.figures import select
from transferlab.results.loading import Results
from transferlab.results.page import html, overview
from transferlab.results.page.html import Fragment
from transferlab.results.published import is_published

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
    return html.join(
        [
            html.facts(overview.facts(found, metric)),
            html.paragraph(catalogue.COVERAGE),
            html.table(counts) if len(counts) else "",
        ]
    )


def missing(found: Results) -> Fragment:
    """What is in no table or in no mean, each with its reason."""
    left = tables.left_out(found)
    if left.empty:
        return html.paragraph("Nothing is left out: every run there should be is finished.")
    return html.join(
        [
            html.paragraph(catalogue.TEXTS["left_out"]),
            html.table(left),
            html.data(left, "left_out"),
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
    pieces: list[str] = [html.paragraph(catalogue.TEXTS[name])]
    if name in figures.PLOTS:
        pieces += _figures(found, name, metric, published)
    if name in tables.TABLES:
        pieces += _table(tables.TABLES[name](found, metric), name)
    return html.join(pieces)


def sources(found: Results) -> Fragment:
    """Where the numbers are from."""
    return html.join(
        [
            html.paragraph(catalogue.PUBLISHED) if is_published(found.store) else "",
            html.facts(overview.provenance(found)),
        ]
    )


def page(found: Results, metric: str | None = None, *, published: bool = True) -> str:
    """Everything as one HTML page."""
    parts = {
        FIRST: ("Overview", summary(found, metric)),
        "left_out": (catalogue.TITLES["left_out"], missing(found)),
        **{
            name: (catalogue.TITLES[name], section(found, name, metric, published=published))
            for name in SECTIONS
        },
        LAST: ("Provenance", sources(found)),
    }
    script = _file("script.js")
    policy = (
        f"default-src 'none'; script-src 'sha256-{html.digest(script)}'; "
        "style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
    )
    return Template(_file("page.html")).substitute(
        policy=policy,
        title=escape(catalogue.TITLE),
        store=escape(found.store),
        subject=escape(catalogue.SUBJECT),
        style=_file("style.css"),
        script=script,
        contents="".join(_entry(name, title) for name, (title, _) in parts.items()),
        sections="\n".join(_part(name, title, body) for name, (title, body) in parts.items()),
    )


def _figures(found: Results, name: str, metric: str | None, published: bool) -> Iterator[str]:
    """The figure of every experiment, each with its data; what is lacking if there is none."""
    there = select.found(found, name, metric)
    if not there:
        yield html.lacking(f"Nothing to draw yet: no finished run {select.NEEDS[name][0]}.")
    for number, one in enumerate(there, 1):
        key = name if len(there) == 1 else f"{name}_{number}"
        data = _drawn(found, name, metric, one)
        if data.empty:
            yield html.lacking(f"Nothing to draw of {one.name}: no curve was kept.")
            continue
        try:
            drawn = figures.draw(found, name, metric, published, experiment=one.name)
        except UserError as error:
            yield html.lacking(str(error))
            continue
        yield html.figure(drawn, key, alt=f"{catalogue.TITLES[name]} ({one.name})")
        yield html.data(data, f"{key}_drawn")


def _drawn(found: Results, name: str, metric: str | None, one: Experiment) -> pd.DataFrame:
    """What a figure is drawn from: its networks, or their curves."""
    if name == "curves":
        return loading.curves(found, one.runs["id"])
    columns = [*DRAWN, select.metric_of(found, metric)]
    return one.runs[columns].sort_values(["series", "n", "split_seed"], ignore_index=True)


def _table(table: pd.DataFrame, name: str) -> Iterator[str]:
    if len(table):
        yield html.table(table)
    yield html.notes(table.attrs["notes"])
    if len(table):
        yield html.data(table, name)


def _entry(name: str, title: str) -> str:
    return f'<li><a href="#{name}">{escape(title.partition(":")[0])}</a></li>'


def _part(name: str, title: str, body: str) -> str:
    heading = f'<h2 id="{name}-title">{escape(title)}</h2>'
    return f'<section id="{name}" aria-labelledby="{name}-title">\n{heading}\n{body}\n</section>'


def _file(name: str) -> str:
    return (resources.files("transferlab.results.page") / name).read_text("utf-8")
