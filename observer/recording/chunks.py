"""Chunks as records: those in use among all of a heap."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from observer.recording.records import HEAP_CHUNK, NOT_IN_USE

__all__ = ["in_use"]


def in_use(chunks: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return those of *chunks*, SNAPSHOT_CHUNKs, that are in use, caches included, as HEAP_CHUNKs."""
    used = chunks[chunks["kind"] < NOT_IN_USE]
    found = np.empty(len(used), dtype=HEAP_CHUNK.dtype)
    found["address"], found["size"] = used["address"], used["size"] | used["kind"]
    return found
