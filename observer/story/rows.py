"""What the fold yields: rows of alike events, and passages of rows that take turns.

A `Row` stands for one event or many alike ones; an allocator call carries what happened inside it. A `Passage` is
what a reader reads as one thing: a single row, or the rows of a loop whose body makes several kinds of events.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable
from dataclasses import dataclass, field

from observer.model.addresses import is_numbered
from observer.model.events import Call, Event, Fault, Library, Lost, Process, Site, Syscall
from observer.model.memory_calls import Break, memory_call
from observer.story.kernel_side import KernelSum, work_of

__all__ = ["Key", "Passage", "Row", "key_of", "measure"]

Key = tuple[Hashable, ...]


@dataclass(slots=True)
class Row:
    """`count` alike events, from `first` to `last`.

    `low` and `high` span their measures (bytes asked, bytes of a mapping, addresses of faults), `total` sums them;
    `moved` sums what brk calls did to the break, `kernel` what the kernel did. `inside` holds what happened inside the
    calls, alike with alike.
    `before_main`, where present, counts by name what this row hides: the loader's and the C library's start-up.
    """

    first: Event
    last: Event
    count: int = 1
    low: int = 0
    high: int = 0
    total: int = 0
    moved: int | None = None
    mixed: bool = False
    inside: dict[Key, Row] = field(default_factory=dict)
    kernel: KernelSum | None = None
    before_main: Counter[tuple[str, str]] | None = None

    @classmethod
    def of(cls, event: Event, moved: int | None = None) -> Row:
        """Return the row of one event."""
        value = measure(event, moved)
        return cls(event, event, 1, value, value, value, moved, kernel=work_of(event))

    def take_call(self, call: Call) -> None:
        """Take in a later call of the same key, in which nothing happened."""
        asked = call.bytes_asked
        self.last = call
        self.count += 1
        self.total += asked
        if asked < self.low:
            self.low = asked
        elif asked > self.high:
            self.high = asked

    def absorb(self, other: Row) -> None:
        """Take in a later row of the same key."""
        self.last = other.last
        self.count += other.count
        self.low, self.high = min(self.low, other.low), max(self.high, other.high)
        self.total += other.total
        self.mixed = self.mixed or other.mixed or place_of(self.first) != place_of(other.first)
        if other.moved is not None:
            self.moved = (self.moved or 0) + other.moved
        if self.kernel is not None and other.kernel is not None:
            self.kernel.absorb(other.kernel)
        else:
            self.kernel = self.kernel or other.kernel
        for key, row in other.inside.items():
            self.nest(key, row)

    def nest(self, key: Key, row: Row) -> None:
        """Put *row* inside this call, into the alike row that is there already if one is."""
        if key in self.inside:
            self.inside[key].absorb(row)
        else:
            self.inside[key] = row


@dataclass(slots=True)
class Passage:
    """Rows that take turns, in the order in which they first appeared; most passages have one row."""

    rows: dict[Key, Row]

    @property
    def n(self) -> int:
        """Place of the first event in the one order."""
        return next(iter(self.rows.values())).first.n

    def absorb(self, other: Passage) -> None:
        """Take in a later passage of the same rows."""
        for key, row in other.rows.items():
            if key in self.rows:
                self.rows[key].absorb(row)
            else:
                self.rows[key] = row


def measure(event: Event, moved: int | None = None) -> int:
    """Return the number that a row spans: bytes asked, bytes mapped or moved, an address, a loss."""
    if isinstance(event, Call):
        return event.bytes_asked
    if isinstance(event, Fault):
        return event.address
    if isinstance(event, Syscall):
        return abs(moved or 0) if event.name == "brk" else event.args[1] if len(event.args) > 1 else 0
    return event.count if isinstance(event, Lost) else 0


def place_of(event: Event) -> str | None:
    """Return the mapping that a fault fell into."""
    return event.mapping if isinstance(event, Fault) else None


def key_of(event: Event, inside: dict[Key, Row] | None = None) -> Key:
    """Return what events must share to be told in one row; n is part of it for those that never fold.

    Sizes are not part of it: a loop that asks for a hundred different sizes is one row, with its smallest and largest.
    """
    if isinstance(event, Call):
        outcome = (event.end_ns is None, bool(event.errno))
        names = tuple(sorted(key[:3] for key in inside or {} if key[0] == "syscall"))
        rule = event.misuse.what if event.misuse is not None else event.parameter
        return ("call", event.op, event.steps, outcome, names, _line(event.site), rule, event.origin)
    if isinstance(event, Fault):
        kind = (event.access, event.major, event.ring, event.toucher, event.cause is None)
        return ("fault", _kind_of_place(event.mapping), kind, _line(event.site))
    if isinstance(event, Syscall):
        site = None if event.cause is not None else _line(event.site)
        return ("syscall", event.name, _direction(event), event.errno, event.cause is None, event.end_ns is None, site)
    if isinstance(event, Library):
        return ("library", event.function, event.module, bool(event.crossings), event.end_ns is None, _line(event.site))
    if isinstance(event, Lost):
        return ("lost", event.instrument)
    if isinstance(event, Process) and event.what in ("fork", "vfork", "clone"):
        return ("process", event.what)
    return ("once", event.n)


def _direction(event: Syscall) -> bool:
    """Keep the question brk(0) apart from the brk that moves the break."""
    call = memory_call(event)
    return isinstance(call, Break) and call.is_question


def _line(site: Site | None) -> Key | None:
    if site is None:
        return None
    if site.line is not None:
        return (site.file, site.line)
    return (site.module, site.offset)


def _kind_of_place(mapping: str | None) -> str | None:
    """Mappings that a loop makes anew are one place to its reader."""
    return "numbered" if is_numbered(mapping) else mapping
