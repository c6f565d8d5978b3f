"""The pieces that are allocated at a moment, and the pointers that were given back, as columns sorted by address."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from observer.model.events import ChunkRef
from observer.trace.holding import ByAddress

__all__ = ["FREED", "PIECE", "GivenBack", "LiveChunks"]

Records = npt.NDArray[np.void]
Integers = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]
Checked = npt.NDArray[np.bool_]

PIECE: Final = np.dtype([
    ("address", "<u8"), ("size", "<u8"), ("call", "<i8"), ("made", "<i8"), ("site", "<i8"), ("foreign", "<i8"),
])  # fmt: skip
"""A live piece: the call that made it, `made` which one in the order in which calls returned, its site's number,
`foreign` 1 where another allocator's function than glibc's returned it.
"""
FREED: Final = np.dtype([("address", "<u8"), ("call", "<i8"), ("site", "<i8"), ("giver", "<i8"), ("given_at", "<i8")])
"""A pointer that was given back and not given since: the call that did and its site, the piece's call and its site."""


class _Sorted:
    """Records of one layout, sorted by their address, of which each has another; `addresses` are those."""

    def __init__(self, layout: np.dtype[np.void]) -> None:
        self.records: Records = np.empty(0, dtype=layout)
        self.addresses: Words = np.empty(0, dtype=np.uint64)

    def __len__(self) -> int:
        return len(self.records)

    def places(self, addresses: Words) -> Integers:
        """Return where the records of *addresses* are, -1 for those that have none."""
        if not len(self.addresses):
            return np.full(len(addresses), -1, dtype=np.int64)
        at = np.searchsorted(self.addresses, addresses)
        at[at == len(self.addresses)] = 0
        found: Integers = np.where(self.addresses[at] == addresses, at, -1)
        return found

    def change(self, gone: Integers, new: Records) -> None:
        """Take out the records at the places *gone*, put in *new* ones of other addresses than are there then.

        Arrays are replaced, never written to: copies share them.
        """
        records = self.records
        if len(gone):
            stays = np.ones(len(records), dtype=np.bool_)
            stays[gone] = False
            records = records[stays]
        if len(new):
            records = np.concatenate([records, new])
            records = records[np.argsort(records["address"], kind="stable")]
        self.records, self.addresses = records, np.ascontiguousarray(records["address"])


class GivenBack(_Sorted):
    """FREED records."""

    def __init__(self) -> None:
        super().__init__(FREED)

    def copy(self) -> GivenBack:
        """Return an independent copy (fork)."""
        twin = GivenBack()
        twin.records, twin.addresses = self.records, self.addresses
        return twin


class LiveChunks(_Sorted):
    """Live allocations, as PIECE records."""

    def __init__(self) -> None:
        super().__init__(PIECE)
        self._known: tuple[Records, ByAddress] | None = None

    def copy(self) -> LiveChunks:
        """Return an independent copy (fork)."""
        twin = LiveChunks()
        twin.records, twin.addresses = self.records, self.addresses
        return twin

    def pieces(self) -> tuple[list[ChunkRef], Checked]:
        """Return all of them, in the order in which they were made, and which are foreign."""
        mine = self.records[np.argsort(self.records["made"], kind="stable")]
        fields = (mine[name].tolist() for name in ("call", "address", "size"))
        return [ChunkRef(*piece) for piece in zip(*fields, strict=True)], mine["foreign"] == 1

    @property
    def bytes(self) -> int:
        """Bytes asked for by all live pieces."""
        return sum(self.records["size"].tolist())

    def by_address(self) -> ByAddress:
        """Return them as those that may hold an address."""
        if self._known is None or self._known[0] is not self.records:
            self._known = self.records, ByAddress(self.addresses, self.records["size"])
        return self._known[1]
