"""A memory read in large pieces, each once, and only where its pages are there: reading others would bring them in."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from observer.heap.values import Finding
from observer.model.addresses import PAGE

__all__ = ["PIECE", "Image", "Memory", "Piece"]

PIECE: Final = 256 << 10
"""Bytes of address space that are looked at together."""
_MOST_BYTES: Final = 256 << 20
_MOST_FINDINGS: Final = 100
_HIGHEST: Final = 1 << 52


class Memory(Protocol):
    """The memory of something that does not run meanwhile."""

    def read(self, address: int, length: int) -> bytes:
        """Return up to *length* bytes; raises OSError where nothing can be read."""

    def present(self, start: int, end: int) -> Iterable[tuple[int, int]]:
        """Yield the runs [first, last) of pages in [start, end) that can be read without changing anything."""

    def is_swapped(self, address: int) -> bool:
        """Whether the page at *address* is not there because it was swapped out."""


class Piece:
    """The bytes from `base` on as words, zero where no page is there; `pages` are the numbers of those that are."""

    __slots__ = ("base", "pages", "words")

    def __init__(self, base: int, words: memoryview, pages: frozenset[int]) -> None:
        self.base, self.words, self.pages = base, words, pages


class Image:
    """What was read of *memory* so far, and what was found wrong and unreadable in it.

    Of more than *most_bytes* the rest is unread.
    """

    def __init__(self, memory: Memory, most_bytes: int = _MOST_BYTES) -> None:
        self._memory = memory
        self._pieces: dict[int, Piece] = {}
        self._left = most_bytes
        self.findings: list[Finding] = []
        self.more_findings = 0
        self.unread: dict[str, None] = {}

    def found(self, what: str, address: int, chunk: int = 0, place: str = "") -> None:
        """Take down what cannot be."""
        if len(self.findings) < _MOST_FINDINGS:
            self.findings.append(Finding(what, address, chunk, place))
        else:
            self.more_findings += 1

    def piece(self, address: int) -> Piece:
        """Return the piece that holds *address*."""
        number = address // PIECE
        piece = self._pieces.get(number)
        if piece is None:
            piece = self._pieces[number] = self._read(number * PIECE)
        return piece

    def word(self, address: int) -> int | None:
        """Return the word at *address*, None where there is none."""
        if address & 7 or not 0 < address < _HIGHEST:
            return None
        piece = self.piece(address)
        if address // PAGE not in piece.pages:
            return None
        word: int = piece.words[(address - piece.base) >> 3]
        return word

    def words(self, start: int, count: int) -> list[int] | None:
        """Return *count* words from *start* on, None unless all are there."""
        base, at = start // PIECE * PIECE, start % PAGE
        if at + 8 * count <= PAGE and not start & 7 and 0 < start < _HIGHEST:  # all in one page, mostly
            piece = self.piece(base)
            first = (start - base) >> 3
            return piece.words[first : first + count].tolist() if start // PAGE in piece.pages else None
        found = [self.word(start + 8 * i) for i in range(count)]
        return None if None in found else [word for word in found if word is not None]

    def look(self, address: int, count: int) -> list[int] | None:
        """Return *count* words from *address* on, all of one page, None where it is not there; nothing else is read."""
        page = address // PAGE * PAGE
        if address & 7 or not 0 < address < _HIGHEST or not any(self._memory.present(page, page + PAGE)):
            return None
        try:
            got = self._memory.read(address, 8 * count)
        except OSError:
            return None
        return np.frombuffer(got, dtype="<u8").tolist() if len(got) == 8 * count else None

    def array(self, start: int, end: int) -> npt.NDArray[np.uint64]:
        """Return the words of [start, end), zero where no page is there."""
        parts: list[npt.NDArray[Any]] = []
        for base in range(start // PIECE * PIECE, end, PIECE):
            words = np.frombuffer(self.piece(base).words, dtype="<u8")
            parts.append(words[max(start - base, 0) >> 3 : max(min(end - base, PIECE), 0) >> 3])
        return np.concatenate([np.empty(0, dtype="<u8"), *parts])

    def why_absent(self, address: int) -> str:
        """Say why there is nothing to read at *address*: it is no part of the heap's damage, empty if it is."""
        if self._left <= 0:
            return "it is larger than what is read of a heap"
        if 0 < address < _HIGHEST and self._memory.is_swapped(address):
            return "pages of it are swapped out"
        return ""

    def _read(self, base: int) -> Piece:
        data, pages = bytearray(PIECE), set[int]()
        for first, last in self._memory.present(base, base + PIECE) if self._left > 0 else ():
            try:
                got = self._memory.read(first, last - first)
            except OSError:
                continue
            data[first - base : first - base + len(got)] = got
            pages.update(range(first // PAGE, (first + len(got)) // PAGE))
            self._left -= len(got)
        return Piece(base, memoryview(bytes(data)).cast("Q"), frozenset(pages))
