"""The Python API as it is shown: the example of README.md, and the tutorial as a user runs it."""

import json
import re
import textwrap
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

import transferlab
from transferlab.models.transfer import same_bits

ROOT = Path(__file__).parents[1]
TUTORIAL = ROOT / "notebooks" / "tutorial.ipynb"
pytestmark = pytest.mark.timeout(900)  # a minute of one core, and several on a busy machine


def test_the_example_runs_and_is_that_of_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    readme = (ROOT / "README.md").read_text()
    example, _ = re.findall(r"^```python\n(.*?)^```$", readme, re.MULTILINE | re.DOTALL)
    assert textwrap.indent(example, "    ") in (transferlab.__doc__ or "")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}

    exec(compile(example, "README.md", "exec"), names)

    first, second = (names[name].network.conv3.state_dict() for name in ("a3b", "base"))
    assert same_bits(first, second)
    assert names["a3b"].trainer.callback_metrics["val/accuracy"] > 0.8
    assert (tmp_path / "figure2.png").stat().st_size > 10_000


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What the tutorial's cells show, as text, by their last lines."""
    folder = tmp_path_factory.mktemp("tutorial")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR"):
            patch.setenv(name, str(folder / "jupyter"))
        patch.setenv("TRANSFERLAB_CACHE", str(folder / "cache"))
        notebook = nbformat.read(TUTORIAL, as_version=4)
        client = NotebookClient(notebook, timeout=300, resources={"metadata": {"path": folder}})
        client.execute()
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return {cell.source.splitlines()[-1]: shown(cell.outputs) for cell in cells}


def shown(outputs: list[Any]) -> str:
    """Values as text; of a picture its kind."""
    values = [output.data for output in outputs if output.output_type == "execute_result"]
    return "".join("image/png" if "image/png" in data else data["text/plain"] for data in values)


def test_the_tutorial_shows_what_it_speaks_of(outputs: dict[str, str]):
    assert outputs["half_a.classes, half_b.classes"].startswith("(('0', '1', '3', '7', '8'),")
    (stages,) = (text for line, text in outputs.items() if "transferlab.stages(" in line)
    assert stages.split().count("conv3") == 1
    assert outputs['transferlab.figure(results, "figure2")'] == "image/png"
    (losses,) = (text for line, text in outputs.items() if "losses.pivot(" in line)
    assert losses.split()[:4] == ["part", "co-adaptation", "specificity", "total"]
    assert losses.split()[-4:] == ["7", "-0.000", "0.082", "0.082"]


def test_the_tutorial_freezes_and_trains(outputs: dict[str, str]):
    (frozen,) = (text for line, text in outputs.items() if line.startswith("torch.equal(a3b."))
    assert frozen == "True"
    rows = [line.split() for line in outputs["pandas.DataFrame(scores).T"].splitlines()[1:]]
    accuracy = {label: float(value) for label, _, value in rows}
    assert list(accuracy) == ["baseB", "A3B", "A3B+", "B3B", "R3B"]
    assert min(accuracy.values()) > 0.6  # chance is 0.2


def test_the_outputs_of_the_tutorial_are_stripped():
    for cell in json.loads(TUTORIAL.read_text())["cells"]:
        if cell["cell_type"] == "code":
            assert (cell["outputs"], cell["execution_count"], cell["metadata"]) == ([], None, {})
