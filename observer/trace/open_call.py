"""An allocator call during the replay, from its entry to its return, and its row in a part of the table."""

from __future__ import annotations

from observer.model.events import ChunkRef
from observer.model.operations import Operation
from observer.trace.columns import Columns
from observer.trace.part import Part

__all__ = ["OpenCall"]


class OpenCall:
    """One call. `returned` is whether it did, `failed` whether it said so with an error number, `back` its return
    address, `stack` the number of the saved piece of stack; `size` are the bytes it asks for, `site` the number of its
    place, `growth` how many system calls in it got memory from the kernel, `given_back` the piece that it gave back.
    """

    __slots__ = (
        "back", "failed", "given_back", "growth", "n", "operation", "part", "pid", "pointer", "result", "returned",
        "row", "site", "size", "stack",
    )  # fmt: skip

    def __init__(
        self, part: Part, row: int, n: int, pid: int, operation: Operation, returned: int, failed: int, pointer: int,
        result: int, size: int, back: int, stack: int,
    ) -> None:  # fmt: skip
        self.part = part
        self.row = row
        self.n = n
        self.pid = pid
        self.operation = operation
        self.returned = returned != 0
        self.failed = failed != 0
        self.pointer = pointer
        self.result = result
        self.size = size
        self.back = back
        self.stack = stack
        self.site = 0
        self.growth = 0
        self.given_back: ChunkRef | None = None

    @property
    def columns(self) -> Columns:
        """The columns that have its row."""
        return self.part.calls
