"""The aligned list made short: neighbours that tell the same are one entry, with their number."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from observer.compare.result import Row
from observer.model.events import Fault

__all__ = ["Aligned", "Entry"]


@dataclass(slots=True)
class Entry:
    """`count` rows alike, beginning with `row`; `faults` are the page faults of all of them."""

    row: Row
    count: int = 1
    faults: int = 0


class Aligned:
    """The aligned list while it grows: `add` every row in order, then `finish`; neighbours alike are one entry.

    Args:
        most: entries that are kept; of further ones only their number, `left_out`. None: all are kept.
        on_entry: is given each entry once it is whole.
    """

    def __init__(self, most: int | None = None, on_entry: Callable[[Entry], None] | None = None) -> None:
        self._most, self._on_entry = most, on_entry
        self._open: Entry | None = None
        self.entries: list[Entry] = []
        self.left_out = 0

    def add(self, row: Row) -> None:
        """Take the next row in."""
        if self._open is None or _words(self._open.row) != _words(row):
            self.finish()
            self._open = Entry(row, 0)
        self._open.count += 1
        self._open.faults += _faults(row)

    def finish(self) -> None:
        """There are no more rows like the last one, or none at all."""
        entry, self._open = self._open, None
        if entry is None:
            return
        if self._most is None or len(self.entries) < self._most:
            self.entries.append(entry)
        else:
            self.left_out += 1
        if self._on_entry is not None:
            self._on_entry(entry)


def _faults(row: Row) -> int:
    return sum(isinstance(event, Fault) for event in row.events) if row.faults is None else row.faults


def _words(row: Row) -> tuple[object, ...]:
    return row.what, row.site, row.told_observed, row.told_predicted, row.rules
