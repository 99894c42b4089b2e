"""Processes forked from one that has imported what they need, in place of new interpreters.

To import torch and Lightning takes seconds, a fork hundredths of one, and what was imported is in
memory once. A forked process is as `python -m MODULE ARGUMENTS` would be: its own environment,
folder, streams and process group, signals held back as in `signals.held_back`, its own exit status.
It has none of the launcher's files, locks or threads. `multiprocessing`'s fork server gives its
processes neither streams nor an environment, and imports the launcher's main module in them.

`python -m transferlab.runtime.preloaded MODULE...` is the server. It runs one thread and holds no
lock. Its standard input is the socket of the launcher, and it ends when that closes.
"""

import atexit
import contextlib
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, NoReturn

from transferlab.errors import RunFailed
from transferlab.runtime import output, provenance, signals

WORD = 8  # bytes of a number that is sent
LOST = -signal.SIGKILL  # the code of a process whose end nobody could report
FILES = 3  # sent with a request: the report, stdin, and stdout with stderr


def available() -> bool:
    """Whether processes can be forked here: macOS kills some that have loaded its frameworks."""
    return hasattr(os, "fork") and hasattr(socket, "send_fds") and sys.platform != "darwin"


# --- the launcher's side ------------------------------------------------------------------------


class Server(AbstractContextManager["Server"]):
    """The server, from its first process on until the end of the block.

    `modules` are those that it imports; `environment` is that in which it does, of which libraries
    read some variables only then, such as `OMP_NUM_THREADS`.
    """

    def __init__(self, modules: Sequence[str], environment: Mapping[str, str]) -> None:
        self.modules, self.environment = modules, environment
        self.server: subprocess.Popen[bytes] | None = None
        self.socket: socket.socket | None = None

    def start(
        self,
        module: str,
        arguments: Sequence[str],
        *,
        stdin: int,
        log: int,
        environment: Mapping[str, str],
    ) -> "Process":
        """A process that runs `python -m MODULE ARGUMENTS` in a group of its own, with these file
        descriptors. It has started when the server has imported its modules."""
        words = [module, list(arguments), dict(environment), os.getcwd()]
        request = json.dumps(words).encode()
        ours, theirs = socket.socketpair()
        with theirs:
            files = [theirs.fileno(), stdin, log]
            try:
                self._send(request, files)
            except OSError:  # the server was killed
                self.close()
                self._send(request, files)
        return Process(ours)

    def _send(self, request: bytes, files: Sequence[int]) -> None:
        if self.socket is None:
            self._launch()
        assert self.socket is not None
        socket.send_fds(self.socket, [len(request).to_bytes(WORD)], files)
        self.socket.sendall(request)

    def _launch(self) -> None:
        self.socket, theirs = socket.socketpair()
        with theirs, signals.held_back():  # in it and its processes for good
            self.server = subprocess.Popen(
                [sys.executable, "-m", "transferlab.runtime.preloaded", *self.modules],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={**os.environ, **self.environment},
                process_group=0,
            )

    def close(self) -> None:
        """End the server; the processes that it has forked live on."""
        if self.server is not None and self.socket is not None:
            self.socket.close()
            self.server.kill()
            self.server.wait()
        self.server = self.socket = None

    def __exit__(self, *_: object) -> None:
        self.close()


class Process:
    """A process that the server forks, of which it reports the id, and later the status."""

    def __init__(self, report: socket.socket) -> None:
        self.report = report
        self.returncode: int | None = None
        self._pid: int | None = None

    @property
    def pid(self) -> int:
        """Waits until it has started; 0 if it could not be."""
        if self._pid is None:
            self._pid = self._receive() or 0
        return self._pid

    def poll(self) -> int | None:
        """Its exit status, or the negative number of the signal that ended it; None while it runs.

        If its end cannot be known, since what should report it was killed, it counts as killed.
        """
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self.wait(0)
        return None

    def wait(self, timeout: float | None = None) -> int:
        """The same, once it has ended. Raises: TimeoutExpired after so many seconds."""
        end = None if timeout is None else time.monotonic() + timeout
        while self.returncode is None:
            left = None if end is None else max(0, end - time.monotonic())
            if not select.select([self.report], [], [], left)[0]:
                raise subprocess.TimeoutExpired("a forked process", timeout or 0)
            if self._pid is None:
                self._pid = self._receive() or 0
            elif (status := self._receive()) is not None:
                self.returncode = os.waitstatus_to_exitcode(status)
                self.report.close()
        return self.returncode

    def send_signal(self, number: int) -> None:
        """A no-op if it has ended."""
        if self.poll() is None and self.pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def _receive(self) -> int | None:
        """The next number; None if there will be none."""
        content = self.report.recv(WORD, socket.MSG_WAITALL)
        if len(content) == WORD:
            return int.from_bytes(content)
        self.returncode = LOST
        self.report.close()
        return None


