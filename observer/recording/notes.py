"""Notes: the rare things of a recording, each kind a value with names and types, kept as one line of JSON.

The key `what` says which kind a line is of; `KINDS` has them all. Writers make the value, `Notes.append` writes its
line, `note_lines` gives it back with everything checked that stands beside its fields here: whoever may write the
trace's folder may have changed the lines.

The first line tells of the records (`Layouts`). Times (`t`, `end`) are CLOCK_MONOTONIC in nanoseconds, as in records;
`t` is when what the note tells of had happened. `pid` is the process, `tid` the task that did it. Addresses are bytes,
mappings those of /proc/PID/maps.
"""

from __future__ import annotations

from typing import Annotated, Final, get_args

from msgspec import Meta, Struct

from observer.model.addresses import Mapping

__all__ = [
    "FILE", "KINDS", "OWN_MEMORY", "Allocator", "Annexed", "Aside", "Beyond", "Born", "Copied", "Detached", "End",
    "Exec", "Exiting", "Gone", "Handler", "Interval", "Layouts", "Leaving", "MappedFile", "MappedImage", "Note",
    "Populated", "ProbedFunction", "Region", "Released", "Rings", "Signalled", "Snapped", "Tracepoint", "Unobserved",
    "Walked",
]  # fmt: skip

FILE: Final = "notes.jsonl"
"""The name of their file, among the spools."""

OWN_MEMORY: Final = -1
"""Stands for the number of a system call that was made for us."""

_PATH: Final = 1 << 16  # characters: PATH_MAX bytes, each written as \xff at the most
_PAGES: Final = 1 << 24  # that one interval brings in: 64 GiB

_Pid = Annotated[int, Meta(ge=0, le=(1 << 31) - 1)]
_Time = Annotated[int, Meta(ge=1, le=(1 << 62) - 1)]
_Count = Annotated[int, Meta(ge=0, le=(1 << 62) - 1)]
_Difference = Annotated[int, Meta(ge=-(1 << 62), le=(1 << 62) - 1)]
_Word = Annotated[int, Meta(ge=0)]
_UserAddress = Annotated[int, Meta(ge=0, le=(1 << 63) - 1)]
_Small = Annotated[int, Meta(ge=-(1 << 31), le=(1 << 32) - 1)]
_Path = Annotated[str, Meta(max_length=_PATH)]
_Name = Annotated[str, Meta(max_length=_PATH, min_length=1)]
_Value = Annotated[str, Meta(max_length=1 << 20)]
_Run = tuple[Annotated[int, Meta(ge=0, le=1 << 52)], Annotated[int, Meta(ge=1, le=_PAGES)]]
_How = Annotated[str, Meta(pattern=r"^(released|stopped|unfollowed)\Z")]
_Birth = Annotated[str, Meta(pattern=r"^(fork|vfork|clone)\Z")]
_Beyond = Annotated[str, Meta(pattern=r"^(io_uring|process_madvise|userfaultfd)\Z")]
_Offset = Annotated[int, Meta(ge=0, le=(1 << 12))]
_Bits = Annotated[int, Meta(ge=32, le=64, multiple_of=32)]
_Code = Annotated[str, Meta(pattern="^([0-9a-f][0-9a-f]){0,16}$")]


class _Told(Struct, frozen=True, kw_only=True, tag_field="what"):
    t: _Time


class _OfProcess(_Told, frozen=True, kw_only=True):
    pid: _Pid


class _OfTask(_OfProcess, frozen=True, kw_only=True):
    tid: _Pid


class Layouts(_Told, frozen=True, kw_only=True, tag="layouts"):
    """The records beside these notes are laid out as in this version of `records`."""

    version: _Count


# ---- processes and threads ----------------------------------------------------------------------------------


class Exec(_OfTask, frozen=True, kw_only=True, tag="exec"):
    """A program begins: the run's own (`first`), or one that replaces another by execve(2).

    `former` is the number of the thread that called execve; `minor` and `major` are the task's fault counters by then,
    `break_start` where the heap will begin, `mappings` what the kernel has mapped (none: it may not be read).
    `environment` holds the variables that allocators and the loader heed.

    `joined`: from now on the process is followed, which lived before; `minor` and `major` are those of all its tasks,
    `threads` the others of these. It was no exec, if there was a heap already: `heap_pages` are those of it that are
    there, as runs (number of the first page, pages), None at an exec.
    """

    path: _Path
    former: _Pid
    first: bool
    minor: _Count
    major: _Count
    break_start: _UserAddress
    mappings: tuple[Mapping, ...]
    environment: dict[str, _Value] | None = None
    joined: bool = False
    threads: tuple[_Pid, ...] = ()
    heap_pages: tuple[_Run, ...] | None = None


