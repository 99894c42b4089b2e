"""Other users of this machine, for tests marked `root`: they need no account.

A process that becomes another user may write only what that user may. To read, it may keep root's
right to look anywhere, since the interpreter and its packages may lie in a folder of root's.
"""

import ctypes
import os
import pickle
import struct
import sys
from collections.abc import Callable
from typing import Any, NoReturn, TypeVar

GROUP = 3000
ALICE, BOB = 2001, 2002
T = TypeVar("T")
READ_ANYTHING = 1 << 2  # CAP_DAC_READ_SEARCH
KEEP_CAPABILITIES = 8  # PR_SET_KEEPCAPS


def as_user(user: int, function: Callable[..., T], *arguments: Any, umask: int = 0o022) -> T:
    """What the function returns or raises in a process of that user, who is in GROUP.

    The modules that it needs must have been imported.
    """
    receive, send = os.pipe()
    if (child := os.fork()) == 0:
        _answer(send, user, umask, function, arguments)
    os.close(send)
    with open(receive, "rb") as file:
        content = file.read()
    os.waitpid(child, 0)
    result, error = pickle.loads(content)
    if error is not None:
        raise error
    return result  # type: ignore[no-any-return]


def _answer(
    send: int, user: int, umask: int, function: Callable[..., Any], arguments: tuple[Any, ...]
) -> NoReturn:
    try:
        become(user, umask=umask)
        content = pickle.dumps((function(*arguments), None))
    except BaseException as raised:
        raised.__traceback__ = raised.__cause__ = raised.__context__ = None
        content = pickle.dumps((None, raised))
    with open(send, "wb") as file:
        file.write(content)
    os._exit(0)


def become(user: int, *, umask: int = 0o022, reads: bool = False) -> None:
    """Make this process one of that user in GROUP, for good; `reads`: it may read anything."""
    os.umask(umask)
    os.setgroups([])
    os.setresgid(GROUP, GROUP, GROUP)
    library = ctypes.CDLL(None, use_errno=True)
    if reads:
        library.prctl(KEEP_CAPABILITIES, 1, 0, 0, 0)
    os.setresuid(user, user, user)
    if reads:
        header = struct.pack("Ii", 0x20080522, 0)  # _LINUX_CAPABILITY_VERSION_3, this process
        data = struct.pack("6I", READ_ANYTHING, READ_ANYTHING, 0, 0, 0, 0)
        if library.capset(header, data):
            sys.exit(os.strerror(ctypes.get_errno()))
