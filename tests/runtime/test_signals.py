"""Stopping on request: immediately or after the current step; no signal is lost."""

import os
import signal
import subprocess
import sys
import textwrap
import threading

import pytest

from transferlab.errors import Interrupted
from transferlab.runtime import signals

INT, TERM, USR1, HUP = signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP


def send(*numbers: int) -> None:
    for number in numbers:
        os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", [INT, TERM, USR1, HUP])
def test_while_nothing_is_at_stake_the_first_signal_stops_immediately(number: signal.Signals):
    with signals.watch() as stop, pytest.raises(Interrupted, match=f"^stopped by {number.name}$"):
        send(number)

    assert stop.number == number


@pytest.mark.parametrize("number", [INT, TERM, USR1, HUP])
def test_a_deferred_signal_is_only_noted(number: int):
    with signals.watch() as stop, stop.deferred():
        assert stop.number is None
        send(number)
        assert stop.number == number


@pytest.mark.parametrize(
    "numbers",
    [
        (USR1, USR1, USR1),  # of a launcher that asks again
        (USR1, TERM),  # of SLURM, to the whole job
        (TERM, USR1, USR1),
        (USR1, INT, USR1),
        (HUP, TERM, HUP),  # of a terminal that closes
        (TERM, TERM),  # of SLURM, to a job that is cancelled twice
        (INT, TERM),  # of scancel --signal=INT, then scancel
        (TERM, INT),
    ],
)
def test_saving_is_not_cut_short(numbers: tuple[int, ...]):
    with signals.watch() as stop, stop.deferred():
        send(*numbers)

    assert stop.number is not None


@pytest.mark.parametrize("numbers", [(INT, INT), (INT, TERM, INT), (USR1, INT, INT)])
def test_a_second_ctrl_c_does_not_wait(numbers: tuple[int, ...]):
    with signals.watch() as stop, stop.deferred():
        send(*numbers[:-1])
        with pytest.raises(Interrupted):
            send(numbers[-1])


def test_after_the_second_ctrl_c_no_signal_interrupts_the_clearing_up():
    cleared_up = False
    with signals.watch(), pytest.raises(Interrupted):
        try:
            send(INT)
        finally:
            with pytest.raises(Interrupted):
                send(INT)
            send(TERM, INT, HUP)
            cleared_up = True

    assert cleared_up


def test_after_a_first_signal_the_next_waits_for_the_clearing_up():
    cleared_up = False
    with signals.watch(), pytest.raises(Interrupted, match="^stopped by SIGUSR1$"):
        try:
            send(USR1)
        finally:
            send(USR1, TERM)
            cleared_up = True

    assert cleared_up


def test_a_process_that_ignores_hangups_as_nohup_makes_it_goes_on_ignoring_them():
    before = signal.signal(HUP, signal.SIG_IGN)
    try:
        with signals.watch() as stop:
            send(HUP)

            assert stop.number is None
        assert signal.getsignal(HUP) is signal.SIG_IGN
    finally:
        signal.signal(HUP, before)


def test_a_watch_within_another_is_the_same_request():
    with signals.watch() as outer:
        with outer.deferred():
            with signals.watch() as inner, inner.deferred():
                send(USR1)
            send(USR1)  # the outer block still defers

        assert inner is outer
        with pytest.raises(Interrupted, match=r"^stopped by SIGUSR1$"):
            outer.check()


def test_without_a_request_the_check_passes():
    with signals.watch() as stop:
        stop.check()


PROCESS = """
    import atexit, os, sys, time
    from transferlab.runtime import signals

    def say(line):
        print(line, flush=True)

    def main():
        try:
            say("working")
            time.sleep(300 if sys.argv[1] == "stopped" else 0)
        finally:
            say("saving")
            if sys.argv[1] == "stopped":
                time.sleep(300)
        return 3

    atexit.register(lambda: (say("ending"), sys.stdin.readline()))
    sys.exit(signals.process(main))
    """


def process(way: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(PROCESS), way],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_no_signal_changes_the_status_of_a_process_that_is_ending():
    ending = process("finished")
    assert ending.stdout is not None
    for line in ("working\n", "saving\n", "ending\n"):
        assert ending.stdout.readline() == line
    for number in (TERM, INT, USR1, HUP, TERM):
        ending.send_signal(number)
    _, errors = ending.communicate("\n")

    assert (ending.returncode, errors) == (3, "")


def test_signals_after_the_first_leave_the_status_of_an_interrupted_process():
    stopped = process("stopped")
    assert stopped.stdout is not None
    for line, numbers in (
        ("working\n", [INT]),
        ("saving\n", [USR1, HUP, TERM, INT]),  # the last insists
        ("ending\n", [TERM, INT]),
    ):
        assert stopped.stdout.readline() == line
        for number in numbers:
            stopped.send_signal(number)
    _, errors = stopped.communicate("\n")

    assert (stopped.returncode, errors) == (75, "")


STARTS = """
    import sys, time
    from transferlab.runtime import signals
    print("started", flush=True)
    sys.stdin.readline()
    try:
        with signals.watch():
            time.sleep(300)
    except KeyboardInterrupt as error:
        print(error)
    """


@pytest.mark.parametrize("number", [INT, TERM, USR1, HUP])
def test_a_process_that_is_starting_receives_a_signal_when_it_has_handlers(number: signal.Signals):
    with signals.held_back():
        process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(STARTS)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
    assert process.stdout is not None and process.stdout.readline() == "started\n"
    process.send_signal(number)
    out, _ = process.communicate("\n")

    assert (out, process.returncode) == (f"stopped by {number.name}\n", 0)
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == set()


def test_one_of_several_processes_leaves_the_decision_to_the_first():
    request = signals.StopRequest(only_note=True)
    old = {number: signal.getsignal(number) for number in signals.WATCHED}
    try:
        request.install()
        send(TERM, TERM, USR1)
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)

    assert request.number == USR1


def test_the_old_handlers_are_back_afterwards():
    before = [signal.getsignal(number) for number in signals.WATCHED]
    with signals.watch():
        assert [signal.getsignal(number) for number in signals.WATCHED] != before

    assert [signal.getsignal(number) for number in signals.WATCHED] == before


def test_in_another_thread_nothing_is_installed():
    before, seen = signal.getsignal(TERM), []

    def watch() -> None:
        with signals.watch():
            seen.append(signal.getsignal(TERM))

    thread = threading.Thread(target=watch)
    thread.start()
    thread.join()

    assert seen == [before]


def test_a_processs_own_children_are_stopped_and_loaders_are_not():
    code = """\
        import multiprocessing, os, signal, time
        from transferlab.runtime import signals
        from transferlab.errors import Interrupted
        def sleep():
            time.sleep(300)
        if __name__ == "__main__":
            context = multiprocessing.get_context("fork")
            helper = context.Process(target=sleep)
            loader = context.Process(target=sleep, daemon=True)
            helper.start(), loader.start()
            with signals.watch() as stop, stop.deferred():
                os.kill(os.getpid(), signal.SIGUSR1)
            helper.join()
            print(helper.exitcode, loader.is_alive())
        """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True
    )

    assert done.stdout == "-15 True\n"
