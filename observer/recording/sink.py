"""Where instruments put what they see: numbers in, nothing back."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from observer.recording.notes import Note

__all__ = ["Records", "Sink"]


class Records(Protocol):
    """A file of fixed-size records."""

    count: int

    def append(self, *fields: Any) -> int:
        """Write one record; return its number from 1, or 0 when it was lost."""

    def append_all(self, records: npt.NDArray[np.void]) -> int:
        """Write *records*; return the number of the first, or 0 when they were lost, which they are all or none."""


class InlineRecords(Protocol):
    """A file of what programs recorded themselves."""

    def append_of(self, pid: int, tid: int, records: npt.NDArray[np.void], count: int) -> None:
        """Write the records of so many calls of one thread."""

    def lose(self, count: int) -> None:
        """So many calls cannot be read."""


class Notes(Protocol):
    """A file of rare things, each of its own kind."""

    def append(self, note: Note) -> None:
        """Write one note."""


class Sink(Protocol):
    """All the places of one recording."""

    @property
    def recorded(self) -> int:
        """How many calls and system calls there are by now."""

    @property
    def written(self) -> int:
        """How many bytes there are by now."""

    def error(self) -> OSError | None:
        """Why something could not be stored, None if all was."""

    @property
    def calls(self) -> Records:
        """Allocator calls."""

    @property
    def inline(self) -> InlineRecords:
        """Allocator calls that the program recorded."""

    @property
    def clock(self) -> Records:
        """The processor's counter beside the clock."""

    @property
    def syscalls(self) -> Records:
        """System calls."""

    @property
    def into_libraries(self) -> Records:
        """Calls into libraries and the vDSO."""

    @property
    def arguments(self) -> Records:
        """What arguments of system calls point to."""

    @property
    def stacks(self) -> Records:
        """Pieces of user stack."""

    @property
    def callers(self) -> Records:
        """Who called the allocator, each different stack once."""

    @property
    def notes(self) -> Notes:
        """Processes, images, snapshots."""
