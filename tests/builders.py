"""One-line makers of events, metas and whole runs for tests: values only, no Linux."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from observer.model.addresses import Mapping
from observer.model.events import Call, ChunkRef, Event, Fault, Library, Lost, Process, Signal, Site, Syscall
from observer.model.ledger import Exclusion, balance, unverifiable
from observer.model.machine import SCHEMA, Machine, Meta, Outcome, ProcessEnd, Request
from observer.story.query import takes_over

PID = 4121
HEAP = 0x5581_0C3E_A000
MAP = 0x7F2A_1000_0000
LIBC = 0x7F2A_2000_0000
PAGE = 4096


def held(events: Iterable[Event]) -> Callable[[frozenset[str] | None], Sequence[Event]]:
    """Hand *events* out as a trace does: those of some kinds, as often as wanted."""
    kept = list(events)
    return lambda kinds: [event for event in kept if kinds is None or event.__struct_config__.tag in kinds]


def site(line: int | None = 28, file: str | None = "/home/ada/story.c", function: str = "main") -> Site:
    """A line of the program."""
    return Site(function, file, line, "story", 0x1100 + 16 * (line or 0))


def in_libc(function: str = "__brk") -> Site:
    """A place without a source line."""
    return Site(function, None, None, "libc.so.6", 0x98930)


def where(address: int) -> str:
    """The name of an address in the layout of this module."""
    if HEAP <= address < HEAP + (1 << 28):
        return f"heap+{address - HEAP:#x}"
    return f"map#3+{address - MAP:#x}" if MAP <= address < LIBC else f"libc.so.6+{address - LIBC:#x}"


def call(n: int = 0, op: str = "malloc", size: int | None = 100, **fields: Any) -> Call:
    """An allocator call; `result` gives its `where`, and a made-up end unless `end_ns` says otherwise."""
    at = fields.get("result") or fields.get("pointer")
    steps = "1-5" if op not in ("free", "malloc_trim", "malloc_usable_size") else None
    defaults: dict[str, Any] = {
        "t_ns": n * 1000, "pid": PID, "tid": PID, "count": None, "alignment": None, "pointer": None, "result": None,
        "where": where(at) if at else None, "end_ns": n * 1000 + 500, "errno": None, "site": site(),
        "origin": "program", "served_by": None, "steps": steps, "inner": 0,
    }  # fmt: skip
    return Call(n=n, op=op, size=size, **{**defaults, **fields})


def free(n: int, pointer: int, **fields: Any) -> Call:
    """A free."""
    return call(n, "free", None, pointer=pointer, **fields)


_NUMBERS = {"mmap": 9, "mprotect": 10, "munmap": 11, "brk": 12, "mremap": 25, "madvise": 28, "openat": 257}


def syscall(n: int, name: str, *args: int, result: int | None = 0, **fields: Any) -> Syscall:
    """A system call."""
    defaults: dict[str, Any] = {
        "t_ns": n * 1000, "pid": PID, "tid": PID, "errno": None, "gate": "syscall", "ring_before": 3,
        "end_ns": n * 1000 + 100, "cause": None, "site": in_libc(),
    }  # fmt: skip
    return Syscall(n=n, name=name, number=_NUMBERS.get(name, 0), args=args, result=result, **{**defaults, **fields})


def fault(n: int, address: int = HEAP + PAGE, **fields: Any) -> Fault:
    """A page fault: by default, the program writes to the heap."""
    place = where(address)
    mapping = {"heap": "[heap]", "map#3": "map#3"}.get(place.split("+")[0], "/usr/lib/libc.so.6")
    defaults: dict[str, Any] = {
        "t_ns": n * 1000, "pid": PID, "tid": PID, "where": place, "ip": 0x5555_0000_1149, "access": "write",
        "major": False, "ring": 3, "mapping": mapping, "chunk": None, "toucher": "program", "cause": None,
        "site": site(29), "frame": None,
    }  # fmt: skip
    return Fault(n=n, address=address, **{**defaults, **fields})


def process(n: int, what: str, **fields: Any) -> Process:
    """A step in the life of a task."""
    defaults: dict[str, Any] = {
        "t_ns": n * 1000, "pid": PID, "tid": PID, "child": None, "status": None, "path": None,
    }  # fmt: skip
    return Process(n=n, what=what, **{**defaults, **fields})


def signal(n: int, name: str = "SIGSEGV", **fields: Any) -> Signal:
    """A signal."""
    defaults: dict[str, Any] = {
        "t_ns": n * 1000, "pid": PID, "tid": PID, "code": 1, "address": 0, "fatal": True, "site": site(),
        "instruction": "mov byte ptr [rax], 0x61", "exception": "#PF", "reason": "null pointer", "access": "write",
    }  # fmt: skip
    return Signal(n=n, signal=name, **{**defaults, **fields})


def library(n: int, function: str = "putc", **fields: Any) -> Library:
    """A call into the C library that made no system call."""
    defaults: dict[str, Any] = {
        "t_ns": n * 1000, "pid": PID, "tid": PID, "module": None, "result": 10, "end_ns": n * 1000 + 500,
        "site": site(), "crossings": 0,
    }  # fmt: skip
    return Library(n=n, function=function, **{**defaults, **fields})


def lost(n: int, instrument: str = "faults", count: int = 7) -> Lost:
    """A loss."""
    return Lost(n=n, t_ns=n * 1000, pid=PID, tid=PID, instrument=instrument, count=count)


class Script:
    """Events that number themselves: `script.call(...)`, `script.fault(...)`, then `script.events`."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def __getattr__(self, name: str) -> Any:
        maker = {
            "call": call, "free": free, "syscall": syscall, "fault": fault, "process": process, "signal": signal,
            "library": library,
        }  # fmt: skip
        return lambda *args, **fields: self._keep(maker[name](len(self.events), *args, **fields))

    def _keep(self, event: Event) -> int:
        self.events.append(event)
        return event.n


