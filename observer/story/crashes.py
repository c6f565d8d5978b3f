"""Why a process was ended by a signal: what it touched, whose piece of memory that was, and where it was freed."""

from __future__ import annotations

from typing import Final, NamedTuple

from observer.model.events import Call, Event, Signal
from observer.model.operations import ALLOCATING
from observer.story.places import Freed, Piece, Places
from observer.story.sentences import call_words, misuse_words, sentence
from observer.story.wording import number, plural

__all__ = ["Crash", "CrashWords", "Crashes", "Touched", "broken_words", "crash_words"]

_SI_TKILL: Final = -6
"""The code of a signal that a thread sends itself, as abort(3) does (sigaction(2))."""
_TOLD: Final = 3
_NEAR: Final = 4096
"""Bytes behind a piece in which an address is taken for one that ran out of it."""


class Touched(NamedTuple):
    """The piece that an address belongs to: `offset` bytes into it, or behind it; `freed` where it was given back."""

    offset: int
    piece: Piece
    is_behind: bool = False
    freed: Freed | None = None


class Crash(NamedTuple):
    """A fatal signal, and what is known of it.

    `inside` is the allocator call that it fell into, `misused` the last call before it that broke a rule of malloc(3),
    `touched` the piece whose memory was touched.
    """

    event: Signal
    inside: Call | None
    misused: Call | None
    touched: Touched | None

    @property
    def found_damage(self) -> bool:
        """Whether the C library ended the process itself, for what it found, and no broken rule explains it."""
        has_aborted = self.event.signal == "SIGABRT" and self.event.code == _SI_TKILL
        return self.inside is not None and self.misused is None and has_aborted


class CrashWords(NamedTuple):
    """What happened, and in further sentences what is known of the memory it touched."""

    what: str
    because: tuple[str, ...]


class Crashes:
    """Follows a run: `add` every event in order of n, after *places* has it; `found` are the processes that crashed.

    `broken` are the first calls that broke a rule of malloc(3), `broken_count` is how many did.
    """

    def __init__(self, places: Places) -> None:
        self.found: list[Crash] = []
        self.broken: list[Call] = []
        self.broken_count = 0
        self._places = places
        self._unfinished: dict[int, Call] = {}
        self._misused: dict[int, Call] = {}

    def add(self, event: Event) -> None:
        """Take one event in."""
        if type(event) is Call:
            if event.end_ns is None:
                self._unfinished[event.tid] = event
            else:
                self._unfinished.pop(event.tid, None)  # left by a jump, since its thread went on
            if event.misuse is not None:
                self._misused[event.pid] = event
                self.broken_count += 1
                if len(self.broken) < _TOLD:
                    self.broken.append(event)
        elif type(event) is Signal and event.fatal:
            self.found.append(self._crash(event))

    @property
    def unfinished(self) -> frozenset[int]:
        """The threads whose last call did not return."""
        return frozenset(self._unfinished)

    def _crash(self, event: Signal) -> Crash:
        has_address = event.address is not None and event.exception is not None
        touched = self._touched(event.pid, event.address) if has_address and event.address is not None else None
        return Crash(event, self._unfinished.get(event.tid), self._misused.get(event.pid), touched)

    def _touched(self, pid: int, address: int) -> Touched | None:
        """Return which piece of *pid* an *address* lies in, or behind."""
        for pointer, gone in reversed(self._places.freed.get(pid, {}).items()):
            if pointer <= address < pointer + max(gone.piece.asked, 1):
                return Touched(address - pointer, gone.piece, freed=gone)
        alive = self._places.alive.get(pid, {})
        for pointer, piece in alive.items():
            if pointer <= address < pointer + piece.asked:
                return Touched(address - pointer, piece)
        behind = ((address - pointer - piece.asked, piece) for pointer, piece in alive.items())
        near = min((each for each in behind if 0 <= each[0] < _NEAR), key=lambda each: each[0], default=None)
        return Touched(*near, is_behind=True) if near is not None else None


def crash_words(crash: Crash) -> CrashWords:
    """Tell a crash, and why it came."""
    call, because = crash.inside, []
    if call is not None and call != crash.misused:
        because.append(f"this happened in {call_words(call)}{_at(call)}, event {number(call.n)}")
    if crash.misused is not None:
        because.append(broken_words(crash.misused))
    if call is not None and crash.found_damage:
        what = "memory" if call.op in ALLOCATING else "the piece"
        because.append(f"the C library found {what} damaged: something was written outside its piece before")
    if crash.touched is not None:
        because.append(_touched_words(crash.touched))
    return CrashWords(f"{_place(crash.event)}{sentence(crash.event, at_site=False)}", tuple(because))


def broken_words(call: Call) -> str:
    """Say which rule of malloc(3) *call* breaks, where."""
    return f"event {number(call.n)}, {call_words(call)}{_at(call)}: {misuse_words(call)}"


def _place(event: Signal) -> str:
    return f"{event.site.text}: " if event.site is not None else ""


def _at(call: Call) -> str:
    return f" at {call.site.text}" if call.site is not None else ""


def _touched_words(touched: Touched) -> str:
    piece = touched.piece
    name = f"the {plural(piece.asked, 'byte')} that {piece.place.text} asked for (event {number(piece.call)})"
    where = f"the address lies {plural(touched.offset, 'byte')} {'behind' if touched.is_behind else 'into'} {name}"
    return f"{where}, {_freed(touched.freed)}" if touched.freed is not None else where


def _freed(gone: Freed) -> str:
    place = f" by {gone.site.text}" if gone.site is not None else ""
    return f"freed{place} (event {number(gone.call)})"
