"""What the kernel has to say of the tracees, beyond the one status at hand (ptrace(2), waitid(2))."""

from __future__ import annotations

import contextlib
import os
import signal
from collections import deque
from collections.abc import Iterable
from typing import Final

from observer.linux import ptrace

__all__ = [
    "ALL_TASKS", "Postponed", "collect", "end_all", "first_status", "has_moved_on", "is_halt", "is_summons", "kill",
    "summon",
]  # fmt: skip

ALL_TASKS: Final = 0x40000000
"""__WALL: children that are threads, or were made by clone(2) with another signal, are waited for, too."""
_POLL_IN: Final = 1
_SUMMONS: Final = signal.SIGRTMAX
_NEXT_STOP: Final = os.WSTOPPED | os.WNOHANG | os.WNOWAIT


def collect(pending: deque[tuple[int, int]]) -> None:
    """Take every (tid, status) that waits."""
    while True:
        try:
            tid, status = os.waitpid(-1, ALL_TASKS | os.WNOHANG)
        except ChildProcessError:
            return
        if tid == 0:
            return
        pending.append((tid, status))


def first_status(tid: int, pending: deque[tuple[int, int]]) -> int:
    """Return with which status a task comes to its first stop; one that was taken already is no longer *pending*."""
    came = next((each for each in pending if each[0] == tid), None)
    if came is None:
        return os.waitpid(tid, ALL_TASKS)[1]
    pending.remove(came)
    return came[1]


def has_moved_on(tid: int) -> bool:
    """Whether a task, killed where it stood, has come to its exit already: resumed there, its exit is never seen."""
    try:
        return os.waitid(os.P_PID, tid, _NEXT_STOP) is not None
    except ChildProcessError:
        return False  # it has ended altogether, which resuming it will tell


def kill(tid: int) -> None:
    """Kill a task; one that has ended already is no error."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(tid, signal.SIGKILL)


def end_all(tids: Iterable[int]) -> None:
    """Kill all tracees, of which *tids* are known, and reap them."""
    for tid in tids:
        kill(tid)
    while True:
        try:
            tid, status = os.waitpid(-1, ALL_TASKS)
        except ChildProcessError:
            return
        if os.WIFSTOPPED(status):
            # It is one that was not known, or has come to its exit, and waits for us there.
            kill(tid)
            with contextlib.suppress(OSError):
                ptrace.cont(tid)


def summon(tid: int) -> None:
    """Have a task stop soon, from any thread, by a signal that it will never see.

    Of a real-time signal each that is sent is kept: none of the program's own is lost by it (signal(7)).
    """
    with contextlib.suppress(OSError):  # it has ended: that is a stop
        os.kill(tid, _SUMMONS)


def is_summons(tid: int, number: int) -> bool:
    """Whether the signal *number* before which *tid* stands is one that `summon` sent."""
    return number == _SUMMONS and ptrace.is_ours(tid)


def is_halt(tid: int, number: int) -> bool:
    """Whether the signal *number* before which *tid* stands came of an event that paces it (F_SETSIG of fcntl(2))."""
    return number == signal.SIGSTOP and ptrace.signal_info(tid)[1] == _POLL_IN


class Postponed:
    """Stops of the task *tid* that come in the midst of something of ours, to come again behind it.

    Most signals can be blocked for so long: SIGSTOP cannot, nor what stops the task for a tracer, or with its group.
    """

    def __init__(self, tid: int) -> None:
        self._tid = tid
        self._signals: list[int] = []
        self._is_interrupted = False

    def take(self, status: int) -> None:
        """The task stands at the stop that *status* tells of; a halt of our own does not come again."""
        if status >> 16 == ptrace.EVENT_STOP:
            self._is_interrupted = True
        elif not status >> 16 and not is_halt(self._tid, os.WSTOPSIG(status)):
            self._signals.append(os.WSTOPSIG(status))

    def come_again(self) -> None:
        """Have all of them come when the task goes on."""
        for number in self._signals:
            os.kill(self._tid, number)
        if self._is_interrupted:
            ptrace.interrupt(self._tid)
