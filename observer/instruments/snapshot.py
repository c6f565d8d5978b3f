"""A process at its last stop: mappings, resident bytes, and the frames behind its pages."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from observer.files import Folder, NewFile
from observer.linux.pagemap import present_runs
from observer.linux.procfs import (
    PAGE,
    heap_start,
    read_mapped_resident,
    read_mappings,
    read_pagemap,
    read_resident_bytes,
)
from observer.model.addresses import Mapping

__all__ = ["Frames", "Snapshot", "take_snapshot"]

_BRIDGED: Final = 64 * PAGE
"""Bytes between two runs of pages that are saved as one: an entry a page costs less than a run of its own."""

_LARGEST: Final = 1 << 32
"""Bytes of address space in one run: 8 MiB of entries."""


@dataclass(slots=True)
class Snapshot:
    """What is mapped, and how much of it is there: `resident` bytes by the beginning of a mapping, `rss` altogether.

    What could not be read is empty, or 0.
    """

    mappings: list[Mapping]
    resident: dict[int, int] = field(default_factory=dict)
    rss: dict[str, int] = field(default_factory=dict)
    break_start: int = 0


def take_snapshot(tid: int, own: Callable[[list[Mapping]], list[Mapping]]) -> Snapshot:
    """Return the mappings, Rss by mapping, rollup and break of the stopped task's process.

    *own* leaves those of a list of mappings that are the program's own.
    """
    every = read_mappings(tid)
    snapshot = Snapshot(own(every))
    with contextlib.suppress(OSError):
        resident = {start: rss for start, (_size, rss) in read_mapped_resident(tid).items()}
        snapshot.resident = {mapping.start: resident.get(mapping.start, 0) for mapping in snapshot.mappings}
        snapshot.rss = read_resident_bytes(tid)
        for mapping in every if len(every) > len(snapshot.mappings) else ():
            if mapping.start not in snapshot.resident:
                _leave_out(snapshot.rss, resident.get(mapping.start, 0), shared=mapping.shared)
        snapshot.break_start = heap_start(tid)
    return snapshot


def _leave_out(rss: dict[str, int], count: int, *, shared: bool) -> None:
    """Take *count* bytes of ours out of a process's sums; what is *shared* is shared with us, and nobody else."""
    rss["resident"] -= count
    rss["proportional"] -= count // 2 if shared else count
    rss["anonymous"] -= 0 if shared else count


class Frames:
    """The file of pagemap entries: 8 bytes a page, runs of pages named by notes. What is not there costs nothing."""

    def __init__(self, folder: Folder) -> None:
        self.file = NewFile(folder, "frames.bin")
        self.error: OSError | None = None

    def save(self, tid: int, snapshot: Snapshot) -> list[tuple[int, int, int]]:
        """Append the entries of the pages that are there; return (first address, pages, position in the file)."""
        runs: list[tuple[int, int, int]] = []
        try:
            pagemap = os.open(f"/proc/{tid}/pagemap", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return runs
        try:
            for mapping in snapshot.mappings:
                # The shared page of zeros is there and not resident: a heap may have no others.
                is_heap = mapping.path == "[heap]"
                resident = mapping.size if is_heap else snapshot.resident.get(mapping.start, 0)
                present = present_runs(pagemap, mapping.start, mapping.end, resident) if resident else ()
                for start, end in _bridged(present):
                    entries = read_pagemap(pagemap, start, end)
                    at = self.file.size
                    self.file.append(entries)
                    runs.append((start, len(entries) // 8, at))
        except OSError as error:
            self.error = error
        finally:
            os.close(pagemap)
        return runs

    def close(self) -> None:
        """Close the file."""
        self.file.close()


def _bridged(runs: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Yield the runs [start, end), those with little between them as one, and none larger than what is read at once."""
    open_run: tuple[int, int] | None = None
    for start, end in runs:
        if open_run is not None and start - open_run[1] <= _BRIDGED and end - open_run[0] <= _LARGEST:
            open_run = (open_run[0], end)
            continue
        if open_run is not None:
            yield open_run
        open_run = (start, end)
    if open_run is not None:
        yield open_run
