"""The notebook, executed as a user does, on stores in several states; and what lies in its file."""

import ast
import json
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from support.stores import finish, planned

from transferlab.errors import UserError
from transferlab.results import catalogue
from transferlab.results.page import report

NOTEBOOK = Path(__file__).parents[1] / "notebooks" / "results.ipynb"
SOURCES = [
    "".join(cell["source"])
    for cell in json.loads(NOTEBOOK.read_text())["cells"]
    if cell["cell_type"] == "code"
]


@pytest.fixture
def executed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Runs all cells on a store, in this process; the HTML that they show, by their source."""

    def execute(store: Path | str) -> dict[str, str]:
        monkeypatch.setenv("TRANSFERLAB_STORE", str(store))
        names: dict[str, Any] = {}
        return {source: _html(source, names) for source in SOURCES}

    return execute


def _html(source: str, names: dict[str, Any]) -> str:
    """What a cell shows, which is one statement; empty where that is not an expression."""
    if not isinstance(ast.parse(source).body[0], ast.Expr):
        exec(source, names)
        return ""
    return getattr(eval(source, names), "_repr_html_", str)()


# --- executed ------------------------------------------------------------------------------------


def test_it_shows_everything_of_a_small_store(executed, tmp_path: Path):
    for number, label in enumerate(("baseB", "A1B", "B1B", "A2B", "B2B", "A1B+", "B1B+")):
        finish(tmp_path / "runs", label, 0.8 - number / 20)

    shown = executed(tmp_path / "runs")

    assert "<dt>finished runs</dt><dd>7</dd>" in shown["report.summary(found)"]
    assert "Nothing is left out" in shown["report.missing(found)"]
    for name in ("figure2", "interpretation", "decomposition", "figure3"):
        assert shown[f'report.section(found, "{name}")'].count("<svg ") == 1, name
    table = shown['report.section(found, "table1")']
    assert "<td>AnB+ - BnB+</td>" in table
    # A1B+ is 0.55, B1B+ 0.5, and both are for the same half of one split
    assert '<td class="number" data-value="0.050000000000000044">5.0</td>' in table
    assert ">A1B+</td>" in shown['report.section(found, "runs")']
    assert "cpu: x86_64" in shown["report.sources(found)"]


def test_it_says_what_a_half_finished_store_lacks(executed, tmp_path: Path):
    place = tmp_path / "runs"
    planned(place, "quick", "A1B", "B1B", "A2B")
    finish(place, "baseB", 0.8)
    finish(place, "A1B", 0.7).result_file.write_text("{")

    shown = executed(place)

    summary, missing = shown["report.summary(found)"], shown["report.missing(found)"]
    assert "<dd>1 damaged, 3 missing</dd>" in summary
    assert "<td>0 of 1</td>" in summary
    assert "planned by study quick, not started" in missing
    assert "is damaged" in missing
    lacking = shown['report.section(found, "reduced")']
    assert "Nothing to draw yet: no finished run is a base network with fewer images" in lacking
    assert "baseB" in shown['report.section(found, "runs")']


def test_it_shows_the_published_networks(executed):
    shown = executed("published:yosinski2014")

    assert "<dd>6 at chance level, 22 missing</dd>" in shown["report.summary(found)"]
    for name in ("figure2", "interpretation", "decomposition", "figure3", "reduced", "curves"):
        assert "<svg " in shown[f'report.section(found, "{name}")'], name
    table = shown['report.section(found, "table1")']
    for pooled in ("1.6", "1.4", "1.8", "2.1", "1.7"):  # as printed in the paper
        assert f">{pooled}</td>" in table
    assert "training logs that the authors released" in shown["report.sources(found)"]


def test_a_missing_store_stops_it_with_what_to_do(executed, tmp_path: Path):
    with pytest.raises(UserError, match=r"nowhere is not a store: .*sweep \+study=quick"):
        executed(tmp_path / "nowhere")


def test_a_kernel_shows_the_same(executed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "jupyter"))
    finish(tmp_path / "runs", "baseB", 0.8)
    expected = executed(tmp_path / "runs")
    notebook = nbformat.read(NOTEBOOK, as_version=4)

    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": tmp_path}}).execute()

    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert not [
        out for cell in cells for out in cell.outputs if out.output_type != "execute_result"
    ]
    shown = ["".join(out.data["text/html"] for out in cell.outputs) for cell in cells]
    assert shown == list(expected.values())


# --- its file ------------------------------------------------------------------------------------


def test_its_outputs_are_stripped():
    for cell in json.loads(NOTEBOOK.read_text())["cells"]:
        if cell["cell_type"] == "code":
            assert (cell["outputs"], cell["execution_count"], cell["metadata"]) == ([], None, {})


@pytest.mark.parametrize("source", SOURCES)
def test_each_cell_is_one_statement_without_logic_or_numbers(source: str):
    (statement,) = ast.parse(source).body
    assert isinstance(statement, ast.ImportFrom | ast.Assign | ast.Expr)
    calls = [node for node in ast.walk(statement) if isinstance(node, ast.Call)]
    assert len(calls) == (0 if isinstance(statement, ast.ImportFrom) else 1)
    values = [node.value for node in ast.walk(statement) if isinstance(node, ast.Constant)]
    assert all(isinstance(value, str) for value in values)


def test_it_shows_every_plot_and_every_table():
    shown = [f'report.section(found, "{name}")' for name in report.section_names()]
    assert [source for source in SOURCES if "section(" in source] == shown
    whole = {name for name, exhibit in catalogue.EXHIBITS.items() if exhibit.part_of is None}
    assert whole - {*report.section_names()} == {"left_out"}
    assert "report.missing(found)" in SOURCES
