"""A machine whose file systems have no locks, for one process and its children.

The kernel answers `flock` with ENOSYS and record locks (`lockf`) with ENOLCK, as it does on Lustre
mounted without `flock` and on NFS without a lock daemon.
"""

import ctypes
import errno
import platform
import struct

CALLS = {"x86_64": (73, 72), "aarch64": (32, 25)}  # the numbers of flock and fcntl
SETLK = (6, 7, 37, 38)  # F_SETLK, F_SETLKW, F_OFD_SETLK, F_OFD_SETLKW
LOAD, JUMP_IF_EQUAL, RETURN = 0x20, 0x15, 0x06
NUMBER, SECOND_ARGUMENT = 0, 24  # offsets in seccomp_data
ALLOW, ERROR = 0x7FFF0000, 0x00050000


def refuse_locks() -> None:
    """For good, in this process."""
    flock, fcntl = CALLS[platform.machine()]
    commands = [(JUMP_IF_EQUAL, len(SETLK) - index, 0, cmd) for index, cmd in enumerate(SETLK)]
    program = [
        (LOAD, 0, 0, NUMBER),
        (JUMP_IF_EQUAL, len(SETLK) + 4, 0, flock),
        (JUMP_IF_EQUAL, 0, len(SETLK) + 1, fcntl),
        (LOAD, 0, 0, SECOND_ARGUMENT),
        *commands,
        (RETURN, 0, 0, ALLOW),
        (RETURN, 0, 0, ERROR | errno.ENOLCK),
        (RETURN, 0, 0, ERROR | errno.ENOSYS),
    ]
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in program))
    filters = struct.pack("HxxxxxxP", len(program), ctypes.addressof(code))
    library = ctypes.CDLL(None, use_errno=True)
    assert library.prctl(38, 1, 0, 0, 0) == 0  # PR_SET_NO_NEW_PRIVS
    assert library.prctl(22, 2, filters, 0, 0) == 0, ctypes.get_errno()  # PR_SET_SECCOMP
