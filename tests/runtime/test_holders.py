"""A lock counts without the operating system's, and between nodes; the dead lose it."""

import contextlib
import errno
import fcntl
import json
import logging
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from transferlab.errors import UserError
from transferlab.runtime import holders, locks
from transferlab.runtime.holders import Holder, Node
from transferlab.runtime.locks import Kind

BOTH = pytest.mark.parametrize("kind", list(Kind))
OTHER = Node("n2", "another boot", 1)
TESTS = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "WAIT_S", 0.01)
    monkeypatch.setattr(holders, "BEAT_S", 0.03)
    monkeypatch.setattr(holders, "STALE_S", 0.3)


@pytest.fixture
def no_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    def unsupported(file: object, operation: int) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", unsupported)
    monkeypatch.setattr(fcntl, "lockf", unsupported)


def record(lock: Path) -> Path:
    return lock.with_name(f"{lock.name}.holder")


def plant(lock: Path, **changes: object) -> Holder:
    """The record of a process of another node, or what the changes make of it."""
    holder = replace(holders.this_process(locked=True), node=OTHER)
    holder = replace(holder, **changes)  # type: ignore[arg-type]
    assert holders.create(record(lock), holder)
    return holder


@contextlib.contextmanager
def beating(lock: Path) -> Iterator[None]:
    """A process of another node holds the lock."""
    holder, ended = plant(lock), threading.Event()

    def beat() -> None:
        count = 0
        while not ended.wait(0.02):
            count += 1
            assert holders.beat(record(lock), holder, count)

    thread = threading.Thread(target=beat)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        record(lock).unlink()


def refuse() -> None:
    raise UserError("taken")


# --- processes on a machine without locks

PROCESS = """\
    import os, signal, sys, time
    from pathlib import Path
    from support.without_locks import refuse_locks
    from transferlab.runtime import holders, locks, logs
    refuse_locks()
    logs.to_stderr()
    locks.WAIT_S, holders.BEAT_S, holders.STALE_S = 0.01, 0.03, 0.3
    path, kind, host = Path(sys.argv[1]), locks.Kind[sys.argv[2]], sys.argv[3]
    if host:
        holders.this_node = lambda: holders.Node(host, host, 1)
    with locks.held(path, lambda: print("waits", flush=True), kind=kind):
        print("holds", flush=True)
        sys.stdin.readline()
        path.with_name("written").touch()
    """


def process(path: Path, kind: Kind = Kind.PROCESS, host: str = "") -> subprocess.Popen[str]:
    """Holds the lock until it reads a line; with `host`, on a node of its own."""
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(PROCESS), str(path), kind.name, host],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(TESTS)},
    )


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


@BOTH
def test_without_locks_the_second_waits_and_a_killed_holder_is_noticed_at_once(
    tmp_path: Path, kind: Kind, no_locks: None, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(holders, "STALE_S", 1000.0)
    first = process(tmp_path / "lock", kind)
    assert line(first) == "holds"
    assert locks.is_held(tmp_path / "lock", kind=kind)
    waits = []

    def kill() -> None:
        waits.append(first.poll())
        first.kill()
        first.communicate()

    with locks.held(tmp_path / "lock", kill, kind=kind):
        assert locks.is_held(tmp_path / "lock", kind=kind)

    assert waits == [None]
    assert not locks.is_held(tmp_path / "lock", kind=kind)


def test_a_killed_holder_on_another_node_is_waited_for_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.INFO, "transferlab")
    first = process(tmp_path / "lock", host="n2")
    assert line(first) == "holds"
    waits = []

    def kill() -> None:
        waits.append(first.poll())
        first.kill()
        first.communicate()

    with locks.held(tmp_path / "lock", kill):
        pass

    assert waits == [None]  # its heartbeat was seen
    assert caplog.messages == [
        f"{tmp_path}/lock is held by process {first.pid} on n2: waiting for its heartbeat, or for "
        "0 s without one",
        f"{tmp_path}/lock: no heartbeat for 0 s: taken over",
    ]


def test_a_suspended_holder_whose_lock_was_taken_over_stops_without_writing(tmp_path: Path):
    first = process(tmp_path / "lock", host="n2")
    assert line(first) == "holds"
    first.send_signal(signal.SIGSTOP)

    with locks.held(tmp_path / "lock", lambda: None):
        first.send_signal(signal.SIGCONT)
        assert first.wait(300) == 75
        assert not (tmp_path / "written").exists()
        assert locks.is_held(tmp_path / "lock")

    assert first.stderr is not None
    last = first.stderr.read().splitlines()[-1]
    assert last == (
        f"{tmp_path}/lock is no longer held by this process: process {os.getpid()} on "
        f"{holders.this_node().host} took it over; this process was suspended for longer than 0 s, "
        "or its record was deleted; it stops without writing anything"
    )
    first.communicate()


