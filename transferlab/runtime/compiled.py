"""Functions that are compiled on CUDA, where it pays off, and run eagerly elsewhere.

It pays off for a chain of elementwise operations on large tensors: eager torch reads and writes
memory once for each, the compiled function once for all. Networks are not compiled: convolutions
and matrix products remain calls of cuDNN and cuBLAS, Dropout's generator breaks the graph and its
step counter causes a recompilation at every step (pytorch issues 88576 and 128319), and every cut
in a pack would be compiled separately. On a CPU eager is as fast.
"""

import functools
import logging
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

import torch
from torch import Tensor

from transferlab.runtime import commands, folders, paths

log = logging.getLogger(__name__)
DEVICE = "cuda"
CACHE_VARIABLE = "TORCHINDUCTOR_CACHE_DIR"  # read by torch whenever it compiles
TORCHS_OWN = "torchinductor_"  # and the user's name

P = ParamSpec("P")
R = TypeVar("R")


def keep_in(cache: Path) -> None:
    """Keep compiled code in a folder of the cache that nobody else can write, since it is executed.

    torch's own choice, which it puts into the environment when it is imported, has a name in `/tmp`
    that everybody can guess. One that the user has set is left alone. If no cache will do, each
    process compiles anew.
    """
    if not Path(os.environ.get(CACHE_VARIABLE, TORCHS_OWN)).name.startswith(TORCHS_OWN):
        return
    folder = None
    for parent in (cache, paths.cache(None)):  # a shared one may not do; then the user's own
        try:
            folder = folders.private(parent / f"compiled-{os.geteuid()}")
            break
        except OSError as error:
            log.info("compiled code is not kept in %s: %s", parent, error)
    os.environ[CACHE_VARIABLE] = str(folder or tempfile.mkdtemp(prefix="transferlab-compiled-"))


def on_cuda(function: Callable[Concatenate[Tensor, P], R]) -> Callable[Concatenate[Tensor, P], R]:
    """`function`, compiled at its first call with a first argument on CUDA; once for the process.

    It must not change its arguments. If it cannot be compiled, for lack of a C compiler or of
    Triton, it runs eagerly, after one warning. Running out of memory is an error as usual.
    """
    compiled = functools.cache(lambda: torch.compile(function, fullgraph=True))
    failed = False

    @functools.wraps(function)
    def call(x: Tensor, *args: P.args, **kwargs: P.kwargs) -> R:
        nonlocal failed
        if x.device.type != DEVICE or failed:
            return function(x, *args, **kwargs)
        try:
            return compiled()(x, *args, **kwargs)
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # torch raises what its compilers raise
            result = function(x, *args, **kwargs)  # raises it again if compiling is not to blame
            failed = True
            reason = (str(error).strip().splitlines() or ["no reason given"])[0]
            log.warning(
                "%s cannot be compiled and runs slower (%s: %s): install a C compiler and Triton, "
                "or set %s",
                function.__qualname__,
                type(error).__name__,
                reason,
                commands.setting("runtime.compile", False),
            )
            return result

    return call