class Born(_OfTask, frozen=True, kw_only=True, tag="born"):
    """A task was made by the task `tid`: a thread has its maker's `child_pid`; `shares` that it has its memory.

    `begun` is how many calls its stack holds copies of, which are its maker's: a signal handler forked in their midst.
    """

    how: _Birth
    child: _Pid
    child_pid: _Pid
    shares: bool
    begun: _Count = 0


class Copied(_OfProcess, frozen=True, kw_only=True, tag="copied"):
    """What fork(2) copied into the child `pid`, where other threads may have changed it meanwhile.

    `pages` are those of the heap that are there, as runs (number of the first page, pages).
    """

    mappings: Annotated[tuple[Mapping, ...], Meta(min_length=1)]
    pages: tuple[_Run, ...]


class Exiting(_OfTask, frozen=True, kw_only=True, tag="exiting"):
    """A task begins to end: its fault counters at their last reading; `last` of its process's tasks."""

    minor: _Count
    major: _Count
    last: bool


class End(_OfProcess, frozen=True, kw_only=True, tag="end"):
    """A process at its last stop.

    `frames` are stretches of its pagemap in frames.bin: (address of the first page, pages, position in bytes).
    `resident` are Rss bytes by the beginning of a mapping (smaps), `rss` those of the process (smaps_rollup).
    """

    path: _Path
    frames: tuple[tuple[_UserAddress, _Count, _Count], ...]
    mappings: tuple[Mapping, ...]
    resident: dict[int, _Count]
    rss: dict[str, _Count]
    break_start: _UserAddress


class _OfHeap(_OfProcess, frozen=True, kw_only=True):
    """The heap of glibc's allocator, as `heap/` read it.

    `count` chunks lie in the kind's file from byte `at` on. `regions` [start, end) are the parts that the arenas have
    chunks in, `sums` for each state of a chunk (chunks, bytes).
    `damage` says what cannot be, with the address, empty if nothing; `findings` how many such things there are.
    `unread` says why parts of the heap are not known; `locked` that a thread was at work in it, `ending` how many were
    emptying their caches.
    """

    layout: _Path
    count: _Count
    at: _Count
    regions: tuple[tuple[_Word, _Word], ...]
    sums: dict[str, tuple[_Count, _Count]]
    damage: _Value
    findings: _Count
    unread: _Value
    locked: bool
    ending: _Count = 0


class Walked(_OfHeap, frozen=True, kw_only=True, tag="heap"):
    """The heap at a process's last stop; its chunks in use lie in heaps.bin."""


class Snapped(_OfHeap, frozen=True, kw_only=True, tag="snapshot"):
    """The heap as a call of the task `tid` returned, at the very time `t`; all its chunks lie in snapshots.bin.

    `when` is what asked for it; `others` counts the other threads of the process, which were not stopped.
    """

    tid: _Pid
    when: _Name
    others: _Count


class Released(_OfTask, frozen=True, kw_only=True, tag="released"):
    """A task that lived as the recording ended, for all (released, stopped with the program) or for it (unfollowed).

    `why` that was, or its program; its fault counters then: 0 of one that was `exiting`, which had told them before.
    """

    how: _How
    why: _Name
    exiting: bool
    minor: _Count
    major: _Count


class Gone(_OfTask, frozen=True, kw_only=True, tag="gone"):
    """A task has ended, with this wait status (wait(2))."""

    status: _Small


class Signalled(_OfTask, frozen=True, kw_only=True, tag="signal"):
    """A signal is about to be delivered: siginfo's `code` and `address`, the registers, and what lies around `ip`.

    `stack` is the number of a stack record, 0 for none. `bytes` are those of the instruction in hexadecimal, `behind`
    the two before it; `in_call` that it interrupts a system call. `reason` says why the processor raised a general
    protection fault; `access` is read, write or exec.
    """

    signal: _Name
    code: _Small
    address: _Word | None
    ip: _Word
    sp: _Word
    cs: _Small
    stack: _Count
    behind: _Code
    bytes: _Code
    in_call: bool
    reason: str | None
    access: str | None


# ---- address spaces -----------------------------------------------------------------------------------------


class Region(_OfProcess, frozen=True, kw_only=True, tag="region"):
    """What is mapped in [start, end), read after a call that does not say it in its arguments (shmat, io_setup …).

    The last of all that is mapped may lie in the kernel's half: x86-64's vsyscall page.
    """

    start: _UserAddress
    end: _Word
    mappings: tuple[Mapping, ...]


class Detached(_OfProcess, frozen=True, kw_only=True, tag="detached"):
    """What was attached at `address` is no more (shmdt, io_destroy)."""

    address: _Word


class MappedFile(_OfProcess, frozen=True, kw_only=True, tag="file"):
    """A file was mapped at [start, start+length); its path is empty where it could not be read."""

    start: _UserAddress
    length: _Word
    path: _Path


