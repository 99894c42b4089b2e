"""Functions compiled on one kind of device: when, how often, and what a failure leads to."""

import logging
import os
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._dynamo.testing import CompileCounter

from transferlab.models import normalisation
from transferlab.runtime import compiled

NO_COMPILER = "Failed to find C compiler.\nPlease specify one"


class Compiler:
    """Stands in for `torch.compile`: counts, and has what it returns raise `error` if given."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error, self.compiled, self.called = error, 0, 0

    def __call__(self, function: Callable[..., Any], *, fullgraph: bool) -> Callable[..., Any]:
        assert fullgraph
        self.compiled += 1

        def call(*args: Any, **kwargs: Any) -> Any:
            self.called += 1
            if self.error is not None:
                raise self.error
            return function(*args, **kwargs)

        return call


def double(x: Tensor, times: int = 2) -> Tensor:
    if times < 0:
        raise ValueError(f"times={times}")
    return x * times


@pytest.fixture
def compiler(monkeypatch: pytest.MonkeyPatch) -> Compiler:
    """What `on_cuda` takes for torch's compiler, and this machine's CPU for its CUDA device."""
    made = Compiler()
    monkeypatch.setattr(torch, "compile", made)
    monkeypatch.setattr(compiled, "DEVICE", "cpu")
    return made


X = torch.tensor([1.0, 2.0])


def test_elsewhere_nothing_is_compiled(compiler: Compiler, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(compiled, "DEVICE", "cuda")
    assert compiled.on_cuda(double)(X, 3).tolist() == [3.0, 6.0]
    assert compiler.compiled == 0


def test_a_function_is_compiled_once_at_its_first_call(compiler: Compiler):
    function = compiled.on_cuda(double)
    assert compiler.compiled == 0
    assert function(X).tolist() == function(X, times=2).tolist() == [2.0, 4.0]
    assert (compiler.compiled, compiler.called) == (1, 2)
    assert function.__name__ == "double"


def test_a_function_that_cannot_be_compiled_runs_as_it_is_with_one_warning(
    compiler: Compiler, caplog: pytest.LogCaptureFixture
):
    compiler.error = RuntimeError(NO_COMPILER)
    function = compiled.on_cuda(double)
    assert function(X).tolist() == function(X).tolist() == [2.0, 4.0]
    assert compiler.called == 1
    assert [(r.levelno, r.getMessage()) for r in caplog.records] == [
        (
            logging.WARNING,
            "double cannot be compiled and runs slower (RuntimeError: Failed to find C compiler.): "
            "install a C compiler and Triton, or set runtime.compile=false",
        )
    ]


def test_an_error_of_the_functions_own_is_raised_and_it_stays_compiled(
    compiler: Compiler, caplog: pytest.LogCaptureFixture
):
    function = compiled.on_cuda(double)
    with pytest.raises(ValueError, match="times=-1"):
        function(X, -1)
    function(X)
    assert compiler.called == 2 and caplog.records == []


def test_want_of_memory_is_not_want_of_a_compiler(
    compiler: Compiler, caplog: pytest.LogCaptureFixture
):
    compiler.error = torch.OutOfMemoryError("CUDA out of memory")
    function = compiled.on_cuda(double)
    with pytest.raises(torch.OutOfMemoryError):
        function(X)
    compiler.error = None
    function(X)
    assert compiler.called == 2 and caplog.records == []


def test_a_few_graphs_of_normalisation_serve_all_shapes_of_a_training(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    graphs, plain = CompileCounter(), normalisation._normalised.__wrapped__  # type: ignore[attr-defined]
    torch._dynamo.reset()
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=graphs))
    monkeypatch.setattr(compiled, "DEVICE", "cpu")
    function = compiled.on_cuda(plain)
    for count in (8, 3, 1, 8, 5):  # training, validation and its last batch, another size
        for channels, side in ((96, 27), (256, 13)):
            with torch.inference_mode(count != 8):
                x = torch.rand(count, channels, side, side)
                x = x.contiguous(memory_format=torch.channels_last)
                assert torch.equal(function(x, 5, 1e-4, 0.75, 1.0), plain(x, 5, 1e-4, 0.75, 1.0))
    assert 1 <= graphs.frame_count <= 6  # torch refuses the ninth
    assert [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING] == []


def test_compiled_code_is_kept_where_nobody_else_can_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "/mine")
    compiled.keep_in(tmp_path)
    assert os.environ["TORCHINDUCTOR_CACHE_DIR"] == "/mine"

    # as torch has set it when it was imported
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", f"{tempfile.gettempdir()}/torchinductor_root")
    compiled.keep_in(tmp_path / "cache")
    folder = tmp_path / "cache" / f"compiled-{os.geteuid()}"
    assert os.environ["TORCHINDUCTOR_CACHE_DIR"] == str(folder)
    assert not folder.stat().st_mode & 0o022
    assert caplog.messages == []

    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", f"{tempfile.gettempdir()}/torchinductor_root")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "own"))
    (tmp_path / "cache").chmod(0o2775)  # it is shared: another user may replace the folder
    compiled.keep_in(tmp_path / "cache")
    own = tmp_path / "own" / "transferlab" / f"compiled-{os.geteuid()}"
    assert os.environ["TORCHINDUCTOR_CACHE_DIR"] == str(own)


def test_code_that_somebody_else_may_have_compiled_is_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR", raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for cache in (tmp_path / "cache", tmp_path / "transferlab"):
        (cache / f"compiled-{os.geteuid()}").mkdir(parents=True)
        (cache / f"compiled-{os.geteuid()}").chmod(0o777)

    caplog.set_level("INFO", "transferlab")
    compiled.keep_in(tmp_path / "cache")

    folder = Path(os.environ.pop("TORCHINDUCTOR_CACHE_DIR"))
    assert folder.name.startswith("transferlab-compiled-")
    assert "is not a folder that only you can write" in caplog.messages[0]