# --- the other node


def test_a_living_holder_on_another_node_is_waited_for(tmp_path: Path):
    waits: list[bool] = []

    with beating(tmp_path / "lock"):
        time.sleep(0.1)
        with (
            pytest.raises(UserError, match="taken"),
            locks.held(tmp_path / "lock", refuse),
        ):
            pass
        assert locks.is_held(tmp_path / "lock")
    with locks.held(tmp_path / "lock", lambda: waits.append(True)):
        pass

    assert waits == []


def test_a_dead_one_does_not_refuse(tmp_path: Path):
    plant(tmp_path / "lock")

    with locks.held(tmp_path / "lock", refuse):
        assert json.loads(record(tmp_path / "lock").read_text())["pid"] == os.getpid()


@pytest.mark.parametrize("content", [b"", b"{", b"[" * 400, b'{"pid": 1' + b"0" * 400 + b"}"])
def test_a_damaged_record_is_that_of_a_dead_process(tmp_path: Path, content: bytes):
    record(tmp_path / "lock").write_bytes(content)

    assert locks.is_held(tmp_path / "lock")
    with locks.held(tmp_path / "lock", refuse):
        pass
    assert not locks.is_held(tmp_path / "lock")


def test_a_disk_that_did_not_answer_for_long_proves_nobody_dead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    clock = iter(range(0, 10_000, 100))  # every look takes 100 s
    monkeypatch.setattr(locks.time, "monotonic", lambda: float(next(clock)))
    monkeypatch.setattr(holders, "STALE_S", 0.2)
    looks, read = [], holders.read

    def counted(path: Path) -> bytes | None:
        looks.append(path)
        return read(path)

    monkeypatch.setattr(holders, "read", counted)
    plant(tmp_path / "lock")
    with locks.held(tmp_path / "lock", refuse):
        pass

    assert len(looks) >= 11  # 0.02 s each


# --- this node


@pytest.mark.parametrize("start", ["1", ""])
@pytest.mark.parametrize("locked", [True, False])
def test_a_process_that_has_the_id_of_an_earlier_one_is_another(
    tmp_path: Path, start: str, locked: bool, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(holders, "STALE_S", 1000.0)
    plant(tmp_path / "lock", node=holders.this_node(), start=start, locked=locked)

    assert not locks.is_held(tmp_path / "lock")
    with locks.held(tmp_path / "lock", refuse):
        pass


def test_a_killed_process_that_nobody_has_reaped_is_dead(tmp_path: Path, no_locks: None):
    first = process(tmp_path / "lock")
    assert line(first) == "holds"
    first.kill()
    os.waitid(os.P_PID, first.pid, os.WEXITED | os.WNOWAIT)

    assert not locks.is_held(tmp_path / "lock")
    first.communicate()


def test_to_ask_for_ones_own_lock_does_not_release_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(holders, "_start", lambda pid: None)  # as on a machine without /proc
    with locks.held(tmp_path / "lock", refuse, kind=Kind.PROCESS):
        assert locks.is_held(tmp_path / "lock", kind=Kind.PROCESS)

        code = (
            "import fcntl, sys; fcntl.lockf(open(sys.argv[1], 'a'), fcntl.LOCK_EX | fcntl.LOCK_NB)"
        )
        other = subprocess.run([sys.executable, "-c", code, tmp_path / "lock"], capture_output=True)
    assert b"BlockingIOError" in other.stderr


def test_the_systems_lock_tells_of_a_process_that_cannot_be_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(holders, "STALE_S", 1000.0)
    plant(tmp_path / "lock", node=holders.this_node(), start=None)

    with locks.held(tmp_path / "lock", refuse):
        pass


@pytest.mark.parametrize(
    "number", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP], ids=errno.errorcode.__getitem__
)
@BOTH
def test_a_file_system_without_locks_is_reported_once(
    tmp_path: Path,
    kind: Kind,
    number: int,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
):
    def unsupported(file: object, operation: int) -> None:
        raise OSError(number, os.strerror(number))

    caplog.set_level(logging.INFO, "transferlab")
    monkeypatch.setattr(fcntl, kind.value, unsupported)
    monkeypatch.setattr(locks, "_without_locks", set())
    for name in "ab":
        with locks.held(tmp_path / name, refuse, kind=kind):
            assert locks.is_held(tmp_path / name, kind=kind)
        assert not locks.is_held(tmp_path / name, kind=kind)

    assert caplog.messages == [
        f"{tmp_path}/a is on a file system without locks: heartbeats take their place"
    ]


