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

from observer.model.events import Call, Event, Fault, Process, Site, Syscall
from observer.story.breaks import Breaks
from observer.story.opening import Opening, is_programs_own
from observer.story.rows import Key, Passage, Row, key_of

__all__ = ["Fold", "fold"]

_PERIOD: Final = 12
"""The longest loop body, in rows, that is recognised as a loop."""
_MOST_KEYS: Final = 1 << 12
_CAUSED: Final = (Syscall, Fault)
_ENDING: Final = (Call, Syscall, Fault, Process)
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
        task = self._tasks.get(event.tid)
        if task is None:
            task = self._tasks[event.tid] = _Task()
        if not self._openings or not self._opening(event, task):
            for passage in task.take(event, moved):
                self._wait(passage)
        if type(event) is Process:
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
        self._call: Call | None = None
        self._inside: dict[Key, Row] = {}
        self._held: list[tuple[Key, Row]] = []
        self._passages: deque[Passage] = deque()
        self._keys: dict[tuple[str, str | None, bool, bool, int, str], tuple[Site | None, Key]] = {}
        """Keys of calls in which nothing happened, each with the site that the identity in its own key is of."""

    @property
    def is_open(self) -> bool:
        return bool(self._passages) or self._call is not None

    def start(self) -> int:
        """Return n of the first event that is still open."""
        if self._passages:
            return self._passages[0].n
        return self._call.n if self._call is not None else -1

    def take(self, event: Event, moved: int | None) -> list[Passage]:
        if isinstance(event, Call):
            done = self._end_call() if self._call is not None else []
            self._call = event
            return done
        row = Row.of(event, moved)
        if self._call is not None:
            if isinstance(event, _CAUSED) and event.cause == self._call.n:
                self._nest(key_of(event), row)
                return []
            if not isinstance(event, _ENDING):
                # A signal or a loss does not end the call it fell into; it is told after it.
                self._held.append((key_of(event), row))
                return []
        done = self._end_call()
        return done + self.push(key_of(event), row)

    def _nest(self, key: Key, row: Row) -> None:
        if key in self._inside:
            self._inside[key].absorb(row)
        else:
            self._inside[key] = row

    def _end_call(self) -> list[Passage]:
        call = self._call
        if call is None:
            return []
        self._call = None
        if not self._inside and not self._held:
            return self._push_call(call)
        row = Row.of(call)
        row.inside, self._inside = self._inside, {}
        done = self.push(key_of(call, row.inside), row)
        for key, held in self._held:
            done += self.push(key, held)
        self._held.clear()
        return done

    def _push_call(self, call: Call) -> list[Passage]:
        """Push a call in which nothing happened: there are many, mostly alike."""
        key = self._key_of_call(call)
        if self._passages:
            row = self._passages[-1].rows.get(key)
            if row is not None:
                row.take_call(call)
                return []
        return self.push(key, Row.of(call))

    def _key_of_call(self, call: Call) -> Key:
        if call.misuse is not None or call.parameter is not None:
            return key_of(call)
        site = call.site
        short = (call.op, call.steps, call.end_ns is None, bool(call.errno), id(site), call.origin)
        known = self._keys.get(short)
        if known is None:
            if len(self._keys) > _MOST_KEYS:
                self._keys.clear()
            known = self._keys[short] = site, key_of(call)
        return known[1]

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
