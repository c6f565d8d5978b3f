"""Hand-made spools: records as instruments write them, in a folder, with literal times from 1 on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from observer.arch.x86_64 import X86_64
from observer.files import Folder
from observer.instruments.faults import FAULT_FIELDS
from observer.model.addresses import Mapping
from observer.model.operations import FAMILY
from observer.recording.notes import KINDS
from observer.recording.spool import Spools
from observer.trace.spooled import Spooled, read_spools
from tests.builders import HEAP, LIBC, PID

SP = 0x7FFD_1A2B_D000
NUMBERS = {"mmap": 9, "mprotect": 10, "munmap": 11, "brk": 12, "mremap": 25, "madvise": 28, "clone": 56, "execve": 59}
RETURNED, LEFT = 1, 2
KERNEL, USER = 1, 2
SAMPLE, LOST = 9, 2


class Recorder:
    """Writes what a run would have left in *directory*. Times are in nanoseconds, and a call's stack pointer is SP."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.folder = Folder.make(directory)
        self.spools = Spools(self.folder)
        self._faults: list[bytes] = []
        self.kernel: list[bytes] = []
        """Samples of tracepoints, as `tracing` makes them."""
        self.witness: list[bytes] = []
        """What bcc told of the same."""

    def call(
        self, op: str, *arguments: int, began: int, ended: int, result: int = 0, flags: int = RETURNED, **fields: int
    ) -> None:
        """An allocator call."""
        number = next(i for i, operation in enumerate(FAMILY) if operation.name == op)
        first, second, third = (*arguments, 0, 0, 0)[:3]
        pid, tid, sp = fields.get("pid", PID), fields.get("tid", PID), fields.get("sp", SP)
        self.spools.calls.append(
            began, ended, pid, tid, number, flags, fields.get("inner", 0), first, second, third, result,
            fields.get("ret", 0x1149), sp, fields.get("stack", 0), fields.get("implementation", 0),
        )  # fmt: skip

    def syscall(
        self, name: str, *arguments: int, began: int, ended: int, result: int | None = 0, **fields: int
    ) -> None:
        """A system call made below a call's stack pointer; a result of None means that it did not return."""
        padded = (*arguments, 0, 0, 0, 0, 0, 0)[:6]
        self.spools.syscalls.append(
            began, ended, fields.get("pid", PID), fields.get("tid", PID), NUMBERS[name],
            fields.get("arch", X86_64.calls.audit), *padded, result or 0, LIBC + 0x98930, fields.get("sp", SP - 0x40), fields.get("cs", 0x33),
            int(result is not None) | fields.get("gate", 0) << 8, 0,
        )  # fmt: skip

    def fault(self, address: int, time: int, **fields: int) -> None:
        """A fault sample without a copied stack, in user mode."""
        record = np.zeros(1, dtype=FAULT_FIELDS)
        record["type"], record["misc"], record["size"] = SAMPLE, fields.pop("misc", USER), record.dtype.itemsize
        record["pid"], record["tid"] = fields.pop("pid", PID), fields.pop("tid", PID)
        record["time"], record["address"], record["user_sp"] = time, address, fields.pop("sp", SP - 0x40)
        for name, value in fields.items():
            record[name] = value
        self._faults.append(record.tobytes())

    def note(self, what: str, time: int, **fields: Any) -> None:
        """A rare thing, by the `what` of its kind; where the kind tells of a process or a task, it is PID."""
        kind = KINDS[what]
        common = {name: PID for name in ("pid", "tid") if name in kind.__struct_fields__}
        self.spools.notes.append(kind(**{**common, "t": time, **fields}))

    def start(self, time: int = 1, mappings: tuple[Mapping, ...] = (), **fields: Any) -> None:
        """The exec that a run begins with."""
        known = {"path": "/home/ada/story", "former": PID, "first": True, "minor": 0, "major": 0, "break_start": HEAP}
        self.note("exec", time, mappings=mappings, **{**known, **fields})

    def exit(self, time: int, status: int = 0, **fields: int) -> None:
        """The end of a task: its last counters, then its wait status."""
        who = {name: fields.pop(name) for name in ("pid", "tid") if name in fields}
        self.note("exiting", time, **{"minor": 0, "major": 0, "last": True, **fields, **who})
        self.note("gone", time + 1, status=status, **who)

    def read(self) -> Spooled:
        """Close the spools and read them back."""
        self.spools.close()
        if self._faults:
            (self.directory / "faults.0.bin").write_bytes(b"".join(self._faults))
        if self.kernel:
            (self.directory / "kernel.0.bin").write_bytes(b"".join(self.kernel))
        if self.witness:
            (self.directory / "kernel.bin").write_bytes(b"".join(self.witness))
        return read_spools(self.folder, 0)