def test_without_locks_and_exclusive_files_a_store_is_refused(
    tmp_path: Path, no_locks: None, monkeypatch: pytest.MonkeyPatch
):
    def create(*arguments: object) -> bool:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(holders, "create", create)
    with pytest.raises(UserError) as error, locks.held(tmp_path / "lock", refuse):
        pass

    assert str(error.value) == (
        f"{tmp_path}/lock.holder cannot be written: Function not implemented; choose a store that "
        "can be written, with runtime.store=DIR"
    )


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.EACCES])
def test_a_record_that_cannot_be_read_is_somebodys(
    tmp_path: Path, number: int, monkeypatch: pytest.MonkeyPatch
):
    def fail(*arguments: object) -> bytes:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(holders, "read", fail)
    assert locks.is_held(tmp_path / "lock")
    assert locks.describe_holder(tmp_path / "lock") == "another process"


@pytest.mark.parametrize(
    ("planted", "message"),
    [
        (lambda path: path.symlink_to("victim"), "is a symbolic link, which is not followed"),
        (os.mkfifo, "is not a regular file"),
        (os.mkdir, "is not a regular file"),
    ],
)
def test_a_planted_record_is_refused_and_named(
    tmp_path: Path, planted: Callable[[Path], None], message: str
):
    planted(record(tmp_path / "lock"))

    assert locks.is_held(tmp_path / "lock")
    with (
        pytest.raises(UserError, match=f"lock.holder {message}"),
        locks.held(tmp_path / "lock", refuse),
    ):
        pass
    assert not (tmp_path / "victim").exists()


# --- races


def test_a_record_that_another_has_made_since_is_put_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The dead holder's record was replaced between the look at it and its removal."""
    path = record(tmp_path / "lock")
    dead = replace(holders.this_process(locked=True), node=OTHER)
    assert holders.create(path, dead)
    content, rename = path.read_bytes(), os.rename
    living = holders.this_process(locked=False)

    def late(source: str, target: str, **folders: int) -> None:
        path.unlink()
        assert holders.create(path, living)
        rename(source, target, **folders)

    monkeypatch.setattr(os, "rename", late)
    holders.remove(path, content)

    assert holders.parse(path.read_bytes()) == living
    assert [entry.name for entry in tmp_path.iterdir()] == ["lock.holder"]


def test_a_release_leaves_the_record_of_who_took_over(tmp_path: Path):
    with locks.held(tmp_path / "lock", refuse) as hold:
        with hold._changing:  # no heartbeat now, which would end this process
            record(tmp_path / "lock").unlink()
            other = plant(tmp_path / "lock")
            hold._released.set()

    assert holders.parse(record(tmp_path / "lock").read_bytes()) == other


def test_a_lock_moves_with_its_folder(tmp_path: Path):
    (tmp_path / "a").mkdir()

    with locks.held(tmp_path / "a" / "lock", refuse) as hold:
        with hold.moving(tmp_path / "b" / "lock"):
            (tmp_path / "a").rename(tmp_path / "b")
        before = record(tmp_path / "b" / "lock").read_bytes()
        time.sleep(0.1)
        assert record(tmp_path / "b" / "lock").read_bytes() != before
        assert locks.is_held(tmp_path / "b" / "lock")

    assert [entry.name for entry in (tmp_path / "b").iterdir()] == ["lock"]


def test_a_heartbeat_that_cannot_be_sent_is_sent_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    beat, failures = holders.beat, iter([errno.ESTALE, errno.EIO, errno.ENOSPC])
    sent: list[int] = []

    def failing(path: Path, holder: Holder, count: int) -> bool:
        if (number := next(failures, None)) is not None:
            raise OSError(number, os.strerror(number))
        sent.append(count)
        return beat(path, holder, count)

    monkeypatch.setattr(holders, "beat", failing)
    with locks.held(tmp_path / "lock", refuse):
        time.sleep(0.25)

    assert sent[0] == 4


@pytest.mark.parametrize("size", [holders.SIZE])
def test_a_heartbeat_keeps_the_length_of_the_record(tmp_path: Path, size: int):
    holder = plant(tmp_path / "lock")

    assert holders.beat(record(tmp_path / "lock"), holder, 10**9)
    assert len(record(tmp_path / "lock").read_bytes()) == size == 512
    assert holders.parse(record(tmp_path / "lock").read_bytes()) == holder
