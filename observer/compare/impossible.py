"""What an allocator cannot hand out unless its memory was overwritten: pieces in use, and free ones that are too small.

Asked where an exact model, which has been right so far, is wrong about a pointer: a sound program never comes here.
"""

from __future__ import annotations

from observer.glibc.chunks import HEADER, chunk_size
from observer.model.chunks import Chunk
from observer.model.events import Call, Misuse, Site
from observer.model.operations import ALLOCATING, FREEING, RESIZING

__all__ = ["Pieces"]


_Given = tuple[int, Site | None, int]
"""A call that gave a piece: its number, its place, the piece's size. (A tuple: there is one for each call of a run.)"""


class Pieces:
    """The pieces of one process, in use and given back, with the calls that gave them."""

    def __init__(self) -> None:
        self._held: dict[int, _Given] = {}
        self._freed: dict[int, tuple[_Given, int, Site | None]] = {}
        """With the number and the place of the call that gave the piece back."""

    def copy(self) -> Pieces:
        """Return those of a forked child."""
        twin = Pieces()
        twin._held, twin._freed = dict(self._held), dict(self._freed)
        return twin

    def take(self, call: Call) -> None:
        """*call* gave a piece, or gave one back."""
        op, result = call.op, call.result
        if call.pointer and (op in FREEING or (op in RESIZING and (result or not call.bytes_asked))):
            gone = self._held.pop(call.pointer, None)
            if gone is not None:
                self._freed[call.pointer] = gone, call.n, call.site
        if result and op in ALLOCATING:
            self._held[result] = call.n, call.site, call.bytes_asked
            self._freed.pop(result, None)

    def judge(self, call: Call, chunks: list[Chunk]) -> Misuse | None:
        """Return what is impossible about *call*, which has not been taken yet and came otherwise, if anything is.

        *chunks* are those of the model.
        """
        if call.op in FREEING:
            held = self._held.get(call.pointer or 0)
            return Misuse("other size", held[0], _place(held[1])) if held is not None else None
        start, end = call.result or 0, (call.result or 0) + max(call.bytes_asked, 1)
        moved = call.pointer if call.op in RESIZING else None
        for pointer, (n, site, size) in self._held.items():
            if pointer != moved and pointer < end and start < pointer + max(size, 1):
                return Misuse("overlap", n, _place(site))
        chunk = next((chunk for chunk in chunks if chunk.address == start - HEADER), None)
        if chunk is None or chunk.state in ("in use", "top", "mmapped") or start not in self._freed:
            return None
        (n, site, _size), freed_by, freed_at = self._freed[start]
        if chunk.size >= chunk_size(call.bytes_asked):
            return None
        return Misuse("too small", n, _place(site), freed_by, _place(freed_at))


def _place(site: Site | None) -> str | None:
    return site.text if site is not None else None
