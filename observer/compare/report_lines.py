"""The report of the C interpreter: what each operation of a workload did on the real machine, by its own account.

It counts faults with getrusage(2), so it is a second witness beside the recorded page faults.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from observer.errors import BadTrace

__all__ = ["Done", "Report", "read_report"]

_FIELDS: Final = 8


@dataclass(frozen=True, slots=True)
class Done:
    """One operation: its place among the workload's operations, its line, the number of forks around it.

    `address` is where the piece or mapping lies (0 for other operations, and for what was refused); faults are those
    of its process during the operation; `died` when a segmentation fault ended the process in it.
    """

    index: int
    line: int
    depth: int
    address: int
    minor: int
    major: int
    errno: int
    died: bool = False

    @property
    def faults(self) -> int:
        """Page faults of both kinds."""
        return self.minor + self.major


@dataclass(frozen=True, slots=True)
class Report:
    """All operations in the order of execution; `died`: the index of the one that ended the first process, or None."""

    operations: tuple[Done, ...]
    died: int | None = None


def read_report(text: str) -> Report:
    """Return the report in *text*.

    Raises:
        BadTrace: it is cut off, or no report.
    """
    operations: list[Done] = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        try:
            if words[0] == "end":
                if len(words) != 2 or int(words[1]) != len(operations):
                    raise ValueError(line)
                return Report(tuple(operations))
            if words[0] == "died" and len(words) == 2:
                return Report(tuple(operations), int(words[1]))
            if words[0] == "stopped":
                raise BadTrace("the workload stopped", f"operation {words[1]} needs a piece that was refused")
            if len(words) != _FIELDS or words[0] not in ("op", "died"):
                raise ValueError(line)
            index, line_number, depth, address, minor, major, errno = (int(word, 0) for word in words[1:])
        except (ValueError, IndexError) as error:
            raise BadTrace(f"line {number} of the interpreter's report is damaged", repr(line)) from error
        operations.append(Done(index, line_number, depth, address, minor, major, errno, died=words[0] == "died"))
    raise BadTrace("the interpreter's report is cut off", f"it ends after line {text.count(chr(10))}")