# --- the server ---------------------------------------------------------------------------------


def serve(launcher: socket.socket, modules: Sequence[str]) -> None:
    """Fork a process for each request, until the launcher has closed its end."""
    for name in modules:
        with contextlib.suppress(Exception):  # the process that needs it says what is wrong
            importlib.import_module(name)
    provenance.code()  # that they run is the code of now
    gc.freeze()  # or a collection would write to all pages, and copy them
    while request := _read(launcher):
        words, files = request
        _fork(partial(_attend, launcher, words, files), files)
        for each in files:
            os.close(each)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass


def _read(launcher: socket.socket) -> tuple[list[Any], list[int]] | None:
    """A request, and its files; None at the end."""
    with contextlib.suppress(ConnectionError):
        size, files, _, _ = socket.recv_fds(launcher, WORD, FILES)
        if len(files) == FILES:
            content = launcher.recv(int.from_bytes(size), socket.MSG_WAITALL)
            return json.loads(content), files
    return None


def _fork(child: Callable[[], NoReturn], files: Sequence[int]) -> int:
    """Call `child` in a fork; its id, or 0 after reporting that there can be none."""
    try:
        process = os.fork()
    except OSError as error:
        report, _, log = files
        os.write(log, f"error: a process cannot be started: {error.strerror}\n".encode())
        _send(report, 0)
        _send(report, RunFailed.exit_code << 8)
        return 0
    if process == 0:
        child()
    return process


def _attend(launcher: socket.socket, words: Sequence[Any], files: Sequence[int]) -> NoReturn:
    """Fork the process, report its id, wait, and report its status."""
    launcher.detach()
    report, stdin, log = files
    process = _fork(partial(_become, words, files), files)
    for each in (0, stdin, log):
        os.close(each)
    if process:
        _send(report, process)
        _send(report, os.waitpid(process, 0)[1])
    os._exit(0)


def _send(report: int, number: int) -> None:
    """A launcher that has ended needs no report."""
    with contextlib.suppress(OSError):
        os.write(report, number.to_bytes(WORD))


def _become(words: Sequence[Any], files: Sequence[int]) -> NoReturn:
    """Run the module in this process, and end it as an interpreter does."""
    module, arguments, environment, folder = words
    report, stdin, log = files
    error: BaseException | None = None
    try:
        os.setpgid(0, 0)
        for number, each in ((0, stdin), (1, log), (2, log)):
            os.dup2(each, number)
        for each in files:
            os.close(each)
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(environment)
        tempfile.tempdir = None  # that of the environment
        sys.argv = [module, *arguments]
        sys.modules.pop(module, None)  # it runs again, as the main module
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except BaseException as raised:
        error = raised
    leave(error)


def leave(error: BaseException | None) -> NoReturn:
    """Exit as an interpreter does, without unloading modules, which takes a second."""
    code = 0
    if isinstance(error, SystemExit):
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
        if code and not isinstance(error.code, int):
            output.note(str(error.code))
    elif error is not None:
        code = 1
        sys.excepthook(type(error), error, error.__traceback__)
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        if not stream.closed:
            stream.flush()
    if isinstance(error, KeyboardInterrupt):
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
        os.kill(os.getpid(), signal.SIGINT)
    os._exit(code)


if __name__ == "__main__":
    with socket.socket(fileno=0) as ours:
        serve(ours, sys.argv[1:])