class MappedImage(_OfProcess, frozen=True, kw_only=True, tag="image"):
    """Code of a file was mapped in [start, end); the fields are those of `model.machine.Image`."""

    path: _Path
    start: _UserAddress
    end: _UserAddress
    bias: int
    build_id: str
    role: str
    bits: _Bits
    release: str
    file: tuple[int, int, int, int]


class Annexed(_OfProcess, frozen=True, kw_only=True, tag="annexed"):
    """Code of ours was put into [start, end), where some of the program's own code is done; `memory` is what it uses.

    `places` are (first address, bytes, the address that it stands for), `functions` what the numbers in the records of
    `records.INLINE` stand for: (number, place in `model.operations.FAMILY`, number of the allocator).
    """

    start: _UserAddress
    end: _UserAddress
    places: tuple[tuple[_UserAddress, _Small, _UserAddress], ...]
    functions: tuple[tuple[_Count, _Small, _Count], ...]
    memory: tuple[_UserAddress, _UserAddress]


class Leaving(_OfTask, frozen=True, kw_only=True, tag="leaving"):
    """Memory that may have huge pages is about to be given back.

    From the block of 2 MiB with the number `first` on, so many pages of each are there.
    """

    first: _Count
    counts: tuple[_Count, ...]


# ---- page faults --------------------------------------------------------------------------------------------


class Rings(_Told, frozen=True, kw_only=True, tag="rings"):
    """perf samples page faults: the identities of the events that count major ones."""

    major_ids: tuple[_Count, ...]


class Tracepoint(_Told, frozen=True, kw_only=True, tag="tracepoint"):
    """A tracepoint that kernel.N.bin has samples of, under these identities of its events.

    `fields` says where each lies in its record (offset, bytes), `flags` which single bits its text names.
    """

    name: _Name
    ids: tuple[_Count, ...]
    fields: dict[_Name, tuple[_Offset, _Offset]]
    flags: dict[_Name, _Count]


class Interval(_OfTask, frozen=True, kw_only=True, tag="interval"):
    """Page faults since the task's last stop, where perf is refused.

    `pages` came in, as runs (number of the first page, pages); `count` faults more were counted.
    """

    count: _Count
    pages: tuple[_Run, ...]


class Populated(_OfTask, frozen=True, kw_only=True, tag="populated"):
    """A system call that brings pages in without fault events: how many its caller's counters grew by from t to end.

    `caller` is the task that entered it (an exec comes back under its leader's number), `number` the native one, or
    OWN_MEMORY for calls that we made in its place, to map memory of our own.
    """

    end: _Time
    caller: _Pid
    number: _Small
    faults: _Difference


class Beyond(_OfTask, frozen=True, kw_only=True, tag="beyond"):
    """The program set something up by which pages come and go without a system call that says which."""

    by: _Beyond


# ---- calls --------------------------------------------------------------------------------------------------


class Allocator(_OfProcess, frozen=True, kw_only=True, tag="allocator"):
    """Breakpoints were planted in the functions of one allocator, which call records name by its `number`.

    `prologues` are the ranges of code that its functions run through before they come to their breakpoints.
    """

    number: _Count
    path: _Path
    is_glibc: bool
    prologues: tuple[tuple[_UserAddress, _UserAddress], ...] = ()


class Unobserved(_OfProcess, frozen=True, kw_only=True, tag="unobserved"):
    """Calls into the allocator of the file at `path` are not seen."""

    path: _Path
    why: str


class ProbedFunction(_Told, frozen=True, kw_only=True, tag="probe"):
    """What library records mean by their `probe`: a function, and the module that has it, if that is known."""

    number: Annotated[int, Meta(ge=0, le=(1 << 32) - 1)]
    function: _Name
    module: str | None


class Handler(_OfTask, frozen=True, kw_only=True, tag="handler"):
    """A signal handler ran from `t` to `end` in the midst of an allocator call, below the stack pointer `sp`."""

    end: _Time
    sp: _Word


class Aside(_OfTask, frozen=True, kw_only=True, tag="aside"):
    """The call whose return address stands at `sp` was left for another stack: a coroutine that may go on later."""

    sp: _Word


Note = (
    Layouts | Exec | Born | Copied | Exiting | End | Walked | Snapped | Released | Gone | Signalled | Region
    | Detached | MappedFile | MappedImage | Annexed | Leaving | Rings | Tracepoint | Interval | Populated | Beyond
    | Allocator | Unobserved | ProbedFunction | Handler | Aside
)  # fmt: skip
"""Any of them."""

KINDS: Final[dict[str, type[Note]]] = {str(kind.__struct_config__.tag): kind for kind in get_args(Note)}
"""The kinds of notes by their `what`."""
