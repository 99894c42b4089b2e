"""Python processes forked from one that has imported everything, in place of new interpreters.

To import torch and Lightning takes 6 s of CPU, a fork 20 ms. `Popen` is `subprocess.Popen` for
commands of this interpreter (`python -m MODULE`, `python -c CODE`): a process of its own with its
own id, environment, folder, process group, streams, exit status and signals in their default state.
What it starts in turn, with `subprocess` or by `multiprocessing`'s spawn, is forked the same way.
It does not show what happens while an interpreter starts and imports.

`python -m support.forked SOCKET MODULE...` is the server: it imports the modules when the first
process is requested, and ends with its standard input. Test processes side by side share the
servers of the process that has started them.
"""

import contextlib
import fcntl
import gc
import importlib
import inspect
import json
import multiprocessing.util
import os
import pickle
import runpy
import select
import shutil
import socket
import subprocess
import sys
import tempfile
import types
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from support import torch, users, without_locks

from transferlab.runtime.preloaded import leave

TESTS = Path(__file__).parents[1]
SOCKET = "FORKED_SOCKET"  # the server for further processes that a forked process starts
WITHOUT_LOCKS = "FORKED_WITHOUT_LOCKS"  # set: the kernel refuses it every lock on a file
USER = "FORKED_USER"  # the number of the user that a process of root's becomes
PARAMETERS = tuple(inspect.signature(subprocess.Popen._execute_child).parameters)[1:]  # type: ignore[attr-defined]
STREAMS = (0, 1, 2)
MOST_STREAMS = 253  # of one message, by the kernel
MEASURED = 2  # steps of a finished run whose cost is measured
LIGHT = (
    "hydra._internal.hydra", "numpy", "transferlab.cli.run", "transferlab.cli.status",
    "transferlab.cli.sweep", "transferlab.cli.multirun", "transferlab.launch.dispatch",
    "transferlab.launch.inline", "transferlab.experiment.resolve",
)  # fmt: skip
TRAINING = (
    *LIGHT, "transferlab.training.run", "transferlab.data.prepare.pipeline", "support.warm",
)  # fmt: skip


# --- the client ---------------------------------------------------------------------------------


class Popen(subprocess.Popen[Any]):
    """As `subprocess.Popen`, but the server forks commands of this interpreter."""

    process: "Forked | None" = None

    def _execute_child(self, *values: Any) -> None:
        given = dict(zip(PARAMETERS, values, strict=True))
        command = _after_interpreter(given["args"])
        if command is None:
            return super()._execute_child(*values)  # type: ignore[misc]
        assert not given["start_new_session"], "not supported"
        ends = [given["p2cread"], given["c2pwrite"], given["errwrite"]]
        streams = {number: number if end == -1 else end for number, end in enumerate(ends)}
        streams |= {number: number for number in given["pass_fds"]}
        group = None if given["process_group"] == -1 else given["process_group"]
        self.process = Forked(command, streams, given["cwd"], given["env"], group)
        self.pid = self.process.pid
        self._child_created = True
        pipes = ("p2cread", "p2cwrite", "c2pread", "c2pwrite", "errread", "errwrite")
        self._close_pipe_fds(*(given[name] for name in pipes))  # type: ignore[attr-defined]

    def _try_wait(self, flags: int) -> tuple[int, int]:
        if self.process is None:
            return super()._try_wait(flags)  # type: ignore[misc]
        return self.process.wait(flags)

    def _internal_poll(self, *values: Any, **more: Any) -> int | None:
        if self.process is None:
            return super()._internal_poll(*values, **more)  # type: ignore[misc]
        if self.returncode is None:
            pid, status = self.process.wait(os.WNOHANG)
            if pid:
                self._handle_exitstatus(status)  # type: ignore[attr-defined]
        return self.returncode


