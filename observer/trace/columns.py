"""Columns under construction: one array or list a field, turned into arrays for the tables; words by their numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from observer.model.events import Site

__all__ = ["LONGEST", "Columns", "SiteTable", "Words", "is_thin", "joined", "objects", "thin"]

LONGEST: Final = 1 << 14
"""Bytes of one text: a path (PATH_MAX) with each byte written as \\xff. Longer names of functions (C++) are cut."""


_MOST_KNOWN: Final = 1 << 14


class Words:
    """Texts that many rows have in common, numbered; number 0 is none."""

    def __init__(self) -> None:
        self.words: list[str | None] = [None]
        self._numbers: dict[str | None, int] = {None: 0}

    def number(self, word: str | None) -> int:
        """Return the number of *word*, giving it one if it is new."""
        known = self._numbers.get(word)
        if known is None:
            known = self._numbers[word] = len(self.words)
            self.words.append(word)
        return known

    def texts(self, numbers: npt.NDArray[np.int32]) -> npt.NDArray[Any]:
        """Return the words with these *numbers*, as Python's own objects."""
        used, each = np.unique(numbers, return_inverse=True)
        return objects([self.words[number] for number in used.tolist()])[each]

    def are(self, numbers: npt.NDArray[np.int32], test: Callable[[str | None], bool]) -> npt.NDArray[np.bool_]:
        """Return of which of the *numbers* the word is one that passes the *test*."""
        if len(numbers) and (numbers == numbers[0]).all():
            return np.full(len(numbers), test(self.words[numbers[0]]), dtype=np.bool_)
        used, each = np.unique(numbers, return_inverse=True)
        passes: npt.NDArray[np.bool_] = np.array([test(self.words[number]) for number in used.tolist()], dtype=np.bool_)
        return passes[each]


class SiteTable:
    """All places of a trace, numbered; number 0 is no place. `words` numbers its texts."""

    def __init__(self) -> None:
        self.words = Words()
        self._numbers: dict[Site, int] = {}
        self._known: dict[int, tuple[Site, int]] = {}
        """Numbers by the identities of values: most are asked for again and again, and a value's hash takes long."""
        self.sites: list[Site] = []

    def number(self, site: Site | None) -> int:
        """Return the number of *site*, giving it one if it is new."""
        if site is None:
            return 0
        asked = self._known.get(id(site))
        if asked is None:
            if len(self._known) == _MOST_KNOWN:
                self._known.clear()
            asked = self._known[id(site)] = site, self._number(site)
        return asked[1]

    def _number(self, site: Site) -> int:
        known = self._numbers.get(site)
        if known is None:
            if site != _NOWHERE:
                self.sites.append(_kept(site))
            known = self._numbers[site] = len(self.sites) if site != _NOWHERE else 0
        return known

    def of(self, number: int) -> Site | None:
        """Return the place with this *number*."""
        return self.sites[number - 1] if number else None

    def columns(self) -> dict[str, npt.NDArray[Any]]:
        """Return the table's columns."""
        sites = list(self.sites)  # another thread may ask while there are ever more of them
        return {
            "id": np.arange(1, len(sites) + 1, dtype=np.int64),
            "function": objects([site.function for site in sites]),
            "file": objects([site.file for site in sites]),
            "line": np.array([site.line or 0 for site in sites], dtype=np.int64),
            "module": objects([site.module for site in sites]),
            "offset": np.array([site.offset or 0 for site in sites], dtype=np.uint64),
        }


_NOWHERE = Site()


def _kept(site: Site) -> Site:
    """Return *site* as a table can have it: an offset of 64 bits, a name that is not too long."""
    name, offset = site.function, site.offset or 0
    if name is not None and len(name) > LONGEST // 4:  # bytes of a character in UTF-8, at the most
        name = name[: LONGEST // 4 - 1] + "…"
    return msgspec.structs.replace(site, function=name, offset=offset & (1 << 64) - 1)


def objects(values: list[Any]) -> npt.NDArray[Any]:
    """Return an array of Python's own objects."""
    return np.fromiter(values, dtype=object, count=len(values))  # np.array would look into every text


def thin(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return *values*, or, where all are the same number, a view of one."""
    if values.dtype == object or not len(values) or is_thin(values) or not (values == values[0]).all():
        return values
    return np.broadcast_to(values[0], values.shape)


def is_thin(values: npt.NDArray[Any]) -> bool:
    """Whether *values* are such a view."""
    return len(values) > 0 and values.strides == (0,)


def joined(parts: Sequence[npt.NDArray[Any]]) -> npt.NDArray[Any]:
    """Return *parts* as one."""
    if all(map(is_thin, parts)) and all(part[0] == parts[0][0] for part in parts):
        return np.broadcast_to(parts[0][0], (sum(map(len, parts)),))
    return np.concatenate(parts)


class Columns:
    """Rows given field by field in index order: numbers that are known for all rows at once as arrays, those that are
    found row by row (`found`) and texts as lists. Numbers that may be null are marked by a field `has_NAME`.

    Texts that are `coded` are given by their numbers among the run's `Words`, in arrays of 32 bits, which nothing else
    has. An address in words is its name, and in the number `where_at` its bytes from there, -1 for none.
    """

    def __init__(self, length: int, found: dict[str, int], texts: tuple[str, ...]) -> None:
        self.length = length
        self.numbers: dict[str, npt.NDArray[Any]] = {}
        self.found: dict[str, list[int]] = {name: [first] * length for name, first in found.items()}
        self.texts: dict[str, list[str | None]] = {name: [None] * length for name in texts}
        self.coded: dict[str, npt.NDArray[np.int32]] = {}

    def some(self, rows: npt.NDArray[np.int64]) -> Columns:
        """Return some of the rows."""
        made = Columns(len(rows), {}, ())
        made.numbers = {name: values[rows] for name, values in self.numbers.items()}
        made.coded = {name: values[rows] for name, values in self.coded.items()}
        made.found = {name: [values[row] for row in rows.tolist()] for name, values in self.found.items()}
        made.texts = {name: [values[row] for row in rows.tolist()] for name, values in self.texts.items()}
        return made

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Return all columns."""
        found = {name: np.array(values, dtype=np.int64) for name, values in self.found.items()}
        texts = {name: objects(values) for name, values in self.texts.items()}
        return {**self.numbers, **found, **texts, **self.coded}
