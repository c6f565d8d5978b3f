"""What lies behind a mapping that is not private memory: the page cache of a file, or a shared anonymous object."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["Backing"]


@dataclass(slots=True, eq=False)
class Backing:
    """A file (`is_file`) or shared memory: the frame of each page that is in memory, by its offset in pages.

    A file is in the page cache as a whole from the start, outside of the frames counted here; its pages have numbers as
    soon as a process maps them. `away` are those that reclaim took: a file's are read again, shared memory's are in
    swap. `pages_mapped` counts the pages of all mappings of all processes; at 0 the object is no more.
    """

    is_file: bool
    frames: dict[int, int] = field(default_factory=dict)
    away: set[int] = field(default_factory=set)
    pages_mapped: int = 0
