"""A large table as small ones, one behind the other.

Whatever is asked of a file, DuckDB holds all that is known of all its row groups, and looks through it for every column
that is read: of a file of three thousand row groups 100 MB, for 20 ms and more. Of a slice it knows little.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final, NamedTuple

from observer.files import File
from observer.trace.row_groups import MAGIC, Described, closing_of_some, described

__all__ = ["Slice", "Slices"]

_SMALL: Final = 1 << 14
"""Of a table of which fewer bytes are known there are only a few row groups: it is not cut."""
_LARGEST: Final = 1 << 27
"""More than this is known of no table that was recorded."""


class Slice(NamedTuple):
    """A table of some *rows* of another one; None: nobody knows how many, it is that table itself."""

    file: File
    rows: int | None


class Slices:
    """A table that can be had in slices.

    `rows` is how many it has, None if it is not cut: it is small, or it cannot be. That is done between stretches that
    were written apart, at whose ends may stand what all their row groups need, Bloom filters.
    """

    def __init__(self, file: File) -> None:
        self._file = file
        self._length = int.from_bytes(file.read_at(max(file.size - len(MAGIC) - 4, 0), 4), "little")
        self._head, self._groups = b"", list[Described]()
        if _SMALL <= self._length <= min(_LARGEST, file.size):
            try:
                self._head, self._groups = described(self._known(0, self._length))
            except (ValueError, IndexError, KeyError):
                self._groups = []  # DuckDB says what is wrong with the table
        ends = [*(group.start for group in self._groups[1:]), self._behind]
        self._cuts = [
            (i + 1, end) for i, (group, end) in enumerate(zip(self._groups, ends, strict=False))
            if end > group.start + group.size or i + 1 == len(self._groups)
        ]  # fmt: skip
        places = [len(MAGIC), *(group.start for group in self._groups), self._behind]
        if len(self._cuts) == 1 or any(after < before for before, after in pairwise(places)):
            self._cuts = []
        self.rows = sum(group.rows for group in self._groups) if self._cuts else None

    def parts(self, most: int) -> Iterator[Slice]:
        """Yield the slices, of *most* row groups and perhaps some more."""
        first = 0
        for cut, end in self._cuts:
            if cut - first >= most or cut == len(self._groups):
                groups = self._groups[first:cut]
                yield Slice(self._slice(groups, end), sum(group.rows for group in groups))
                first = cut
        if not self._cuts:
            yield Slice(self._file, None)

    @property
    def _behind(self) -> int:
        """Where the last row group ends, and what is known of the file begins."""
        return self._file.size - self._length - len(MAGIC) - 4

    def _slice(self, groups: Sequence[Described], end: int) -> File:
        start = groups[0].start
        closing = closing_of_some(self._head, groups, self._known(groups[0].at, groups[-1].end))
        return File.in_memory([(0, MAGIC), (start, self._file.read_at(start, end - start)), (end, closing)])

    def _known(self, first: int, last: int) -> bytes:
        """Return a part of what is known of the file, which stands at its end."""
        return self._file.read_at(self._behind + first, last - first)
