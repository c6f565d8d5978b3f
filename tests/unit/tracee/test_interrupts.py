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


def test_what_is_hurried_is_done_at_once_and_the_pace_is_kept_all_the_same() -> None:
    paced: list[float] = []
    hurried: list[int] = []
    enough = threading.Event()

    def hurry() -> None:
        hurried.append(threading.get_ident())
        if len(paced) < 3:
            interrupts.hurry()  # without an end: no wait for signals lasts as long as the pace
        else:
            enough.set()

    interrupts = Interrupts()
    try:
        interrupts.hurry()  # nobody is there yet
        interrupts.watch(1, list, set(), paced.append, hurry)
        interrupts.hurry()
        assert enough.wait(20)
    finally:
        interrupts.release()
    assert set(hurried) != {threading.get_ident()}
    assert all(seconds >= 0.05 for seconds in paced)
