"""A reconstructed heap beside a snapshot of the real one at the same moment, chunk by chunk."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from observer.model.chunks import Chunk

__all__ = ["BesideSnapshot", "beside_snapshot"]


class BesideSnapshot(NamedTuple):
    """What a reconstruction and a snapshot come to.

    `alike` chunks are the same in both, in place, size, state, arena and bin; `differing` places have another chunk, or
    one in only one of them. `first` is the lowest of these: the reconstructed chunk and the one that was read. `aside`
    chunks have mappings of their own that no walk meets (aligned pieces).
    """

    alike: int
    differing: int
    first: tuple[Chunk | None, Chunk | None] = (None, None)
    aside: int = 0


def beside_snapshot(reconstructed: Iterable[Chunk], read: Iterable[Chunk]) -> BesideSnapshot:
    """Set the chunks that a model has after a call beside those that were *read* from the process at its return.

    Left out are what looks like a mapped chunk where the model has none (memory of the program's own may do so), and
    the ends of parts of a heap, which no model tells.
    """
    own = {chunk.address: chunk for chunk in reconstructed}
    real = {chunk.address: chunk for chunk in read if _counts(chunk, own)}
    unmet = {each.address for each in own.values() if each.state == "mmapped" and each.address not in real}
    places = sorted((own.keys() | real.keys()) - unmet)
    wrong = [place for place in places if not _are_alike(own.get(place), real.get(place))]
    first = (own.get(wrong[0]), real.get(wrong[0])) if wrong else (None, None)
    return BesideSnapshot(len(places) - len(wrong), len(wrong), first, len(unmet))


def _counts(chunk: Chunk, own: dict[int, Chunk]) -> bool:
    return chunk.state != "fence" and (chunk.state != "mmapped" or chunk.address in own)


def _are_alike(own: Chunk | None, real: Chunk | None) -> bool:
    """Whether two chunks tell the same.

    A cache with nothing in it looks, to a walk, like any chunk in use. Arenas other than the main one have their
    numbers by the ring that the C library keeps, which a model counts in the order in which they were made.
    """
    if own is None or real is None:
        return False
    state = "cache" if own.state == "cache" and real.state == "in use" else real.state
    return own._replace(arena=bool(own.arena)) == real._replace(arena=bool(real.arena), state=state)