def _loading(run: Script) -> None:
    run.process("start", path="/home/ada/story")
    for i in range(96):
        toucher = "loader" if i % 8 else "kernel"
        run.fault(LIBC + i * PAGE, toucher=toucher, ring=3 if i % 8 else 0, access="read", site=in_libc("_dl_start"))
        if i % 5 == 0:
            run.syscall("mmap" if i % 2 else "mprotect", 0, 8192, 1, 2, result=LIBC)
    run.syscall("brk", 0, result=HEAP)


def _brk_malloc(run: Script, size: int, at: int, grow: int, line: int) -> int:
    n = run.call("malloc", size, result=HEAP + at, steps="1-2-3-4-5", site=site(line))
    if at == 0x2A0:
        run.syscall("brk", 0, result=HEAP, cause=n)
    run.syscall("brk", HEAP + grow, result=HEAP + grow, cause=n)
    run.fault(HEAP + (at & -PAGE), toucher="allocator", cause=n, site=in_libc("_int_malloc"))
    return n


def _blocks(run: Script) -> None:
    at, top = 0x78A0, 0x21000
    first = len(run.events)
    for _ in range(17):
        if at + 31024 > top:
            top += 0x21000
            _brk_malloc(run, 31013, at, top, 44)
        else:
            n = run.call("malloc", 31013, result=HEAP + at, site=site(44))
            run.fault(HEAP + at + 31024, toucher="allocator", cause=n, site=in_libc("_int_malloc"))
        at += 31024
    for page in range(8, 8 + 118):
        chunk = ChunkRef(first, HEAP + page * PAGE, 31013)
        run.fault(HEAP + page * PAGE, site=site(49), chunk=chunk)


def _large(run: Script) -> None:
    big = run.call("malloc", 2097169, result=MAP + 16, steps="1-2-3-4-5", site=site(53))
    run.syscall("mmap", 0, 0x201000, 3, 0x22, (1 << 64) - 1, 0, result=MAP, cause=big)
    run.fault(MAP, toucher="allocator", cause=big, site=in_libc("sysmalloc"))
    for page in range(1, 23):
        run.fault(MAP + page * PAGE, site=site(55), chunk=ChunkRef(big, MAP + 16, 2097169))
    gone = run.free(MAP + 16, site=site(59))
    run.syscall("munmap", MAP, 0x201000, cause=gone)


def story_run() -> list[Event]:
    """The whole chapter in one run, as c_samples/story.c makes it."""
    run = Script()
    _loading(run)
    _brk_malloc(run, 100, 0x2A0, 0x21000, 28)
    second = run.call("malloc", 30011, result=HEAP + 0x310, site=site(30))
    run.fault(HEAP + 0x7840, toucher="allocator", cause=second, site=in_libc("_int_malloc"))
    run.fault(HEAP + 0x5130, site=site(32), chunk=ChunkRef(second, HEAP + 0x310, 30011))
    run.free(HEAP + 0x2A0, site=site(36))
    run.call("malloc", 100, result=HEAP + 0x2A0, site=site(37), served_by="tcache")
    _blocks(run)
    _large(run)
    for i in range(17):
        run.free(HEAP + 0x78A0 + i * 31024, site=site(62))
    trim = run.free(HEAP + 0x310, site=site(63))
    run.syscall("brk", HEAP + 0x21000, result=HEAP + 0x21000, cause=trim)
    run.free(HEAP + 0x2A0, site=site(64))
    run.process("exit", status=0)
    return run.events


