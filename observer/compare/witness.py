"""The last resort of level one: an exact model of the real allocator, asked what it did.

Where pointers and breaks alone leave open who holds a piece (a rest that alignment has cut off waits in a cache), a
model that has predicted every pointer and every system call so far, this one included, knows. Once it was wrong it is
not asked again.
"""

from __future__ import annotations

from typing import Final

from observer.compare.departures import Explanation
from observer.compare.sides import ExactPrediction, ExactSide
from observer.model.events import Call, Syscall
from observer.model.operations import ALLOCATING

__all__ = ["Witness"]

_RULES: Final = {
    "tcache": "tcache", "fastbin": "fast-bins", "smallbin": "bins", "unsorted": "bins", "largebin": "bins",
    "split": "bins", "top": "layout", "growth": "layout", "in place": "realloc",
}  # fmt: skip
_GIVEN_BACK: Final = {"brk": "trim", "munmap": "mmap-threshold", "madvise": "thread-arena"}


class Witness:
    """One process's exact model."""

    def __init__(self, model: ExactSide) -> None:
        self._model: ExactSide | None = model
        self._last: ExactPrediction | None = None

    def copy(self, task: int, child: int) -> Witness:
        """Return that of a child that *task* forked."""
        twin = Witness.__new__(Witness)
        twin._model = self._model.copy(task, child) if self._model is not None else None
        twin._last = None
        return twin

    def outside(self, event: Syscall) -> None:
        """Note a system call that no allocator call made."""
        if self._model is not None:
            self._model.outside(event)

    def thread(self, task: int, *, begins: bool) -> None:
        """Note that a thread begins or ends."""
        if self._model is not None:
            (self._model.start_thread if begins else self._model.end_thread)(task)

    def lend(self, task: int, child: int) -> None:
        """Note that a child of vfork uses the thread's memory."""
        if self._model is not None:
            self._model.lend(task, child)

    def see(self, call: Call, inside: list[Syscall]) -> None:
        """Let the model do *call*; forget it if it is wrong."""
        self._last = None
        if self._model is None:
            return
        if call.end_ns is None:
            self._model = None
            return
        prediction = self._model.predict(call, inside)
        if prediction.wrong or (call.op in ALLOCATING and (call.result or 0) != prediction.pointer):
            self._model = None
            return
        self._last = prediction

    @property
    def source(self) -> str:
        """Where the memory of the call seen last came from; empty if nobody knows or nothing was handed out."""
        if self._last is None:
            return ""
        if self._last.served_by == "growth":
            return "brk" if any(asked.startswith("brk") for asked in self._last.asked) else "mprotect"
        return self._last.served_by

    def explain(self) -> Explanation | None:
        """Return what served the call seen last, if the model predicted it exactly."""
        if self._last is None:
            return None
        served = self._last.served_by
        if not served and self._last.asked:
            rule = next((rule for name, rule in _GIVEN_BACK.items() if self._last.asked[-1].startswith(name)), None)
            return Explanation(rule, "the model of glibc asks the kernel for just this") if rule is not None else None
        if served not in _RULES:
            return None
        return Explanation(_RULES[served], f"the model of glibc gives this very pointer, from {served}")

    def explain_page(self, page: int, page_size: int, *, came: bool) -> Explanation | None:
        """Return why the allocator did (*came*) or did not touch the page in the last call, if the model agrees."""
        if self._last is None:
            return None
        touches = any(
            reach.start < page + page_size and page < reach.start + reach.length for reach in self._last.reaches
        )
        if touches != came:
            return None
        return Explanation("layout", f"the model of glibc {'touches' if came else 'does not touch'} this page, too")
