"""Fold a stream of events into passages that a person can read, in the order of their first events.

Three folds, each on what stays open only, so that millions of events pass through bounded memory:

1. what happened inside an allocator call (its `n` is their `cause`) goes under that call;
2. alike neighbours become one row with a count;
3. rows that take turns (A B A B ...: the body of a loop) become one passage, however irregular the turns get.

Threads and processes are folded each for itself, then put back into one order.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Final

from observer.model.events import Call, Event, Fault, Process, Syscall
from observer.story.breaks import Breaks
from observer.story.opening import Opening, is_programs_own
from observer.story.rows import Key, Passage, Row, key_of

__all__ = ["Fold", "fold"]

_PERIOD: Final = 12
"""The longest loop body, in rows, that is recognised as a loop."""
_WAITING: Final = 256
"""Passages that may wait for an older one of another thread before that one is told as far as it has come."""


def fold(events: Iterable[Event], *, expand: bool = False, breaks: Breaks | None = None) -> Iterator[Passage]:
    """Yield the passages of *events* (in order of n); *expand* tells the start-up event by event.

    *breaks* has watched the whole run where *events* are only some of it.
    """
    folder = Fold(expand=expand, breaks=breaks)
    for event in events:
        yield from folder.add(event)
    yield from folder.finish()


class Fold:
    """The fold as a machine: `add` every event, then `finish`; both return the passages that are complete."""

    def __init__(self, *, expand: bool = False, breaks: Breaks | None = None) -> None:
        self._expand = expand
        self._breaks = breaks or Breaks()
        self._openings: dict[int, Opening] = {}
        self._tasks: dict[int, _Task] = {}
        self._ready: list[tuple[int, int, Passage]] = []
        self._serial = 0

    def add(self, event: Event) -> list[Passage]:
        """Take one event in."""
        moved = self._breaks.follow(event)
        waiting = self._serial
        task = self._tasks.get(event.tid) or self._tasks.setdefault(event.tid, _Task())
        if not self._opening(event, task):
            for passage in task.take(event, moved):
                self._wait(passage)
        if isinstance(event, Process):
            self._process(event, task)
        return self._release() if self._serial != waiting else []

    def finish(self) -> list[Passage]:
        """Return everything that is still open, in order."""
        for task in self._tasks.values():
            for passage in task.close():
                self._wait(passage)
        self._tasks.clear()
        return [heapq.heappop(self._ready)[2] for _ in range(len(self._ready))]

    def _opening(self, event: Event, task: _Task) -> bool:
        """Count *event* into its process's start-up if that still goes on."""
        opening = self._openings.get(event.pid)
        if opening is None:
            return False
        if is_programs_own(event):
            del self._openings[event.pid]
            return False
        row = opening.takes(event)
        if row is not None:
            for passage in task.push(("before main", event.n), row):
                self._wait(passage)
        return True

    def _process(self, event: Process, task: _Task) -> None:
        if event.what in ("start", "exec") and not self._expand:
            self._openings[event.pid] = Opening()
        if event.what in ("exit", "killed"):
            for passage in task.close():
                self._wait(passage)
            self._tasks.pop(event.tid, None)

    def _wait(self, passage: Passage) -> None:
        self._serial += 1
        heapq.heappush(self._ready, (passage.n, self._serial, passage))

    def _release(self) -> list[Passage]:
        """Return what no open passage of another thread can precede; hurry the oldest when too many wait."""
        out: list[Passage] = []
        while self._ready:
            oldest = min((task for task in self._tasks.values() if task.is_open), key=_Task.start, default=None)
            if oldest is not None and oldest.start() < self._ready[0][0]:
                if len(self._ready) <= _WAITING:
                    break
                self._wait(oldest.hurry())
            else:
                out.append(heapq.heappop(self._ready)[2])
        return out


class _Task:
    """What one thread has open: the call it is in, and its last few passages."""

    def __init__(self) -> None:
        self._call: Row | None = None
        self._held: list[tuple[Key, Row]] = []
        self._passages: deque[Passage] = deque()

    @property
    def is_open(self) -> bool:
        return bool(self._passages) or self._call is not None

    def start(self) -> int:
        """Return n of the first event that is still open."""
        if self._passages:
            return self._passages[0].n
        return self._call.first.n if self._call is not None else -1

    def take(self, event: Event, moved: int | None) -> list[Passage]:
        row = Row.of(event, moved)
        if self._call is not None:
            if isinstance(event, Syscall | Fault) and event.cause == self._call.first.n:
                self._call.nest(key_of(event), row)
                return []
            if not isinstance(event, Call | Syscall | Fault | Process):
                # A signal or a loss does not end the call it fell into; it is told after it.
                self._held.append((key_of(event), row))
                return []
        done = self._end_call()
        if isinstance(event, Call):
            self._call = row
            return done
        return done + self.push(key_of(event), row)

    def _end_call(self) -> list[Passage]:
        if self._call is None:
            return []
        call, self._call = self._call, None
        done = self.push(key_of(call.first, call.inside), call)
        for key, row in self._held:
            done += self.push(key, row)
        self._held.clear()
        return done

    def push(self, key: Key, row: Row) -> list[Passage]:
        passages = self._passages
        if passages and key in passages[-1].rows:
            passages[-1].rows[key].absorb(row)
            return []
        passages.append(Passage({key: row}))
        self._join_turns()
        return [passages.popleft()] if len(passages) > 2 * _PERIOD else []

    def _join_turns(self) -> None:
        """Join the last rows with those before them if they repeat them: A B A B becomes one passage of A and B."""
        passages = self._passages
        last = passages[-1].rows.keys()
        for period in range(2, len(passages) // 2 + 1):
            if passages[-1 - period].rows.keys() == last and self._repeats(period):
                turns = [passages.pop() for _ in range(2 * period)]
                joined = turns.pop()
                while turns:
                    joined.absorb(turns.pop())
                passages.append(joined)
                return

    def _repeats(self, period: int) -> bool:
        passages = self._passages
        return all(passages[-i].rows.keys() == passages[-i - period].rows.keys() for i in range(2, period + 1))

    def hurry(self) -> Passage:
        """Give up the oldest passage as it stands."""
        if not self._passages:
            for passage in self._end_call():
                self._passages.append(passage)
        return self._passages.popleft()

    def close(self) -> list[Passage]:
        """Give up everything."""
        done = self._end_call() + list(self._passages)
        self._passages.clear()
        return done