def machine(**fields: Any) -> Machine:
    """A laptop."""
    defaults: dict[str, Any] = {
        "kernel": "6.1.0-13-amd64", "architecture": "x86_64", "processors": 8, "page_size": PAGE,
        "memory_bytes": 16 << 30, "thp": "madvise", "aslr": "2", "overcommit": "0", "perf_event_paranoid": 2,
        "yama_ptrace_scope": 1, "cgroup_memory_limit": None, "uid": 1000, "libc": "glibc 2.36",
    }  # fmt: skip
    return Machine(**{**defaults, **fields})


def request(*command: str, **fields: Any) -> Request:
    """What was asked for."""
    defaults: dict[str, Any] = {
        "directory": "/home/ada", "expression": "trace=memory", "syscalls": ("brk", "mmap", "munmap"),
        "instruments": ("calls", "faults", "syscalls"),
        "recorder": "breakpoint", "stack": 0, "max_events": None, "allow_loss": False, "aslr": "on",
        "environment": {},
    }  # fmt: skip
    return Request(command=command or ("./story",), **{**defaults, **fields})


def process_end() -> ProcessEnd:
    """The address space of story at its exit."""
    program, libc, loader = "/home/ada/story", "/usr/lib/x86_64-linux-gnu/libc.so.6", "/usr/lib/ld-linux-x86-64.so.2"
    base, ld, stack = 0x5581_0B11_6000, LIBC + 0x20_4000, 0x7FFD_1A2B_C000
    mappings = (
        Mapping(base, base + 0x1000, "r--", program, inode=7),
        Mapping(base + 0x1000, base + 0x3000, "r-x", program, 0x1000, inode=7),
        Mapping(base + 0x3000, base + 0x4000, "r--", program, 0x3000, inode=7),
        Mapping(base + 0x4000, base + 0x6000, "rw-", program, 0x3000, inode=7),
        Mapping(HEAP, HEAP + 0x21000, "rw-", "[heap]"),
        Mapping(LIBC, LIBC + 0x26000, "r--", libc, inode=8),
        Mapping(LIBC + 0x26000, LIBC + 0x17C000, "r-x", libc, 0x26000, inode=8),
        Mapping(LIBC + 0x17C000, LIBC + 0x1D7000, "rw-", libc, 0x17C000, inode=8),
        Mapping(LIBC + 0x1D7000, LIBC + 0x1E4000, "rw-"),
        Mapping(ld, ld + 0x1000, "r--", loader, inode=9),
        Mapping(ld + 0x1000, ld + 0x26000, "r-x", loader, 0x1000, inode=9),
        Mapping(ld + 0x26000, ld + 0x34000, "rw-", loader, 0x26000, inode=9),
        Mapping(stack, stack + 0x21000, "rw-", "[stack]"),
        Mapping(stack + 0x17_C000, stack + 0x18_0000, "r--", "[vvar]"),
        Mapping(stack + 0x18_0000, stack + 0x18_2000, "r-x", "[vdso]"),
    )
    shares = (1, 2, 1, 2, 31, 38, 220, 30, 5, 1, 37, 12, 5, 0, 1)
    resident = {mapping.start: pages * PAGE for mapping, pages in zip(mappings, shares, strict=True)}
    rss = {"resident": sum(resident.values())}
    return ProcessEnd(PID, program, mappings, resident, HEAP, HEAP + 0x21000, rss["resident"], rss)


def ledger() -> tuple[Any, ...]:
    """A ledger with every kind of verdict that a good run has."""
    return (
        balance(
            "page faults", 331, 332, excluded=(Exclusion(1, "exec's argument page, before the first instruction"),)
        ),
        balance("allocator calls begun and returned", 42, 42),
        balance("break at the end", HEAP + 0x21000, HEAP + 0x21000),
        unverifiable("bytes in live chunks", "the heap was not walked in this run"),
    )


def meta(*command: str, **fields: Any) -> Meta:
    """A whole meta.json."""
    defaults: dict[str, Any] = {
        "machine": machine(), "request": request(*command), "outcome": Outcome(0, None, "exit", 331, 0.062),
        "ledger": ledger(), "ends": (process_end(),),
        "how": {"calls": "exact: breakpoints", "faults": "exact: perf_event_open", "syscalls": "exact: ptrace"},
        "notes": ("physical frame numbers: not visible without privilege",),
    }  # fmt: skip
    return Meta(schema=SCHEMA, **{**defaults, **fields})


def giver(events: list[Event], call: Call) -> Call | None:
    """Return the call that had returned the pointer of *call*."""
    found = [
        event for event in events
        if isinstance(event, Call) and event.n < call.n and event.pid == call.pid and event.result == call.pointer
    ]  # fmt: skip
    return found[-1] if found and call.pointer else None


def ender(events: list[Event], call: Call) -> Call | None:
    """Return the call that freed or moved the piece of *call*."""
    return next(
        (event for event in events if isinstance(event, Call) and event.n > call.n and event.pid == call.pid
         and event.pointer == call.result and takes_over(event)),
        None,
    )  # fmt: skip
