"""Chunks that have a mapping of their own: known from calls, or looked for where mappings begin."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from observer.glibc.chunks import ALIGNMENT, FLAGS, IS_MAPPED, MINIMUM
from observer.glibc.layout import Layout
from observer.heap.image import Image
from observer.heap.values import CHUNK, STATES

__all__ = ["mapped_chunks", "mapped_within"]

_PAGE: Final = 4096
_MOST_RANGES: Final = 1 << 12
_MOST_IN_RANGE: Final = 1 << 12


def mapped_chunks(image: Image, layout: Layout, addresses: Iterable[int], state: str) -> npt.NDArray[Any]:
    """Return the chunks at *addresses* as CHUNKs in this *state*; what is none is taken down."""
    found = []
    for address in addresses:
        size = _size_at(image, layout, address)
        if size is None:
            image.found("a mapping of its own should begin here, and does not look so", address, address)
        else:
            found.append((address, size, STATES.index(state), 0, -1))
    return np.array(found, dtype=CHUNK)


def mapped_within(image: Image, layout: Layout, ranges: Iterable[tuple[int, int]]) -> list[int]:
    """Return what looks like such chunks at the beginnings of *ranges*, and behind each other: it need not be any."""
    found: list[int] = []
    for _, (start, end) in zip(range(_MOST_RANGES), ranges, strict=False):
        for _ in range(_MOST_IN_RANGE):
            size = _size_at(image, layout, start)
            if size is None or start + size > end:
                break
            found.append(start)
            start += size + layout.mapped_tail
    return found


def _size_at(image: Image, layout: Layout, address: int) -> int | None:
    """Return the size of the chunk at *address*, None where there is none with a mapping of its own.

    Its first word has the bytes before it in the mapping (aligned pieces), and 1 more for a huge page (2.43).
    """
    words = image.look(address, 2) if not address % ALIGNMENT else None
    if words is None or words[1] & FLAGS != IS_MAPPED:
        return None
    size, lead = words[1] & ~FLAGS, words[0] & ~1
    whole = lead + size + layout.mapped_tail
    return size if size >= MINIMUM and not whole % _PAGE and not (address - lead) % _PAGE else None
