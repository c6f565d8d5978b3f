"""What a trace says of itself in meta.json: the machine, the request, the outcome, the ledger."""

from __future__ import annotations

from typing import Final

import msgspec

from observer.model.addresses import Mapping
from observer.model.ledger import LIVE_BYTES, LedgerLine
from observer.model.snapshots import HeapSnapshot

__all__ = ["SCHEMA", "Image", "Machine", "Meta", "Outcome", "ProcessEnd", "Request"]

SCHEMA: Final = 3


_EXACT: Final = "exact"
"""The first word of what `how` says of a field that was observed as it is, against `inferred` and `not observed`."""


class Machine(msgspec.Struct, frozen=True):
    """The machine as the run found it. Unknown values are null; limits and sizes are bytes.

    `program_bits` is how wide the program's words are: 64, or 32 for i386.
    """

    kernel: str
    architecture: str
    processors: int
    page_size: int
    memory_bytes: int
    thp: str
    aslr: str
    overcommit: str
    perf_event_paranoid: int | None
    yama_ptrace_scope: int | None
    cgroup_memory_limit: int | None
    uid: int
    libc: str = ""
    libc_build_id: str = ""
    libc_version: str = ""
    program_bits: int = 64
    observer: str = ""
    python: str = ""


class Request(msgspec.Struct, frozen=True):
    """What was asked for. `syscalls` null means all of them; `snapshots` say when heaps were walked.

    `stack` is how many callers of each allocator call were kept, `through` what of them was seen through, besides what
    always is.

    `malloc_functions` are the roles that functions of the program play, as an allocator of its own. `begin_at` and
    `end_at` are places as they were typed (a function, or FILE:LINE), `follow` the names of the programs that are.
    """

    command: tuple[str, ...]
    directory: str
    expression: str
    syscalls: tuple[str, ...] | None
    instruments: tuple[str, ...]
    recorder: str
    stack: int
    max_events: int | None
    allow_loss: bool
    aslr: str
    environment: dict[str, str]
    snapshots: tuple[str, ...] = ()
    malloc_functions: dict[str, str] = {}
    through: tuple[str, ...] = ()
    stop_after: int | None = None
    begin_at: str = ""
    end_at: str = ""
    follow: tuple[str, ...] = ()


class Image(msgspec.Struct, frozen=True):
    """A file with code that a process mapped: `bias` is added to the file's own addresses.

    `file` tells which one it was, whatever lies at the path now: device, inode, size in bytes and time of its last
    change in nanoseconds. `bits` is how wide its words are; `release` is what glibc says of itself.
    """

    path: str
    bias: int
    start: int
    end: int
    build_id: str = ""
    role: str = "library"
    bits: int = 64
    release: str = ""
    file: tuple[int, int, int, int] = (0, 0, 0, 0)


class ProcessEnd(msgspec.Struct, frozen=True):
    """A process as it stood at its last stop: its mappings, resident bytes and break."""

    pid: int
    path: str
    mappings: tuple[Mapping, ...]
    resident: dict[int, int]
    break_start: int
    break_end: int
    resident_bytes: int
    rss_bytes: dict[str, int]


class Outcome(msgspec.Struct, frozen=True):
    """How it ended. `ended` is exit, killed, stopped (by us, as was asked for) or cut off.

    `events` is the number of recorded events. Where the recording ended before the program did, `closed` says why, and
    `recorded` for how many seconds it went on, of the program's `seconds`.
    """

    status: int | None
    signal: str | None
    ended: str
    events: int = 0
    seconds: float = 0.0
    closed: str = ""
    recorded: float | None = None


class Meta(msgspec.Struct, frozen=True):
    """The whole of meta.json. `how` says of fields how they were obtained; `notes` what could not be observed.

    `snapshots` are those of heaps, in the order of their moments.
    """

    schema: int
    machine: Machine
    request: Request
    outcome: Outcome
    ledger: tuple[LedgerLine, ...] = ()
    how: dict[str, str] = {}
    notes: tuple[str, ...] = ()
    totals: dict[str, int] = {}
    images: tuple[Image, ...] = ()
    ends: tuple[ProcessEnd, ...] = ()
    snapshots: tuple[HeapSnapshot, ...] = ()

    @property
    def heap_damage(self) -> str:
        """What is wrong with a heap that was walked at its end; empty if nothing was found."""
        if not self.totals.get("heap_findings"):
            return ""
        return next((line.note for line in self.ledger if line.identity == LIVE_BYTES), "")

    @property
    def sees_faults(self) -> bool:
        """Whether each fault was recorded as it happened; else the pages that came in between two stops were."""
        return self.is_exact("faults")

    @property
    def sees_kernel_faults(self) -> bool:
        """Whether faults taken in kernel mode were visible."""
        return self.is_exact("faults in kernel mode")

    def is_exact(self, field: str) -> bool:
        """Whether *field* was observed as it is: neither inferred nor invisible (what `how` does not name was)."""
        return self.how.get(field, _EXACT).partition(":")[0] == _EXACT