class Forked:
    """A process that the server has forked: its id, and how it ended."""

    def __init__(
        self,
        command: Sequence[str],
        streams: dict[int, int],
        cwd: str | os.PathLike[str] | None = None,
        env: dict[str, str] | None = None,
        group: int | None = None,
    ) -> None:
        """streams: the number of a stream there -> here. group: as `setpgid` takes it."""
        env = dict(os.environ if env is None else env)
        server = env.get(SOCKET) or training_server()  # which may skip the test
        self.connection = socket.socket(socket.AF_UNIX)
        self.connection.connect(server)
        request = json.dumps({
            "command": command, "cwd": os.fspath(cwd or os.getcwd()), "streams": list(streams),
            "env": env,
            "group": os.getpgrp() if group is None else group,
        }).encode()  # fmt: skip
        socket.send_fds(self.connection, [len(request).to_bytes(8)], list(streams.values()))
        self.connection.sendall(request)
        self.pid = int.from_bytes(_receive(self.connection, 8))

    def wait(self, flags: int) -> tuple[int, int]:
        """As `os.waitpid`, once."""
        if flags & os.WNOHANG and not select.select([self.connection], [], [], 0)[0]:
            return 0, 0
        with self.connection:
            return self.pid, int.from_bytes(_receive(self.connection, 8))


def call(function: Callable[..., object], *arguments: Any) -> int:
    """The exit status of a process that calls a function of a module, -9 if it was killed."""
    content = pickle.dumps((function, arguments)).hex()
    code = f"import pickle; f, a = pickle.loads(bytes.fromhex({content!r})); f(*a)"
    return Popen([sys.executable, "-c", code], cwd=TESTS).wait(300)


class Spawning:
    """Replaces the two functions with which `multiprocessing` spawns and waits."""

    def __init__(self) -> None:
        self.processes: dict[int, Forked] = {}
        self.waitpid, self.spawnv = os.waitpid, multiprocessing.util.spawnv_passfds

    def spawn(self, path: str | bytes, words: Sequence[str], streams: Sequence[int]) -> int:
        command = _after_interpreter([os.fsdecode(path), *words[1:]])
        if command is None:
            return self.spawnv(path, words, streams)  # type: ignore[arg-type,type-var]
        process = Forked(command, {number: number for number in (*STREAMS, *streams)})
        self.processes[process.pid] = process
        return process.pid

    def wait(self, pid: int, flags: int) -> tuple[int, int]:
        process = self.processes.get(pid)
        if process is None:
            return self.waitpid(pid, flags)
        ended, status = process.wait(flags)
        self.processes.pop(ended, None)
        return ended, status


def training_server() -> str:
    """The socket of a server that has imported all that a training needs."""
    torch.require()
    return _start("FORKED_TRAINING", TRAINING)


def light_server() -> str:
    """The socket of a server without torch."""
    return _start("FORKED_LIGHT", LIGHT)


def start_shared_servers(*, light: bool) -> None:
    """Start them for the processes that this one is about to start."""
    _start("FORKED_LIGHT", LIGHT)
    if not light:
        _start("FORKED_TRAINING", TRAINING)


