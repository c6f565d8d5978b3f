"""Who calls, by return address: every one is named once, and then found for all calls of a window together."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from observer.instruments.places import CodeMap
from observer.trace.columns import SiteTable

__all__ = ["LIBRARY", "CallersOf", "KnownCallers"]

Integers = npt.NDArray[np.int64]

LIBRARY: Final = ("libc", "loader")
"""The roles of images whose code acts for the program."""


class CallersOf(NamedTuple):
    """By call: whether library code called, the number of the role's word, that of the place."""

    are_library: npt.NDArray[np.bool_]
    roles: npt.NDArray[np.int32]
    sites: Integers


class KnownCallers:
    """The return addresses of one process that were asked for since its code changed."""

    def __init__(self) -> None:
        self._code: CodeMap | None = None
        self._changes = 0
        self._forget()

    def _forget(self) -> None:
        self._addresses = np.empty(0, dtype=np.uint64)
        self._found = CallersOf(np.empty(0, dtype=np.bool_), np.empty(0, np.int32), np.empty(0, dtype=np.int64))

    def of(self, code: CodeMap, addresses: npt.NDArray[np.uint64], sites: SiteTable) -> CallersOf:
        """Return who calls from the *code* that is returned to at *addresses*."""
        if code is not self._code or code.changes != self._changes:
            self._code, self._changes = code, code.changes
            self._forget()
        at = self._places(addresses)
        if at is None:
            self._learn(code, np.unique(addresses), sites)
            at = self._places(addresses)
        found = self._found
        return CallersOf(found.are_library[at], found.roles[at], found.sites[at])

    def _places(self, addresses: npt.NDArray[np.uint64]) -> Integers | None:
        if not len(self._addresses):
            return None if len(addresses) else np.empty(0, dtype=np.int64)
        at = np.searchsorted(self._addresses, addresses)
        at[at == len(self._addresses)] = 0
        return at if (self._addresses[at] == addresses).all() else None

    def _learn(self, code: CodeMap, addresses: npt.NDArray[np.uint64], sites: SiteTable) -> None:
        new = np.setdiff1d(addresses, self._addresses, assume_unique=True)
        callers = [code.caller(back) for back in new.tolist()]
        roles = [role if role in LIBRARY else "program" for role, _site in callers]
        before = self._found
        are_library = np.append(before.are_library, [role in LIBRARY for role in roles])
        numbers = np.append(before.roles, [sites.words.number(role) for role in roles])
        found = np.append(before.sites, [sites.number(site) for _role, site in callers])
        together = np.append(self._addresses, new)
        order = np.argsort(together)
        self._addresses = together[order]
        self._found = CallersOf(are_library.astype(np.bool_)[order], numbers.astype(np.int32)[order], found[order])
