"""Ctrl-C and friends while a program is traced.

The tracing thread must not be interrupted between two ptrace requests, so these signals are blocked everywhere and
taken by a thread of their own. The first interrupt belongs to the program: a terminal sends it to both; one sent
to the observer alone is passed on. A second one within two seconds ends the program with
SIGKILL. SIGTERM and SIGHUP are passed on likewise. That thread also does what need not wait for the tracing one.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable
from typing import Final

__all__ = ["Interrupts"]

_TAKEN: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
_STOP: Final = signal.SIGUSR2
_GRACE: Final = 0.2
_PACE: Final = 0.05
_SOON: Final = 2.0


class Interrupts:
    """Blocks the signals from construction to `release`; `mask` is what was blocked before (the program's mask)."""

    def __init__(self) -> None:
        self.mask: set[signal.Signals] = signal.pthread_sigmask(signal.SIG_BLOCK, [*_TAKEN, _STOP])  # type: ignore[assignment]
        self._wait_for = {number for number in _TAKEN if number not in self.mask} | {_STOP}
        self._thread: threading.Thread | None = None
        self._done = threading.Event()
        self.taken: list[int] = []
        self._last = -_SOON
        self._pace: Callable[[float], None] = lambda seconds: None
        self._hurried: Callable[[], None] = lambda: None

    def watch(
        self, root: int, tasks: Callable[[], Iterable[int]], delivered: set[int], pace: Callable[[float], None],
        hurried: Callable[[], None] = lambda: None,
    ) -> None:  # fmt: skip
        """Start taking signals for the tree of *root*; *delivered* holds the signals tracees were seen to get.

        Between signals *pace* is called regularly with the seconds since its last call, and *hurried* where `hurry`
        asks for it, both on the same thread.
        """
        self._pace, self._hurried = pace, hurried
        thread = threading.Thread(target=self._serve, args=(root, tasks, delivered), name="signals", daemon=True)
        thread.start()  # RuntimeError where there may be no more of them: then there is none to stop
        self._thread = thread

    def _serve(self, root: int, tasks: Callable[[], Iterable[int]], delivered: set[int]) -> None:
        paced = time.monotonic()
        while True:
            info = signal.sigtimedwait(self._wait_for, _PACE)
            since = time.monotonic() - paced
            if since >= _PACE:  # also where it is hurried all the time
                self._pace(since)
                paced += since
            # A wait that is interrupted by stop and continue may give garbage for a number (CPython 3.11).
            if info is None or info.si_signo not in self._wait_for:
                continue
            if info.si_signo == _STOP:
                if self._done.is_set():
                    return
                self._hurried()
                continue
            now = time.monotonic()
            again, self._last = now - self._last < _SOON, now
            self.taken.append(info.si_signo)
            if again:
                for tid in list(tasks()):
                    _send(tid, signal.SIGKILL)
            elif not self._done.wait(_GRACE) and info.si_signo not in delivered:
                _send(root, info.si_signo)

    def hurry(self) -> None:
        """Have *hurried* be called now, on the other thread."""
        if self._thread is not None and self._thread.ident is not None:
            signal.pthread_kill(self._thread.ident, _STOP)

    def release(self) -> None:
        """Stop taking signals and restore the mask; what arrives from now on acts as usual."""
        self._done.set()
        if self._thread is not None:
            assert self._thread.ident is not None
            signal.pthread_kill(self._thread.ident, _STOP)
            self._thread.join()
        # What came while the run was ending was meant for it: it must not end the making of the trace.
        while (pending := signal.sigtimedwait(self._wait_for, 0)) is not None:
            if pending.si_signo != _STOP:
                self.taken.append(pending.si_signo)
        signal.pthread_sigmask(signal.SIG_SETMASK, self.mask)


def _send(pid: int, number: int) -> None:
    with contextlib.suppress(OSError):
        os.kill(pid, number)
