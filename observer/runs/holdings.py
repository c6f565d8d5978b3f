"""What an allocator holds over time, accounted for from the events of a recorded run.

Two passes over the same events, so that memory grows with what is alive and resident, never with the number of
events: `find_peaks` learns when most was live, `account` then follows the resident pages of the allocator's memory and
looks at that moment which of their bytes were live.

A page counts as the allocator's from its first fault on (one that only read has the shared page of zeros, and is not
resident), until it is unmapped, cut off by brk, or given up with MADV_DONTNEED. MADV_FREE leaves it resident until the
kernel wants it. Pages that come in without a fault (MAP_POPULATE, mlock) are not seen.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from observer.model.addresses import PAGE, AddressSpace, page_up
from observer.model.events import Call, Event, Fault, Process, Syscall
from observer.model.footprint import Conduct
from observer.model.lives import Lives
from observer.model.memory_calls import Advise, Break, Map, Move, Unmap, memory_call
from observer.model.operations import ALLOCATING, OPERATIONS

__all__ = ["Peak", "account", "find_peaks"]

_SHIFT: Final = PAGE.bit_length() - 1
_GIVING_BACK: Final = ("dontneed", "free", "dontneed_locked")


@dataclass(slots=True)
class Peak:
    """The last moment at which most bytes were live in a process: their number, and when the call had returned."""

    live: int = 0
    end_ns: int = 0


@dataclass(slots=True)
class _Live:
    """The pieces that are alive in one process."""

    sizes: dict[int, int] = field(default_factory=dict)
    bytes: int = 0

    def copy(self) -> _Live:
        return _Live(dict(self.sizes), self.bytes)

    def forget(self, pointer: int) -> None:
        self.bytes -= self.sizes.pop(pointer, 0)

    def call(self, event: Call) -> bool:
        """Take a call in; return whether a piece came to life."""
        operation = OPERATIONS[event.op]
        moved = event.result or not event.bytes_asked  # a realloc that fails keeps the old piece
        if operation.releases and event.pointer and (moved or not operation.allocates):
            self.forget(event.pointer)
        if event.op not in ALLOCATING or not event.result:
            return False
        self.forget(event.result)
        self.sizes[event.result] = event.bytes_asked
        self.bytes += event.bytes_asked
        return True


def _is_by(event: Call | Syscall, modules: frozenset[str]) -> bool:
    """Whether the code of one of *modules* made the call."""
    return event.site is not None and event.site.module in modules


def find_peaks(events: Iterable[Event], modules: frozenset[str] = frozenset()) -> dict[int, Peak]:
    """Return for each process when most was live in it; *events* are calls and processes in order of n.

    *modules* are the base names of the allocator's libraries: what they ask of themselves is not the program's.
    """
    lives: Lives[_Live] = Lives(lambda pid, environment: _Live(), lambda live, task, child: live.copy())
    peaks: dict[int, Peak] = {}
    for event in events:
        live = lives.of(event.pid)
        if isinstance(event, Call) and not _is_by(event, modules):
            peak = peaks.setdefault(event.pid, Peak())
            if live.call(event) and live.bytes >= peak.live:
                peak.live, peak.end_ns = live.bytes, event.end_ns or event.t_ns
        elif isinstance(event, Process):
            lives.take(event)
    return peaks


def account(events: Iterable[Event], peaks: dict[int, Peak], modules: frozenset[str]) -> Conduct:
    """Return what the allocator did; *modules* are the base names of its libraries, empty for the C library's own.

    *events* are all events in order of n, *peaks* what `find_peaks` learnt of them.
    """
    ledger = _Account(peaks, modules)
    for event in events:
        ledger.add(event)
    return ledger.result()


@dataclass(slots=True)
class _Holding:
    """One process: the allocator's mappings, their resident pages, the live pieces, and the sums so far."""

    space: AddressSpace = field(default_factory=AddressSpace)
    pages: set[int] = field(default_factory=set)
    live: _Live = field(default_factory=_Live)
    sums: Counter[str] = field(default_factory=Counter)
    returned: Counter[str] = field(default_factory=Counter)
    largest: tuple[int, int] = (0, 0)
    in_largest: int = 0
    is_past_peak: bool = False

    def fork(self) -> _Holding:
        return _Holding(
            self.space.copy(), set(self.pages), self.live.copy(), Counter(self.sums), Counter(self.returned),
            self.largest, self.in_largest,
        )  # fmt: skip

    def bring_in(self, address: int) -> None:
        """A page of the allocator's became resident."""
        page, (start, length) = address >> _SHIFT, self.largest
        self.in_largest += page not in self.pages and start <= address < start + length
        self.pages.add(page)
        self.sums["held_peak"] = max(self.sums["held_peak"], len(self.pages) * PAGE)
        self.sums["largest_resident"] = max(self.sums["largest_resident"], self.in_largest * PAGE)

    def is_new_largest(self, start: int, length: int) -> None:
        """*length* bytes were mapped in one call, more than ever before."""
        self.largest, self.in_largest = (start, length), 0
        self.sums["largest_resident"] = 0

    def within(self, start: int, end: int) -> list[int]:
        """Return the resident pages of [start, end)."""
        first, last = start >> _SHIFT, page_up(end) >> _SHIFT
        if last - first < len(self.pages):
            return [page for page in range(first, last) if page in self.pages]
        return [page for page in self.pages if first <= page < last]

    def drop(self, start: int, end: int) -> None:
        gone = self.within(start, end)
        self.pages.difference_update(gone)
        first, length = self.largest
        self.in_largest -= sum(first <= page << _SHIFT < first + length for page in gone)

    def covered(self) -> int:
        """Return how many bytes of live pieces lie on resident pages."""
        return sum(self._covered_by(start, size) for start, size in self.live.sizes.items() if size)

    def _covered_by(self, start: int, size: int) -> int:
        end = start + size
        if start >> _SHIFT == end - 1 >> _SHIFT:
            return size if start >> _SHIFT in self.pages else 0
        on_pages = ((page << _SHIFT, (page + 1) << _SHIFT) for page in self.within(start, end))
        return sum(min(end, last) - max(start, first) for first, last in on_pages)

    def look(self) -> None:
        """Most is live now: what is held beyond it?"""
        self.is_past_peak = True
        self.sums["held_at_peak"] = len(self.pages) * PAGE
        self.sums["wasted"] = self.sums["held_at_peak"] - self.covered()