def _start(variable: str, preload: Sequence[str]) -> str:
    """The socket of the server named in the environment, or of a new one, which ends with this
    process."""
    if variable not in os.environ:
        path = f"{tempfile.mkdtemp(prefix='forked')}/socket"
        server = _popen(  # also where tests have replaced it with what asks the server
            [sys.executable, "-m", __name__, path, *preload],
            cwd=TESTS,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        _servers[variable] = server
        assert server.stdout is not None
        assert server.stdout.readline() == b"ready\n", "the server did not start"
        os.environ[variable] = path
    return os.environ[variable]


_popen = subprocess.Popen
_servers: dict[str, subprocess.Popen[bytes]] = {}


def end_servers() -> None:
    """Those of this process: each lives as long as its standard input."""
    for variable, server in _servers.items():
        server.communicate()
        del os.environ[variable]


def _after_interpreter(command: Sequence[Any]) -> list[str] | None:
    """`["-m", MODULE, ...]` or `["-c", CODE, ...]`; None for any other command."""
    interpreter, *words = [os.fspath(word) for word in command]
    words = words[1:] if words[:1] == ["-B"] else words  # multiprocessing hands it on
    return words if interpreter == sys.executable and words[:1] in (["-m"], ["-c"]) else None


def _receive(connection: socket.socket, size: int) -> bytes:
    content = connection.recv(size, socket.MSG_WAITALL)
    assert len(content) == size, "the server of forked processes has ended"
    return content


# --- the server ---------------------------------------------------------------------------------


def serve(path: str, preload: Sequence[str]) -> dict[str, Any] | None:
    """Fork a process for each connection. Returns the request in that process, None at the end."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    os.chmod(path, 0o666)  # for processes that became another user; its folder is root's
    listener.listen()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    while listener in select.select([listener, 0], [], [])[0]:
        if preload:
            for name in preload:
                importlib.import_module(name)
            preload = ()
            gc.freeze()
        connection, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            return _fork(connection)
        connection.close()
        _reap()
    _reap()
    shutil.rmtree(Path(path).parent)
    return None


def _fork(connection: socket.socket) -> dict[str, Any]:
    """Fork; returns in the child. The parent reports its id, waits, and reports its status."""
    size, streams, _, _ = socket.recv_fds(connection, 8, MOST_STREAMS)
    request = json.loads(_receive(connection, int.from_bytes(size)))
    process = os.fork()
    if process == 0:
        connection.close()
        _place(streams, request["streams"])
        return request
    for stream in (*STREAMS, *streams):
        os.close(stream)
    connection.sendall(process.to_bytes(8))
    _, status = os.waitpid(process, 0)
    with contextlib.suppress(BrokenPipeError):  # no client is waiting
        connection.sendall(status.to_bytes(8))
    os._exit(0)


def _place(streams: Sequence[int], numbers: Sequence[int]) -> None:
    """Give the streams these numbers, and close all others."""
    above = max(*streams, *numbers) + 1
    copies = [fcntl.fcntl(stream, fcntl.F_DUPFD, above) for stream in streams]
    os.closerange(0, above)
    for copy, number in zip(copies, numbers, strict=True):
        os.dup2(copy, number)
    os.closerange(above, max(copies) + 1)


def _reap() -> None:
    """Reap children that have ended, so that their CPU time counts for this process."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def run(request: dict[str, Any], path: str) -> None:
    """Run `python ARGUMENTS` in this process."""
    os.setpgid(0, request["group"])
    if USER in request["env"]:
        users.become(int(request["env"][USER]), reads=True)
    if WITHOUT_LOCKS in request["env"]:
        without_locks.refuse_locks()
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"] | {SOCKET: path})
    tempfile.tempdir = None  # that of the environment
    sys.stdout.reconfigure(line_buffering=os.isatty(1))  # type: ignore[union-attr]
    subprocess.Popen, spawning = Popen, Spawning()  # type: ignore[misc]
    os.waitpid, multiprocessing.util.spawnv_passfds = spawning.wait, spawning.spawn  # type: ignore[assignment]
    flag, name, *arguments = request["command"]
    folders = [os.getcwd() if flag == "-m" else ""]
    sys.path[:1] = folders + [f for f in os.environ.get("PYTHONPATH", "").split(os.pathsep) if f]
    sys.argv = [flag, *arguments]
    main = sys.modules["__main__"] = types.ModuleType("__main__")
    if flag == "-c":
        exec(compile(name, "<string>", "exec"), main.__dict__)
    else:
        sys.modules.pop(name, None)
        runpy._run_module_as_main(name)  # type: ignore[attr-defined]


def main(path: str, *preload: str) -> None:
    error: BaseException | None = None
    try:
        if request := serve(path, preload):
            run(request, path)
    except BaseException as raised:
        error = raised
    leave(error)


if __name__ == "__main__":
    main(*sys.argv[1:])
