"""The last resort of level one: an exact model of the real allocator, asked what it did.

Where pointers and breaks alone leave open who holds a piece (a rest that alignment has cut off waits in a cache), a
model that has predicted this pointer and its system calls, and knows all that they depend on, knows.
"""

from __future__ import annotations

from typing import Final

from observer.compare.explanation import Explanation
from observer.compare.hypotheses import Hypotheses, is_right
from observer.compare.impossible import Pieces
from observer.compare.order import Asked
from observer.compare.sides import ExactPrediction, ExactSide
from observer.model.chunks import Chunk
from observer.model.events import GLIBC, Call, Misuse, Process, Syscall

__all__ = ["Witness"]

_RULES: Final = {
    "tcache": "tcache", "fastbin": "fast-bins", "smallbin": "bins", "unsorted": "bins", "largebin": "bins",
    "split": "bins", "top": "layout", "growth": "layout", "in place": "realloc",
}  # fmt: skip
_WATCHFUL: Final = 1000
_GIVEN_BACK: Final = {"brk": "trim", "munmap": "mmap-threshold", "madvise": "thread-arena"}


class Witness:
    """One process's exact models."""

    def __init__(self, models: Hypotheses) -> None:
        self._models = models
        self._last: ExactPrediction | None = None
        self._pieces = Pieces()
        self._wrong_chunks: list[Chunk] = []
        self._is_wrong = False
        """Whether the models had no doubt about the call seen last, and were wrong about it."""
        self._watchful = 0
        """So many further calls are judged, since something impossible was found."""

    @property
    def model(self) -> ExactSide:
        """The model of the first copy of the allocator, under the order of the threads' calls that is told."""
        return self._models.likely.first

    @property
    def is_open(self) -> bool:
        """Whether more orders of the threads' calls fit than are told."""
        return self._models.is_open

    def copy(self, task: int, child: int) -> Witness:
        """Return that of a child that *task* forked."""
        twin = Witness(self._models.copy(task, child))
        twin._pieces = self._pieces.copy()
        return twin

    def outside(self, event: Syscall) -> None:
        """Note a system call that no allocator call made."""
        self._models.outside(event)

    def live(self, event: Process) -> None:
        """Note that a thread begins or ends, or that a child of vfork uses the memory."""
        self._models.live(event)

    def choose(self, calls: list[Asked], *, is_cut: bool) -> tuple[int, ...]:
        """Return the order in which overlapping calls took effect, as far as the models tell."""
        return self._models.choose(calls, is_cut=is_cut)

    def see(self, call: Call, inside: list[Syscall]) -> None:
        """Let the models do *call*; they say nothing of it if it came otherwise."""
        prediction = self._models.predict(call, inside)
        self._last, self._is_wrong = None, False
        if prediction is None:
            self._models.pass_by(call, inside)
            return
        if call.end_ns is None or not is_right(call, prediction):
            is_odd = bool(call.result) or (call.end_ns is not None and _unmaps_otherwise(prediction))
            self._is_wrong = is_odd and prediction.is_certain and not self._models.is_open
            self._wrong_chunks = self.model.chunks() if self._is_wrong else []
            self._models.adopt(call, inside)
        elif prediction.is_certain:
            self._last = prediction

    def judge(self, call: Call) -> Misuse | None:
        """Return what is impossible about the call seen last, if the models were sure, and it came otherwise.

        Once something was impossible, the models are sure of nothing: for a while every call is judged by the pieces.
        """
        if not self._is_wrong and not (self._watchful and call.result):
            return None
        found = self._pieces.judge(call, self._wrong_chunks if self._is_wrong else [])
        self._watchful = _WATCHFUL if found is not None else max(self._watchful - 1, 0)
        return found

    def keep(self, call: Call) -> None:
        """Remember the piece that *call* gave or took."""
        if call.allocator == GLIBC:
            self._pieces.take(call)

    @property
    def source(self) -> str:
        """Where the memory of the call seen last came from; empty if nobody knows or nothing was handed out."""
        if self._last is None:
            return ""
        if self._last.served_by == "growth":
            return "brk" if any(asked.name == "brk" for asked in self._last.asked) else "mprotect"
        return self._last.served_by

    def explain(self) -> Explanation | None:
        """Return what served the call seen last, if the model predicted it exactly."""
        if self._last is None:
            return None
        served = self._last.served_by
        if not served and self._last.asked:
            rule = _GIVEN_BACK.get(self._last.asked[-1].name)
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


def _unmaps_otherwise(prediction: ExactPrediction) -> bool:
    """Whether a mapping went back to the kernel, and the model says that it is another, or has another length."""
    return any(each.asked is not None and each.asked.name == "munmap" for each in prediction.wrong)
