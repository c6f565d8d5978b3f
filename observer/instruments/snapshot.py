"""A process at its last stop: mappings, resident bytes, and the frames behind its pages."""

from __future__ import annotations

import contextlib
import os
from typing import Any, Final

from observer.files import Folder, NewFile
from observer.linux.procfs import heap_start, read_mapped_resident, read_mappings, read_pagemap, read_resident_bytes

__all__ = ["Frames", "take_snapshot"]

_LARGEST: Final = 1 << 36  # bytes of one mapping whose pages are looked up


def take_snapshot(tid: int) -> dict[str, Any]:
    """Return the mappings, Rss by mapping, rollup and break of the stopped task's process, as plain values."""
    mappings = read_mappings(tid)
    snapshot: dict[str, Any] = {"mappings": mappings, "resident": {}, "rss": {}, "break_start": 0}
    with contextlib.suppress(OSError):
        snapshot["resident"] = {start: rss for start, (_size, rss) in read_mapped_resident(tid).items()}
        snapshot["rss"] = read_resident_bytes(tid)
        snapshot["break_start"] = heap_start(tid)
    return snapshot


class Frames:
    """The file of pagemap entries: 8 bytes a page, runs of pages named by notes."""

    def __init__(self, folder: Folder) -> None:
        self.file = NewFile(folder, "frames.bin")
        self.error: OSError | None = None

    def save(self, tid: int, snapshot: dict[str, Any]) -> list[tuple[int, int, int]]:
        """Append the entries of all resident mappings; return (first address, pages, position in the file)."""
        runs: list[tuple[int, int, int]] = []
        try:
            pagemap = os.open(f"/proc/{tid}/pagemap", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return runs
        try:
            for mapping in snapshot["mappings"]:
                if snapshot["resident"].get(mapping.start) and mapping.size <= _LARGEST:
                    entries = read_pagemap(pagemap, mapping.start, mapping.end)
                    at = self.file.size
                    self.file.append(entries)
                    runs.append((mapping.start, len(entries) // 8, at))
        except OSError as error:
            self.error = error
        finally:
            os.close(pagemap)
        return runs

    def close(self) -> None:
        """Close the file."""
        self.file.close()
