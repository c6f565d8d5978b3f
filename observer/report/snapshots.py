"""A reconstructed heap beside a snapshot, in words."""

from __future__ import annotations

from typing import Final

from observer.compare.snapshots import BesideSnapshot
from observer.model.chunks import Chunk
from observer.model.snapshots import HeapSnapshot
from observer.story.wording import number, plural

__all__ = ["told_beside"]

_ALL_ALIKE: Final = "the snapshot read from the process as this call returned has the very same {} (size, state, bin)"


def told_beside(found: BesideSnapshot, snapshot: HeapSnapshot) -> str:
    """Say whether a reconstruction agrees with the *snapshot*, chunk by chunk, or what differs first, and why it may.

    >>> told_beside(BesideSnapshot(7, 0), HeapSnapshot(82, 9, 6101, 6101, "every 7 calls", 7))
    'the snapshot read from the process as this call returned has the very same 7 chunks (size, state, bin)'
    """
    aside = f"; {plural(found.aside, 'chunk')} with a mapping of its own left out" if found.aside else ""
    if not found.differing:
        return _ALL_ALIKE.format(plural(found.alike, "chunk")) + aside
    own, real = found.first
    place = next(chunk.address for chunk in (own, real) if chunk is not None)
    words = (
        f"the snapshot read from the process as this call returned differs in {plural(found.differing, 'chunk')}, "
        f"first at {place:#x}: {_said(own)} here, {_said(real)} there"
    )
    return words + _why(snapshot) + aside


def _said(chunk: Chunk | None) -> str:
    if chunk is None:
        return "no chunk"
    bin_ = f" {chunk.bin}" if chunk.bin is not None else ""
    return f"{number(chunk.size)} bytes {chunk.state}{bin_}"


def _why(snapshot: HeapSnapshot) -> str:
    """Say why the two need not agree, as far as is known."""
    if snapshot.under_way:
        return f" ({plural(snapshot.under_way, 'call')} of other threads had not returned)"
    if snapshot.others:
        return f" ({plural(snapshot.others, 'other thread')} ran on meanwhile)"
    if snapshot.findings:
        return f" (the heap is damaged: {snapshot.damage})"
    return f" (parts are not known: {snapshot.unread})" if snapshot.unread else ""