class _Account:
    """The events of a run, taken in one by one."""

    def __init__(self, peaks: dict[int, Peak], modules: frozenset[str]) -> None:
        self._peaks = peaks
        self._modules = modules
        # Sums of an earlier program are not the next one's.
        self._lives: Lives[_Holding] = Lives(lambda pid, environment: _Holding(), lambda held, task, child: held.fork())
        self._calls: Counter[str] = Counter()
        self._syscalls: Counter[str] = Counter()
        self._own: Counter[str] = Counter()

    def add(self, event: Event) -> None:
        held = self._lives.of(event.pid)
        peak = self._peaks.get(event.pid)
        if peak is not None and not held.is_past_peak and event.t_ns >= peak.end_ns > 0:
            held.look()
        if isinstance(event, Call):
            if not _is_by(event, self._modules):
                self._calls[event.op] += 1
                held.live.call(event)
        elif isinstance(event, Fault):
            self._fault(held, event)
        elif isinstance(event, Syscall):
            self._syscall(held, event)
        elif isinstance(event, Process):
            self._lives.take(event)

    def _fault(self, held: _Holding, event: Fault) -> None:
        if event.access != "read" and held.space.find(event.address) is not None:
            held.bring_in(event.address)

    def _syscall(self, held: _Holding, event: Syscall) -> None:
        own = event.cause is not None or _is_by(event, self._modules)
        self._syscalls[event.name] += 1
        self._own[event.name] += own
        if event.errno is None and event.result is not None:
            _replay(held, event, own=own)

    def result(self) -> Conduct:
        for pid, held in self._lives:
            if pid in self._peaks and not held.is_past_peak:
                held.look()
        # Without a single call the first process stands for all.
        pid = max(self._peaks, key=lambda pid: self._peaks[pid].live, default=next(iter(self._lives), (0,))[0])
        held = self._lives.of(pid)
        names = ("held_at_peak", "held_peak", "break_moves", "break_grown", "break_shrunk", "maps", "mapped",
                 "unmapped", "largest_resident")  # fmt: skip
        return Conduct(
            calls=dict(self._calls.most_common()), syscalls=dict(self._syscalls.most_common()),
            own_syscalls=dict((+self._own).most_common()), live_peak=self._peaks.get(pid, Peak()).live,
            live_end=held.live.bytes, held_end=len(held.pages) * PAGE, largest=held.largest[1],
            returned=dict(held.returned), wasted=self._wasted(pid, held), **{name: held.sums[name] for name in names},
        )  # fmt: skip

    def _wasted(self, pid: int, held: _Holding) -> int | None:
        """Return the waste: none where nothing was held, unknown where no call told what was live."""
        return held.sums["wasted"] if pid in self._peaks or not held.sums["held_peak"] else None


# ---- what each system call does to a holding ----------------------------------------------------------------


def _replay(held: _Holding, event: Syscall, *, own: bool) -> None:
    call = memory_call(event)
    if isinstance(call, Break):
        _break(held, call.end or 0)  # the allocator's, whoever moves it
    elif isinstance(call, Map):
        _map(held, call, own=own)
    elif isinstance(call, Unmap):
        held.drop(call.start, call.end)
        held.space.unmap(call.start, call.length)
        held.sums["unmapped"] += call.length if own else 0
    elif isinstance(call, Move):
        _move(held, call)
    elif isinstance(call, Advise) and call.advice in _GIVING_BACK:
        _give_back(held, call, own=own)


def _break(held: _Holding, now: int) -> None:
    before = held.space.break_end
    held.space.set_break(now)
    if before and now < before:
        held.drop(page_up(now), page_up(before))
    if before and now != before:
        held.sums["break_moves"] += 1
        held.sums["break_grown"] += max(now - before, 0)
        held.sums["break_shrunk"] += max(before - now, 0)


def _map(held: _Holding, call: Map, *, own: bool) -> None:
    start, length = call.start or 0, call.length
    held.drop(start, start + length)
    held.space.unmap(start, length)
    if own and "anonymous" in call.flags:
        held.space.map(start, length, "rw-")
        held.sums["maps"] += 1
        held.sums["mapped"] += length
        if length > held.largest[1]:
            held.is_new_largest(start, length)


def _move(held: _Holding, call: Move) -> None:
    old, new = call.start, call.new_start or 0
    source = held.space.find(old)
    if source is None:
        return
    moved = [page for page in held.within(old, call.end) if (page << _SHIFT) < old + call.new_size()]
    held.drop(old, call.end)
    held.space.unmap(old, call.length)
    held.space.place(source, old, new, call.new_length)
    held.pages.update(page + ((new - old) >> _SHIFT) for page in moved)


def _give_back(held: _Holding, call: Advise, *, own: bool) -> None:
    if own:
        held.returned[f"MADV_{call.advice}".upper()] += len(held.within(call.start, call.end)) * PAGE
    if call.advice != "free":
        held.drop(call.start, call.end)
