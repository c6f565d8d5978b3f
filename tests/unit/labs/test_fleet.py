"""What a process of a fleet does with a hand-in; nothing is run."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from observer.labs import fleet
from observer.labs.fleet import Task, Wish
from observer.labs.grading import Document
from tests.unit.labs.hand_ins import document


class OneAtATime:
    """A grader that notices whether it is asked by two at once."""

    def __init__(self) -> None:
        self.overlaps = 0
        self._free = threading.Lock()

    def grade(self, name: str, content: bytes) -> Document:
        if not self._free.acquire(blocking=False):
            self.overlaps += 1
            return document(name)
        self._busy.wait(0.01)
        self._free.release()
        return document(name)

    _busy = threading.Event()


def test_a_process_with_several_threads_grades_one_hand_in_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    grader = OneAtATime()
    monkeypatch.setattr(fleet, "_grader", lambda _by: grader)
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda n: fleet._graded(Task(n, f"{n}.handin", b""), Wish()), range(17)))
    assert grader.overlaps == 0
    assert [each.file for each in found] == [f"{n}.handin" for n in range(17)]


def test_whatever_is_wrong_with_the_grader_is_our_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        def grade(self, name: str, content: bytes) -> Document:
            raise ZeroDivisionError("no way")

    monkeypatch.setattr(fleet, "_grader", lambda _by: Broken())
    found = fleet._graded(Task(1, "a.handin", b""), Wish())
    assert (found.verdict, found.score, found.why) == ("XX", None, "the grader failed: ZeroDivisionError: no way")
