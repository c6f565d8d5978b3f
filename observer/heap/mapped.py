"""Chunks that have a mapping of their own: known from calls, or looked for where mappings begin."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from observer.glibc.chunks import ALIGNMENT, FLAGS, IS_MAPPED, MINIMUM, round_up
from observer.heap.image import Image
from observer.heap.values import CHUNK
from observer.model.addresses import PAGE
from observer.model.chunks import STATES

__all__ = ["mapped_chunks", "mapped_within"]

_MOST_RANGES: Final = 1 << 12
_MOST_IN_RANGE: Final = 1 << 12


def mapped_chunks(image: Image, addresses: Iterable[int], state: str) -> npt.NDArray[Any]:
    """Return the chunks at *addresses* as CHUNKs in this *state*; what is none is taken down."""
    found = []
    for address in addresses:
        size = _size_at(image, address)
        if not size:
            image.found("a mapping of its own should begin here, and does not look so", address, address)
        else:
            found.append((address, size, STATES.index(state), 0, -1))
    return np.array(found, dtype=CHUNK)


def mapped_within(image: Image, ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return (address, size) of what looks like such chunks at the beginnings of *ranges*, and behind each other.

    It need not be any: whoever knows which pieces are mapped finds theirs among them, unless they are aligned ones.
    """
    found: list[tuple[int, int]] = []
    for _, (start, end) in zip(range(_MOST_RANGES), ranges, strict=False):
        for _ in range(_MOST_IN_RANGE):
            size = _size_at(image, start)
            whole = round_up(size, PAGE)
            if not size or start + whole > end:
                break
            found.append((start, size))
            start += whole
    return found


def _size_at(image: Image, address: int) -> int:
    """Return the size of the chunk at *address*, 0 where there is none with a mapping of its own.

    Its first word has the bytes before it in the mapping (aligned pieces), and 1 more for a huge page (2.43). A size
    does not count the last 16 bytes of the mapping from 2.43 on.
    """
    words = image.look(address, 2) if not address % ALIGNMENT else None
    if words is None or words[1] & FLAGS != IS_MAPPED:
        return 0
    size, lead = words[1] & ~FLAGS, words[0] & ~1
    is_whole = -(lead + size) % PAGE in (0, ALIGNMENT) and not (address - lead) % PAGE
    return size if size >= MINIMUM and is_whole else 0
