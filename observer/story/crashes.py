"""Why a process was ended by a signal: what it touched, whose piece of memory that was, and where it was freed."""

from __future__ import annotations

from typing import Final, NamedTuple

from observer.model.events import Call, Event, Signal
from observer.model.operations import ALLOCATING
from observer.story.places import Freed, Piece, Places
from observer.story.sentences import call_words, misuse_words, sentence
from observer.story.wording import number, plural

__all__ = ["Crash", "Crashes", "broken_words"]

_TOLD: Final = 3
_NEAR: Final = 4096
"""Bytes behind a piece in which an address is taken for one that ran out of it."""


class Crash(NamedTuple):
    """A fatal signal: what happened, and in further sentences what is known of the memory it touched."""

    event: Signal
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
            if event.misuse is not None:
                self._misused[event.pid] = event
                self.broken_count += 1
                if len(self.broken) < _TOLD:
                    self.broken.append(event)
        elif type(event) is Signal and event.fatal:
            self.found.append(self._crash(event))

    def _crash(self, event: Signal) -> Crash:
        call = self._unfinished.get(event.tid)
        because = []
        if call is not None:
            because.append(f"this happened in {call_words(call)}{_at(call)}, event {number(call.n)}")
        misused = self._misused.get(event.pid)
        if misused is not None:
            because.append(broken_words(misused))
        elif call is not None and event.exception is None:
            what = "memory" if call.op in ALLOCATING else "the piece"
            because.append(f"the C library found {what} damaged: something was written outside its piece before")
        if event.address is not None and event.exception is not None:
            because += self._whose(event.pid, event.address)
        return Crash(event, f"{_place(event)}{sentence(event, at_site=False)}", tuple(because))

    def _whose(self, pid: int, address: int) -> list[str]:
        """Say which piece of *pid* an *address* lies in, or behind."""
        freed = self._places.freed.get(pid, {})
        for pointer, gone in reversed(freed.items()):
            if pointer <= address < pointer + max(gone.piece.asked, 1):
                return [f"{_within(address - pointer, gone.piece)}, {_freed(gone)}"]
        for pointer, piece in self._places.alive.get(pid, {}).items():
            if pointer <= address < pointer + piece.asked:
                return [_within(address - pointer, piece)]
        behind = min(
            ((address - pointer - piece.asked, piece) for pointer, piece in self._places.alive.get(pid, {}).items()
             if 0 <= address - pointer - piece.asked < _NEAR),
            key=lambda found: found[0], default=None,
        )  # fmt: skip
        return [f"the address lies {plural(behind[0], 'byte')} behind {_name(behind[1])}"] if behind is not None else []


def broken_words(call: Call) -> str:
    """Say which rule of malloc(3) *call* breaks, where."""
    return f"event {number(call.n)}, {call_words(call)}{_at(call)}: {misuse_words(call)}"


def _place(event: Signal) -> str:
    return f"{event.site.text}: " if event.site is not None else ""


def _at(call: Call) -> str:
    return f" at {call.site.text}" if call.site is not None else ""


def _name(piece: Piece) -> str:
    return f"the {plural(piece.asked, 'byte')} that {piece.place.text} asked for (event {number(piece.call)})"


def _within(offset: int, piece: Piece) -> str:
    return f"the address lies {plural(offset, 'byte')} into {_name(piece)}"


def _freed(gone: Freed) -> str:
    place = f" by {gone.site.text}" if gone.site is not None else ""
    return f"freed{place} (event {number(gone.call)})"
