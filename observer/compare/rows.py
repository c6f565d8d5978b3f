"""The aligned list made short: neighbours that tell the same are one entry, with their number."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from observer.compare.result import Row
from observer.model.events import Fault

__all__ = ["Entry", "fold"]


@dataclass(slots=True)
class Entry:
    """`count` rows alike, beginning with `row`; `faults` are the page faults of all of them."""

    row: Row
    count: int = 1
    faults: int = 0


def fold(rows: Iterable[Row]) -> Iterator[Entry]:
    """Yield *rows* in order, neighbours that are alike as one."""
    entry: Entry | None = None
    for row in rows:
        if entry is None or _words(entry.row) != _words(row):
            if entry is not None:
                yield entry
            entry = Entry(row, 0)
        entry.count += 1
        entry.faults += _faults(row)
    if entry is not None:
        yield entry


def _faults(row: Row) -> int:
    return sum(isinstance(event, Fault) for event in row.events) if row.faults is None else row.faults


def _words(row: Row) -> tuple[object, ...]:
    return row.what, row.site, row.told_observed, row.told_predicted, row.rules
