"""A store's results as one page, and its parts for a notebook: tables, figures, what is missing.

The page is one self-contained file: style, script, figures and data are in it, and its content
security policy forbids the rest. The same store gives the same page. A sentence replaces what the
store does not have yet.
"""

from collections.abc import Iterator
from dataclasses import replace
from html import escape
from importlib import resources
from pathlib import Path
from string import Template

import pandas as pd

from transferlab.errors import UserError
from transferlab.results import catalogue, comparable, figures
from transferlab.results.exhibits import Selection
from transferlab.results.loading import Results, judged
from transferlab.results.metrics import metric_of
from transferlab.results.page import html, overview
from transferlab.results.page.html import Fragment
from transferlab.results.published import is_published
from transferlab.results.sharing import Sharing
from transferlab.runtime import environment

LEFT_OUT = "left_out"  # has a section of its own, before the other exhibits


def default_store() -> str:
    """TRANSFERLAB_STORE, else `runs` here or in the parent folder, as for a notebook."""
    above = Path("..", "runs")
    beside = above.is_dir() and not Path("runs").is_dir()
    return environment.value(environment.STORE) or (str(above) if beside else "runs")


def section_names() -> tuple[str, ...]:
    """The exhibits with a section of their own, in order."""
    return tuple(
        name
        for name, exhibit in catalogue.EXHIBITS.items()
        if name != LEFT_OUT and exhibit.part_of is None
    )


def summary(results: Results, metric: str | None = None, *, with_paths: bool = False) -> Fragment:
    """What the store holds and how much of it is finished. `with_paths`: see `page`."""
    counts, store = overview.coverage(results), _store(results, with_paths)
    return html.join(
        [
            html.facts(overview.facts(results, metric_of(metric, results.metric), store=store)),
            html.paragraph(catalogue.COVERAGE),
            html.table(counts) if len(counts) else "",
        ]
    )


def missing(results: Results, *, with_paths: bool = False) -> Fragment:
    """What is in no table or in no mean, each with its reason. `with_paths`: see `page`."""
    if results.left_out.empty:
        return html.paragraph("Nothing is left out: every expected run is finished.")
    return section(results, LEFT_OUT, with_paths=with_paths)


def section(
    results: Results,
    name: str,
    metric: str | None = None,
    *,
    published: bool | None = None,
    experiment: str | None = None,
    with_paths: bool = False,
) -> Fragment:
    """An exhibit: its explanation, its figures, its table, and the data of both.

    `published` draws the paper's networks behind one's own; None: where data and network are the
    paper's. `experiment`: the id or a part of the name of the only one to be shown. `with_paths`:
    see `page`. Raises: UserError for another name, or an experiment that is unknown or ambiguous.
    """
    if name not in catalogue.EXHIBITS:
        known = ", ".join(section_names())
        raise UserError(f"section={name} is unknown: choose one of {known}")
    exhibit = catalogue.EXHIBITS[name]
    pieces: list[str] = [html.paragraph(exhibit.text)]
    if exhibit.figure is not None:
        pieces += _figures(catalogue.select(results, name, metric, experiment), name, published)
    if exhibit.table is not None:
        table = catalogue.table(results, name, metric, experiment=experiment)
        pieces += _table(table if with_paths else Sharing(results).table(table), name)
    return html.join(pieces)


def sources(results: Results, *, with_paths: bool = False) -> Fragment:
    """The provenance of the numbers. `with_paths`: see `page`."""
    store = _store(results, with_paths)
    return html.join(
        [
            html.paragraph(catalogue.PUBLISHED) if is_published(results.store) else "",
            html.facts(overview.provenance(results, store=store, hosts=with_paths)),
        ]
    )


def page(
    results: Results,
    metric: str | None = None,
    *,
    published: bool | None = None,
    experiment: str | None = None,
    with_paths: bool = False,
) -> str:
    """Everything as one HTML page. Arguments as for `section`.

    `with_paths`: hosts and folders are named as the store records them. They are left out by
    default, since a page is made to be sent around.
    """
    shown = results = judged(results, metric_of(metric, results.metric))
    if experiment is not None:
        one = comparable.chosen(results.experiments, experiment)
        shown, experiment = catalogue.only(results, one), one.id
    parts = {
        "overview": ("Overview", summary(shown, metric, with_paths=with_paths)),
        LEFT_OUT: (catalogue.EXHIBITS[LEFT_OUT].title, missing(shown, with_paths=with_paths)),
        **{
            name: (
                catalogue.EXHIBITS[name].title,
                section(
                    results,
                    name,
                    metric,
                    published=published,
                    experiment=experiment,
                    with_paths=with_paths,
                ),
            )
            for name in section_names()
        },
        "provenance": ("Provenance", sources(shown, with_paths=with_paths)),
    }
    script = _file("script.js")
    policy = (
        f"default-src 'none'; script-src 'sha256-{html.digest(script)}'; "
        "style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
    )
    return Template(_file("page.html")).substitute(
        policy=policy,
        title=escape(catalogue.TITLE),
        store=html.text(_store(results, with_paths)),
        data=html.facts(overview.data_sets(shown)),
        subject=escape(catalogue.SUBJECT),
        style=_file("style.css"),
        script=script,
        contents="".join(_entry(name, title) for name, (title, _) in parts.items()),
        sections="\n".join(_part(name, title, body) for name, (title, body) in parts.items()),
    )


def _store(results: Results, with_paths: bool) -> str:
    return results.store if with_paths else Sharing(results).store


def _figures(selection: Selection, name: str, published: bool | None) -> Iterator[str]:
    """The figure of every experiment, each with its data; a sentence if there is none."""
    if not selection.experiments:
        yield html.placeholder(f"Nothing to draw yet: {selection.nothing}.")
    for number, experiment in enumerate(selection.experiments, 1):
        key = name if len(selection.experiments) == 1 else f"{name}_{number}"
        shown = replace(selection, experiments=(experiment,))
        figure = figures.draw_selection(shown, name, published)
        yield html.figure(figure, key, alt=f"{selection.exhibit.title} ({experiment.name})")
        yield html.data(selection.exhibit.drawn(shown), f"{key}_drawn")


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
