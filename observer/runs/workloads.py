"""Workloads to be run: checked, with the program that runs them for real, or made of a recorded run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

from observer.errors import UsageError
from observer.simulator.machine import BookMachine
from observer.simulator.recorded import RecordedWorkload
from observer.simulator.rep import read_operations
from observer.simulator.workload import Operation, render
from observer.trace.reader import Trace
from observer.tracee import interpreter

__all__ = ["Interpreted", "interpreted", "recorded_operations"]

_MOST_OPERATIONS: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Interpreted:
    """A workload with the program that runs it on the real allocator: the interpreter's path, what it reads, the same
    as operations.
    """

    program: str
    text: Path
    operations: Sequence[Operation]

    def arguments(self, report: Path) -> tuple[str, ...]:
        """Return the program's arguments; it writes into *report* what it did."""
        return ("-o", str(report), str(self.text))


def interpreted(workload: Path, scratch: Path) -> Interpreted:
    """Return the *workload* ready to be run; *scratch* is a folder for what has to be written.

    Raises:
        BadWorkload: an operation makes no sense.
        UsageError: there is none, or there are too many.
        CannotLaunch: the interpreter cannot be compiled.
    """
    operations = _checked(workload)
    text = _as_text(workload, operations, scratch)
    return Interpreted(str(interpreter.build(scratch)), text, operations)


def _checked(path: Path) -> list[Operation]:
    """Return a workload's operations, after the book's machine has found no fault in them."""
    with path.open("rb") as file:
        operations = list(islice(read_operations(file, path.suffix), _MOST_OPERATIONS + 1))
    if len(operations) > _MOST_OPERATIONS:
        raise UsageError(
            f"{path} has more than {_MOST_OPERATIONS:,} operations", "a real run is stopped at each call",
            "observer simulate takes workloads of any length",
        )  # fmt: skip
    for _event in BookMachine().run(operations):
        pass
    if not operations:
        raise UsageError(f"cannot run {path}", "it has no operations")
    return operations


def _as_text(path: Path, operations: Sequence[Operation], scratch: Path) -> Path:
    """Return a file that the interpreter can read: a .rep file is written out as a workload."""
    if path.suffix != ".rep":
        return path
    written = scratch / f"{path.stem}.workload"
    written.write_text(render(operations))
    return written


def recorded_operations(directory: Path, on_left_out: Callable[[str, int], None]) -> Iterator[Operation]:
    """Yield what the run recorded in *directory* did, as operations of a workload.

    Args:
        on_left_out: called at the end with each thing that the language cannot say, and how often it was done.

    Raises:
        BadTrace: as `Trace.open`.
    """
    trace = Trace.open(directory)
    recorded = RecordedWorkload(trace.events, trace.meta.machine.page_size)
    yield from recorded.operations()
    for what, count in recorded.left_out.items():
        on_left_out(what, count)
