"""What the departures' rules must remember of earlier events: the call each thread is in, and pages that faulted."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final, NamedTuple

from observer.model.addresses import PAGE
from observer.model.events import Call, Event, Fault, Process, Syscall
from observer.model.memory_calls import Advise, Break, Map, Move, Unmap, memory_call

__all__ = ["Earlier", "Memory"]

_REMEMBERED: Final = 1 << 16
"""Pages kept; the longest unseen go first, so a zero page or a copy-on-write of long ago may be missed."""
_BEHIND_BREAK: Final = 1 << 24


class Earlier(NamedTuple):
    """How a page was touched before: `access` as of a fault, empty if unknown; `in_parent`: before the fork."""

    access: str
    in_parent: bool


class Memory:
    """What the rules must remember: the call each thread is in, and the pages that faulted before."""

    def __init__(self) -> None:
        self.calls: dict[int, Call] = {}
        self.parents: dict[int, int] = {}
        self._pages: OrderedDict[tuple[int, int], str] = OrderedDict()

    def call_of(self, event: Event) -> Call | None:
        """Return the allocator call that *event* happened in."""
        call = self.calls.get(event.tid)
        cause = getattr(event, "cause", None)
        return call if call is not None and cause == call.n else None

    def earlier(self, fault: Fault) -> Earlier | None:
        """Return how the same page was first touched: in this process, or in its parent before the fork."""
        page = fault.address // PAGE
        own = self._pages.get((fault.pid, page))
        if own is not None:
            return Earlier(own, in_parent=False)
        parent = self.parents.get(fault.pid)
        before = None if parent is None else self._pages.get((parent, page))
        return None if before is None else Earlier(before, in_parent=True)

    def learn(self, event: Event) -> None:
        """Take *event* in after the rules have judged it."""
        if isinstance(event, Call):
            self.calls[event.tid] = event
        elif isinstance(event, Fault):
            self._pages[event.pid, event.address // PAGE] = event.access or ""
            if len(self._pages) > _REMEMBERED:
                self._pages.popitem(last=False)
        elif isinstance(event, Process):
            self._process(event)
        elif isinstance(event, Syscall):
            self._syscall(event)

    def _process(self, event: Process) -> None:
        if event.what == "fork" and event.child is not None:
            self.parents[event.child] = event.pid
        elif event.what == "exec":
            self.parents.pop(event.pid, None)
            for key in [key for key in self._pages if key[0] == event.pid]:
                del self._pages[key]

    def _syscall(self, event: Syscall) -> None:
        """Forget pages whose contents the kernel threw away or replaced, so that a new first touch is one."""
        call = memory_call(event)
        if isinstance(call, (Unmap, Move, Advise)):
            self._forget(event.pid, call.start, call.length)
        elif isinstance(call, Break) and call.end is not None:
            self._forget(event.pid, call.end, _BEHIND_BREAK)
        elif isinstance(call, Map) and call.start is not None:
            self._forget(event.pid, call.start, call.length)

    def _forget(self, pid: int, start: int, length: int) -> None:
        first, last = start // PAGE, (start + length) // PAGE
        if last - first < len(self._pages):
            for page in range(first, last + 1):
                self._pages.pop((pid, page), None)
        else:
            for key in [key for key in self._pages if key[0] == pid and first <= key[1] <= last]:
                del self._pages[key]
