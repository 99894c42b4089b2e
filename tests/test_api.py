"""`import transferlab`: what a notebook uses, imported at its first use."""

import ast
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import transferlab


def test_importing_the_package_imports_no_torch_and_lists_every_name():
    code = (
        "import sys, transferlab\n"
        "assert set(transferlab.__all__) <= set(dir(transferlab))\n"
        "transferlab.random_halves\n"
        "print(sorted({'torch', 'pandas', 'matplotlib', 'hydra'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout == "[]\n"


@pytest.mark.parametrize("name", transferlab.__all__)
def test_every_name_exists_and_is_documented(name: str):
    assert inspect.getdoc(getattr(transferlab, name))


def test_type_checkers_see_the_names_that_are_imported_lazily():
    (block,) = (
        node
        for node in ast.parse(Path(transferlab.__file__).read_text()).body
        if isinstance(node, ast.If)
    )
    seen = {
        alias.asname or alias.name: f"{node.module}:{alias.name}"
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert seen == transferlab._HOMES
    assert sorted(seen) == sorted(transferlab.__all__)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="'transferlab' has no attribute 'graftt'"):
        _ = transferlab.graftt


def test_the_docstring_uses_and_maps_what_exists():
    text = inspect.getdoc(transferlab) or ""
    package = Path(transferlab.__file__).parent
    rooms = {path.parent.name for path in package.glob("*/__init__.py")} | {"errors"}

    used = {name for name in transferlab.__all__ if f"transferlab.{name}(" in text}

    assert len(used) >= 6
    assert rooms == {
        line.split()[0] for line in text.split("test_imports.py):")[1].splitlines() if line
    }
