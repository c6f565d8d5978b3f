"""Whose function each call went to: the allocators of a recording by name, as the notes of their planting tell."""

from __future__ import annotations

import os

from observer.recording.notes import Allocator, Born, Exec, Note

__all__ = ["allocator_names"]


def allocator_names(notes: list[Note]) -> dict[int, str]:
    """Return the allocators by their numbers: `glibc`, the base name of a file, `#2` behind further copies.

    Copies are counted in each process, a forked child's from where its parent's stood.
    """
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
