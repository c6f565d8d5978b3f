"""Whose function each call went to: the allocators of a recording by name, as the notes of their planting tell."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import numpy.typing as npt

from observer.recording.notes import Allocator, Born, Exec, Note
from observer.trace.spooled import Spooled

__all__ = ["allocators_of"]


def allocators_of(spooled: Spooled) -> npt.NDArray[Any]:
    """Return the name of each call's allocator: `glibc`, the base name of a file, `#2` behind further copies."""
    calls = spooled.calls
    names = np.full(len(calls), None, dtype=object)
    if "implementation" in (calls.dtype.names or ()):
        for number, name in _names(spooled.notes).items():
            names[calls["implementation"] == number] = name
    return names


def _names(notes: list[Note]) -> dict[int, str]:
    """Return names by number; copies are counted in each process, a forked child's from where its parent's stood."""
    found: dict[int, str] = {}
    copies: dict[int, dict[str, int]] = {}
    for note in notes:
        if isinstance(note, Exec):
            copies[note.pid] = {}
        elif isinstance(note, Born) and note.child_pid != note.pid:
            copies[note.child_pid] = dict(copies.get(note.pid, {}))
        elif isinstance(note, Allocator):
            name = "glibc" if note.is_glibc else os.path.basename(note.path)
            counts = copies.setdefault(note.pid, {})
            counts[name] = counts.get(name, 0) + 1
            found[note.number] = name if counts[name] == 1 else f"{name}#{counts[name]}"
    return found
