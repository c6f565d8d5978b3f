"""The events of a run by columns, with tables of what many share: places, sentences without their numbers."""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Mapping
from itertools import accumulate
from typing import Any, Final

from observer.model.events import Call, Event, Fault, Signal, Site, Syscall
from observer.model.filenames import safe
from observer.model.memory_calls import Break, Map, Move, memory_call
from observer.model.stacks import CallStack
from observer.report.page.packed import exact, packed
from observer.story.breaks import Breaks
from observer.story.steps import is_step_six, rings_of, step_of

__all__ = ["HOLE", "KINDS", "MOST_CHARACTERS", "EventColumns", "cut"]

KINDS: Final = ("call", "syscall", "fault", "signal", "process", "library", "lost")
HOLE: Final = "\x01"
"""Stands in a sentence for a number that is written beside it; no text that went through `safe` has one."""
MOST_CHARACTERS: Final = 400
_NUMBERS: Final = re.compile(r"0x[0-9a-f]+|[0-9][0-9,]*")
_NONE: Final = -1
_MOST_CALLERS: Final = 24


def cut(text: str, most: int = MOST_CHARACTERS) -> str:
    """Return *text* harmless, at most *most* characters of it, with the number of those that are left out.

    >>> cut("abcdef", 4)
    'abcd… (+2)'
    """
    if len(text) <= most:
        return safe(text)
    return f"{safe(text[:most])}… (+{len(text) - most:,})"


class _Table:
    """Values with their numbers, in the order in which they were first asked for."""

    def __init__(self) -> None:
        self._numbers: dict[Hashable, int] = {}

    def number(self, value: Hashable) -> int:
        return self._numbers.setdefault(value, len(self._numbers))

    @property
    def values(self) -> list[Any]:
        return list(self._numbers)


class EventColumns:
    """`take` the events to be kept, `watch` the others; then `data` is what a page's script reads.

    *tell* writes an event, with what a brk did to the break, as a sentence. *stacks* are those of calls, by their
    numbers, where callers were kept.
    """

    def __init__(self, tell: Callable[[Event, int | None], str], stacks: Mapping[int, CallStack] | None = None) -> None:
        self._tell = tell
        self._stacks = stacks or {}
        self._chains = _Table()
        self._breaks = Breaks()
        self._calls: dict[int, Call] = {}
        self._tables = {name: _Table() for name in ("pid", "step", "ring", "told", "served")}
        self._sites = _Table()
        self._columns: dict[str, list[int]] = {name: [] for name in (
            "n", "t", "kind", "pid", "tid", "site", "told", "step", "ring", "cause", "at", "six", "served",
            "stack",
        )}  # fmt: skip
        self._numbers: list[str] = []
        self.numbers_of: list[int] = self._columns["n"]
        """The numbers of the events that were taken, in order."""

    def watch(self, event: Event) -> None:
        """Learn from an event what later ones need to be told."""
        self._breaks.follow(event)
        if isinstance(event, Call):
            self._calls[event.tid] = event

    def take(self, event: Event) -> None:
        """Add an event."""
        self.watch(event)
        tables, columns = self._tables, self._columns
        for name, value in (
            ("n", event.n), ("t", event.t_ns), ("tid", event.tid), ("cause", getattr(event, "cause", None)),
            ("at", _address_of(event)),
        ):  # fmt: skip
            columns[name].append(_NONE if value is None else exact(value))
        for name, small in (
            ("kind", KINDS.index(event.__struct_config__.tag)), ("site", self._site(event)),
            ("told", self._sentence(event)), ("six", int(isinstance(event, Fault) and is_step_six(event))),
            ("stack", self._chain(event)),
        ):  # fmt: skip
            columns[name].append(small)
        for name, shared in (
            ("pid", event.pid), ("step", step_of(event, self._call_of(event))), ("ring", rings_of(event)),
            ("served", getattr(event, "served_by", None) or ""),
        ):  # fmt: skip
            columns[name].append(tables[name].number(shared))

    def site_number(self, site: Site | None) -> int:
        """Return the number of a place in the table of places, -1 for none."""
        return _NONE if site is None else self._sites.number(site)

    def pid_number(self, pid: int) -> int:
        """Return the number of a process in the table of processes."""
        return self._tables["pid"].number(pid)

    @property
    def sites(self) -> list[Site]:
        """The table of places."""
        return self._sites.values

    def _site(self, event: Event) -> int:
        return self.site_number(getattr(event, "site", None))

    def _chain(self, event: Event) -> int:
        """Return the number of a call's callers in the table of such, -1 where none were kept."""
        stack = self._stacks.get(event.stack) if isinstance(event, Call) and event.stack is not None else None
        if stack is None:
            return _NONE
        shown = stack.callers[:_MOST_CALLERS]
        is_whole = stack.is_whole and len(shown) == len(stack.callers)
        return self._chains.number((*map(self.site_number, shown), *(() if is_whole else (_NONE,))))

    def _call_of(self, event: Event) -> Call | None:
        call = self._calls.get(event.tid)
        return call if call is not None and getattr(event, "cause", None) == call.n else None

    def _sentence(self, event: Event) -> int:
        text = cut(self._tell(event, self._breaks.follow(event)))
        self._numbers.append("\t".join(_NUMBERS.findall(text)))
        return self._tables["told"].number(_NUMBERS.sub(HOLE, text))

    def data(self) -> dict[str, Any]:
        """Return the columns, and the tables that their numbers lead to.

        Of callers, the innermost first, `chains` has the places of all chains behind each other, each with its end,
        `ends`; a last -1 stands for those that are not shown.
        """
        rising = {"n", "t", "at"}
        columns = {name: packed(values, rising=name in rising) for name, values in self._columns.items()}
        tables = {name: table.values for name, table in self._tables.items()}
        chains = {
            "ends": packed(list(accumulate(map(len, self._chains.values))), rising=True),
            "callers": packed([place for chain in self._chains.values for place in chain]),
        }
        return {"columns": columns, "tables": tables, "numbers": "\n".join(self._numbers), "chains": chains}


def _address_of(event: Event) -> int | None:
    """Return the address that an event is about."""
    if isinstance(event, Call):
        return event.result or event.pointer
    if isinstance(event, Fault | Signal):
        return event.address
    call = memory_call(event) if isinstance(event, Syscall) else None
    if isinstance(call, Break):
        return call.end
    if isinstance(call, Map):
        return call.start
    if isinstance(call, Move):
        return call.new_start
    return getattr(call, "start", None)
