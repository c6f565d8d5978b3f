"""What a comparison found to differ, in the order in which it was found, however much that is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import IO, Final

import msgspec

from observer.errors import BadTrace

__all__ = ["Difference", "Differences"]

_HELD: Final = 1 << 14
"""Differences that are held in memory before they are put aside: some megabytes."""


class Difference(msgspec.Struct):
    """One difference at event `n`. `rule` is null when none explains it; `confirmed` null when it was not tried."""

    n: int
    what: str
    observed: str
    predicted: str
    rule: str | None
    why: str | None
    confirmed: bool | None = None


class Differences:
    """Differences one after the other; to be iterated as often as wanted once all are there.

    Args:
        aside: opens the file, for reading and writing, where those wait that are too many to be held; None: all are.
    """

    def __init__(self, aside: Callable[[], IO[bytes]] | None = None) -> None:
        self._open = aside
        self._aside: IO[bytes] | None = None
        self._lengths: list[int] = []
        self._held: list[Difference] = []
        self._confirmed: dict[str, bool] = {}
        self.by_rule: Counter[str | None] = Counter()
        """How many there are of each rule; of None: that none explains."""

    def __len__(self) -> int:
        return self.by_rule.total()

    def __iter__(self) -> Iterator[Difference]:
        for difference in self._all():
            if difference.rule in self._confirmed:
                difference.confirmed = self._confirmed[difference.rule]
            yield difference

    def append(self, difference: Difference) -> None:
        """Add one.

        Raises:
            BadTrace: there is no room for it.
        """
        self.by_rule[difference.rule] += 1
        self._held.append(difference)
        if len(self._held) >= _HELD and self._open is not None:
            self._put_aside(self._open)

    def confirm(self, rule: str, *, confirmed: bool) -> None:
        """Note for all that *rule* explains what an experiment said of it."""
        self._confirmed[rule] = confirmed

    def _put_aside(self, opened: Callable[[], IO[bytes]]) -> None:
        block = msgspec.msgpack.encode(self._held)
        try:
            self._aside = self._aside or opened()
            self._aside.write(block)
            self._aside.flush()
        except OSError as error:
            how = "make room, or set TMPDIR to a folder on a larger file system"
            raise BadTrace(f"cannot keep {len(self):,} differences", error.strerror or "", how) from error
        self._lengths.append(len(block))
        self._held = []

    def _all(self) -> Iterator[Difference]:
        if self._aside is not None:
            self._aside.seek(0)
            for length in self._lengths:
                yield from msgspec.msgpack.decode(self._aside.read(length), type=list[Difference])
        yield from self._held
