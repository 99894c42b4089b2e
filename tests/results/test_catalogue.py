"""The catalogue: one entry is all that a table or a figure needs to be known everywhere."""

from pathlib import Path

import pytest
from support.stores import finish

from transferlab import results
from transferlab.cli import report as report_command
from transferlab.cli import results as results_command
from transferlab.errors import UserError
from transferlab.results import catalogue, figures
from transferlab.results.exhibits import Exhibit

TOY = """
from transferlab.results.tables.frame import frame

def build(selection):
    runs = selection.experiment.runs
    return frame(selection, ("label", "accuracy"), runs.to_dict("records"), percent=("accuracy",))

def draw(axes, selection, published):
    runs = selection.experiment.runs
    axes.plot(runs["n"], runs["accuracy"], gid="toy")
    return ["A note of the toy."]
"""


@pytest.fixture
def store(tmp_path: Path) -> Path:
    finish(tmp_path / "runs", "baseB", 0.8)
    finish(tmp_path / "runs", "A3B", 0.75)
    return tmp_path / "runs"


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One file and one entry."""
    (tmp_path / "toy.py").write_text(TOY)
    monkeypatch.syspath_prepend(str(tmp_path))
    import toy  # type: ignore[import-not-found]

    exhibit = Exhibit(
        title="Toy: accuracies",
        text="What the toy shows.",
        select=catalogue.EXHIBITS["figure3"].select,
        nothing="no run is a toy",
        table=toy.build,
        figure="toy:draw",
    )
    monkeypatch.setitem(catalogue.EXHIBITS, "toy", exhibit)


@pytest.mark.usefixtures("toy")
def test_an_entry_is_a_table_of_the_command(store: Path, capsys: pytest.CaptureFixture[str]):
    assert results_command.run(["--store", str(store), "--table", "toy"]) == 0

    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Toy: top1_final"
    assert [line.split() for line in lines[4:6]] == [["A3B", "75.00"], ["baseB", "80.00"]]


@pytest.mark.usefixtures("toy")
def test_an_entry_is_a_plot_of_the_command(store: Path):
    path = store / "toy.svg"

    assert results_command.run(["--store", str(store), "--plot", "toy", "--out", str(path)]) == 0

    picture = path.read_text()
    assert '<g id="toy">' in picture and "A note of the toy." in picture


@pytest.mark.usefixtures("toy")
def test_an_entry_is_a_section_of_the_page(store: Path, tmp_path: Path):
    path = tmp_path / "page.html"

    assert report_command.run(["--store", str(store), "--out", str(path)]) == 0

    page = path.read_text()
    assert '<section id="toy"' in page and "What the toy shows." in page
    assert '<figure id="toy-figure"' in page and 'download="toy.csv"' in page


@pytest.mark.usefixtures("toy")
def test_an_entry_is_offered_in_help_and_errors(capsys: pytest.CaptureFixture[str]):
    for flag in ("--table", "--plot"):
        with pytest.raises(UserError, match=f"{flag} other is unknown: choose one of .*, toy$"):
            results_command.run([flag, "other"])
    with pytest.raises(SystemExit):
        results_command.run(["--help"])
    assert capsys.readouterr().out.count(" toy") == 2


def test_a_table_and_a_figure_of_one_name_show_the_same_runs(store: Path):
    finish(store, "A3B", 0.7, {"transfer.keep": 1})
    found = results.load(store)
    for name in set(catalogue.table_names()) & set(catalogue.figure_names()):
        table = results.table(found, name)
        drawn = [part.name for part in catalogue.select(found, name).experiments]
        assert list(table["experiment"].unique()) == drawn, name


def test_every_exhibit_has_its_own_text_and_a_builder():
    for name, exhibit in catalogue.EXHIBITS.items():
        assert exhibit.table is not None or exhibit.figure is not None, name
    texts = {exhibit.text for exhibit in catalogue.EXHIBITS.values()}
    titles = {exhibit.title for exhibit in catalogue.EXHIBITS.values()}
    assert len(texts) == len(titles) == len(catalogue.EXHIBITS)


def test_unknown_exhibits_are_refused_with_the_known_ones(store: Path):
    found = results.load(store)
    with pytest.raises(UserError, match="table=curves is unknown: choose one of figure2"):
        results.table(found, "curves")
    with pytest.raises(UserError, match="--plot table1 is unknown: choose one of figure2"):
        figures.draw(found, "table1")
