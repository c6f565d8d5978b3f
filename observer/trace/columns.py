"""Columns under construction: one list a field, turned into arrays for the tables."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from observer.model.events import Site

__all__ = ["LONGEST", "Columns", "SiteTable"]

LONGEST: Final = 1 << 14
"""Bytes of one text: a path (PATH_MAX) with each byte written as \\xff. Longer names of functions (C++) are cut."""


class SiteTable:
    """All places of a trace, numbered; number 0 is no place."""

    def __init__(self) -> None:
        self._numbers: dict[Site, int] = {}
        self.sites: list[Site] = []

    def number(self, site: Site | None) -> int:
        """Return the number of *site*, giving it one if it is new."""
        if site is None or site == _NOWHERE:
            return 0
        known = self._numbers.get(site)
        if known is None:
            self.sites.append(site)
            known = self._numbers[site] = len(self.sites)
        return known

    def columns(self) -> dict[str, npt.NDArray[Any]]:
        """Return the table's columns."""
        return {
            "id": np.arange(1, len(self.sites) + 1, dtype=np.int64),
            "function": _objects([_cut(site.function) for site in self.sites]),
            "file": _objects([site.file for site in self.sites]),
            "line": np.array([site.line or 0 for site in self.sites], dtype=np.int64),
            "module": _objects([site.module for site in self.sites]),
            "offset": np.array([(site.offset or 0) & (1 << 64) - 1 for site in self.sites], dtype=np.uint64),
        }


_NOWHERE = Site()


def _cut(name: str | None) -> str | None:
    if name is None or len(name) <= LONGEST // 4:  # bytes of a character in UTF-8, at the most
        return name
    return name[: LONGEST // 4 - 1] + "…"


def _objects(values: list[str | None]) -> npt.NDArray[Any]:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


class Columns:
    """Rows given field by field in index order. Numbers that may be null are marked by a field `has_NAME`."""

    def __init__(self, length: int, numbers: tuple[str, ...], texts: tuple[str, ...]) -> None:
        self.numbers: dict[str, npt.NDArray[Any]] = {name: np.zeros(length, dtype=np.int64) for name in numbers}
        self.texts: dict[str, npt.NDArray[Any]] = {name: np.full(length, None, dtype=object) for name in texts}

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Return all columns."""
        return {**self.numbers, **self.texts}
