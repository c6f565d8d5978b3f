"""Signals that are taken while a program runs, and given back in the end."""

from __future__ import annotations

import signal
import threading

import pytest

from observer.tracee.interrupts import Interrupts


def test_a_thread_that_could_not_be_started_is_not_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    before = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    interrupts = Interrupts()
    try:
        monkeypatch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError, match="new thread"):
            interrupts.watch(1, list, set(), lambda seconds: None)
    finally:
        interrupts.release()
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == before
