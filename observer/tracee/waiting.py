"""What the kernel has to say of the tracees, beyond the one status at hand (ptrace(2), waitid(2))."""

from __future__ import annotations

import contextlib
import os
import signal
from collections import deque
from typing import Final

__all__ = ["ALL_TASKS", "collect", "has_moved_on", "kill"]

ALL_TASKS: Final = 0x40000000
"""__WALL: children that are threads, or were made by clone(2) with another signal, are waited for, too."""
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
