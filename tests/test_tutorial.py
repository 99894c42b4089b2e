"""The Python API as it is shown: the example of README.md, and the tutorial as a user runs it."""

import ast
import json
import re
import textwrap
from pathlib import Path
from typing import Any

import nbformat
import pytest
import torch
from nbclient import NotebookClient

import transferlab
from transferlab.models.transfer import same_bits

ROOT = Path(__file__).parents[1]
TUTORIAL = ROOT / "notebooks" / "tutorial.ipynb"


def test_the_example_runs_and_is_that_of_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    readme = (ROOT / "README.md").read_text()
    example, _ = re.findall(r"^```python\n(.*?)^```$", readme, re.MULTILINE | re.DOTALL)
    assert textwrap.indent(example, "    ") in (transferlab.__doc__ or "")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}

    torch.manual_seed(0)
    exec(compile(example.replace("max_epochs=3", "max_epochs=2"), "README.md", "exec"), names)

    first, second = (names[name].network.conv3.state_dict() for name in ("a3b", "base"))
    assert same_bits(first, second)
    assert names["a3b"].trainer.callback_metrics["val/accuracy"] > 0.6  # chance is 0.2
    assert (tmp_path / "figure2.png").stat().st_size > 10_000


CELLS = [
    "".join(cell["source"])
    for cell in json.loads(TUTORIAL.read_text())["cells"]
    if cell["cell_type"] == "code"
]
MAGIC = "%matplotlib inline\n"


@pytest.fixture(scope="module")
def values(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The values that the tutorial's cells show, by their last lines; fewer epochs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRANSFERLAB_CACHE", str(tmp_path_factory.mktemp("tutorial") / "cache"))
        torch.manual_seed(0)
        names: dict[str, Any] = {}
        return {cell.splitlines()[-1]: value(quickly(cell), names) for cell in CELLS}


def quickly(cell: str) -> str:
    return (
        cell.removeprefix(MAGIC)
        .replace("max_epochs=15", "max_epochs=4")
        .replace("max_epochs=5", "max_epochs=2")
    )


def value(cell: str, names: dict[str, Any]) -> Any:
    """Execute a cell; the value of its last statement, None if that is not an expression."""
    *statements, last = ast.parse(cell).body
    body = statements if isinstance(last, ast.Expr) else [*statements, last]
    exec(compile(ast.Module(body, []), "tutorial.ipynb", "exec"), names)
    return eval(ast.unparse(last), names) if isinstance(last, ast.Expr) else None


def test_the_tutorial_shows_what_it_speaks_of(values: dict[str, Any]):
    (halves,) = (
        shown for line, shown in values.items() if line == "half_a.classes, half_b.classes"
    )
    assert halves[0] == ("0", "1", "3", "7", "8")
    (stages,) = (shown for line, shown in values.items() if "transferlab.stages(" in line)
    assert list(stages["name"]).count("conv3") == 1
    (losses,) = (shown for line, shown in values.items() if "losses.pivot(" in line)
    assert list(losses.columns) == ["co-adaptation", "specificity", "total"]
    assert list(losses.loc[7]) == [0, 0.082, 0.082]


def test_the_tutorial_freezes_and_trains(values: dict[str, Any]):
    (frozen,) = (shown for line, shown in values.items() if line.startswith("torch.equal(a3b."))
    assert frozen is True
    accuracy = values["pandas.DataFrame(scores).T"]["val/accuracy"]
    assert list(accuracy.index) == ["baseB", "A3B", "A3B+", "B3B", "R3B"]
    assert min(accuracy.drop("R3B")) > 0.6  # chance is 0.2


def test_a_kernel_shows_the_figure_of_the_tutorial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "jupyter"))
    (drawn,) = (cell for cell in CELLS if "transferlab.figure(" in cell)
    cells = [
        nbformat.v4.new_code_cell(MAGIC + "import transferlab"),
        nbformat.v4.new_code_cell(drawn),
    ]
    notebook = nbformat.v4.new_notebook(cells=cells)

    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": tmp_path}}).execute()

    assert CELLS[0].startswith(MAGIC)
    (shown,) = notebook.cells[1].outputs
    assert shown.output_type == "execute_result" and "image/png" in shown.data


def test_the_outputs_of_the_tutorial_are_stripped():
    for cell in json.loads(TUTORIAL.read_text())["cells"]:
        if cell["cell_type"] == "code":
            assert (cell["outputs"], cell["execution_count"], cell["metadata"]) == ([], None, {})
