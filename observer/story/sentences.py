"""One plain English sentence for one event. The words are the field's own; names come out as they are, unescaped."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from observer.model.addresses import PAGE
from observer.model.events import ADDRESS_RESULTS, Call, Event, Fault, Library, Lost, Process, Signal, Syscall
from observer.model.memory_calls import Advise, Break, Map, MemoryCall, Move, Protect, Unmap, memory_call
from observer.model.operations import ALLOCATING, MALLOPT, OPERATIONS, RESIZING
from observer.story.refusals import code_name, exception_words
from observer.story.steps import is_step_six
from observer.story.wording import bytes_exactly, error_name, number, plural, size

__all__ = [
    "call_words", "for_whom", "gate_name", "misuse_words", "page_of", "page_words", "place_words", "sentence",
    "syscall_words",
    "touch_words",
]  # fmt: skip

_PLAIN: Final = frozenset({"pkey_mprotect"})  # its arguments tell the key, too
_SERVED: Final = {
    "tcache": "the thread cache",
    "fastbin": "a fast bin",
    "smallbin": "a small bin",
    "unsorted": "the unsorted bin",
    "largebin": "a large bin",
    "split": "a larger free piece that was split",
    "top": "the top chunk",
    "brk": "the heap that brk extended",
    "mmap": "a mapping of its own",
    "free list": "the list of free pieces",
}
_BY_REALLOC: Final = {"in place": "", "mremap": ", by mremap"}
"""How realloc serves without another piece: in words behind `keeps the piece` or `moves the piece`."""
_ADVICE: Final = {
    "dontneed": "MADV_DONTNEED: the kernel takes the pages of {0} back",
    "free": "MADV_FREE: the kernel may take the pages of {0} back",
    "hugepage": "MADV_HUGEPAGE: {0} may use huge pages",
    "nohugepage": "MADV_NOHUGEPAGE: {0} may not use huge pages",
}
_GATES: Final = {"int80": "int 0x80", "sysenter": "sysenter"}
_TOUCHER: Final = {"libc": "the C library", "kernel": "the kernel, for the program,", "unknown": "some code"}
_VERB: Final = {"read": "reads", "write": "writes", "exec": "executes"}


def sentence(event: Event, moved: int | None = None, *, at_site: bool = True) -> str:
    """Tell *event*; *moved* is what a brk did to the break (`Breaks.follow`); *at_site* adds the source line."""
    text = _TELL[type(event)](event, moved)
    site = getattr(event, "site", None)
    return f"{text}, at {site.text}" if at_site and site is not None and site.text != "?" else text


def call_words(event: Call) -> str:
    """Write the call as C does, pointers as `p`: `malloc(100)`, `calloc(10, 16)`, `realloc(p, 200)`."""
    operation = OPERATIONS.get(event.op)
    values: dict[str, int | str | None] = {
        "size": event.size, "count": event.count, "alignment": event.alignment, "slot": "&p", "value": event.value,
        "pointer": "p" if event.pointer else "NULL",
        "parameter": MALLOPT.get(event.parameter or 0, str(event.parameter)),
    }  # fmt: skip
    roles = operation.arguments if operation else {"size": 0}
    return f"{event.op}({', '.join(str(values[role]) for role in roles if values[role] is not None)})"


def for_whom(event: Call) -> str:
    """Say that a call is the C library's or the loader's own, made while they did something for the program."""
    return {"libc": ", for the C library itself", "loader": ", for the loader itself"}.get(event.origin, "")


def _call(event: Call, _moved: int | None) -> str:
    words = call_words(event)
    if event.end_ns is None:
        return f"{words} never returned{misuse_words(event, ': ')}"
    if event.op not in ALLOCATING:
        return f"{_releasing(event, words)}{for_whom(event)}"
    if not event.result:
        told = f"{words} returns NULL" + (f": {error_name(event.errno)}" if event.errno else "")
    else:
        told = f"{_asking(event, words)}{_from(event)}"
    return f"{told}{for_whom(event)}{misuse_words(event, '; ')}"


def misuse_words(event: Call, before: str = "") -> str:
    """Say which rule of malloc(3) the call breaks, behind the words *before*; empty if none is known to be broken."""
    if event.misuse is None:
        return ""
    misuse = event.misuse
    given, freed = _place_of(misuse.given, misuse.given_at), _place_of(misuse.freed, misuse.freed_at)
    told = {
        "freed before": f"the piece of {given} was given back already, by {freed}",
        "inside": f"the pointer is not the one that {given} returned, but lies inside that piece",
        "never given": "no call that was seen returned this pointer",
        "two hands": f"the piece is in use already, by who got it from {given}: it was given back twice",
        "overlap": f"the piece overlaps that of {given}, which is in use: a size or a list was overwritten",
        "elsewhere": "the allocator never had this memory: a list was overwritten, or what is no piece was given back",
        "other size": f"the kernel gets back other memory than that of {given}: the size of the piece was overwritten",
        "too small": f"the piece of {given}, given back by {freed}, is smaller: its size or a list was overwritten",
    }
    return f"{before}{told[misuse.what]}"


def _place_of(number: int | None, site: str | None) -> str:
    return f"call {number}" + (f" ({site})" if site else "")


def _asking(event: Call, words: str) -> str:
    place = event.where or hex(event.result or 0)
    if event.op in RESIZING and event.pointer:
        if event.pointer == event.result:
            return f"{words} keeps the piece at {place}"
        return f"{words} moves the piece to {place}"
    return f"{words} asks for {plural(event.bytes_asked, 'byte')}, gets {place}"


def _from(event: Call) -> str:
    if not event.served_by or event.served_by in _BY_REALLOC:
        return _BY_REALLOC.get(event.served_by or "", "")
    return f", from {_SERVED.get(event.served_by, event.served_by)}"


def _releasing(event: Call, words: str) -> str:
    if event.op == "malloc_trim":
        return f"{words} {'gave memory' if event.result else 'found nothing to give'} back to the kernel"
    if event.op == "mallopt":
        return f"{words} changes a setting of the allocator" if event.result else f"{words} is refused"
    if event.op == "malloc_usable_size":
        return f"{words} says {plural(event.result or 0, 'byte')}"
    if not event.pointer:
        return f"{event.op}(NULL) does nothing"
    freeing = f"{event.op}({event.where or hex(event.pointer)})"
    return f"{freeing}{misuse_words(event, ': ') or ' gives the piece back to the allocator'}"


def syscall_words(event: Syscall) -> str:
    """Write the system call as strace(1) does."""
    if event.decoded is not None:
        words = ", ".join(event.decoded)
    else:
        words = ", ".join(hex(word) if word > 9 else str(word) for word in event.args)
    return f"{event.name}({words})"


def gate_name(event: Syscall) -> str:
    """Name the door by which the call entered the kernel where it is another one than `syscall`; else empty."""
    return "" if event.gate == "syscall" else _GATES.get(event.gate, event.gate)


def _by_gate(event: Syscall) -> str:
    return f" by {name}" if (name := gate_name(event)) else ""


def _in_full(event: Syscall) -> str:
    return f"{syscall_words(event)}{_by_gate(event)}"


def _result_words(event: Syscall) -> str:
    value = event.result or 0
    return hex(value) if event.name in ADDRESS_RESULTS else str(value)


def _syscall(event: Syscall, moved: int | None) -> str:
    if event.end_ns is None:
        return f"{_in_full(event)} never returned"
    call = memory_call(event)
    told = "" if call is None or event.name in _PLAIN else _memory_words(call, moved)
    if event.errno:
        return f"{event.name if told else _in_full(event)} fails: {error_name(event.errno)}"
    if not told:
        return f"{_in_full(event)} = {_result_words(event)}"
    return f"{event.name}{_by_gate(event)}: {told}"


def _memory_words(call: MemoryCall, moved: int | None) -> str:
    """Say what a memory call does; empty for one of those whose arguments say enough."""
    if isinstance(call, Break):
        return _break_words(call, moved)
    if isinstance(call, Map):
        return _map_words(call)
    if isinstance(call, Unmap):
        return f"{bytes_exactly(call.length)} go back to the kernel"
    if isinstance(call, Move):
        verb = "moves" if call.new_start != call.start else "resizes"
        return f"the kernel {verb} the mapping, {size(call.length)} to {size(call.new_length)}"
    if isinstance(call, Protect):
        return f"{bytes_exactly(call.length)} become {call.protection}"
    if isinstance(call, Advise):
        return _ADVICE.get(call.advice or "", f"advice {call.number} on {{0}}").format(size(call.length))
    return ""


def _break_words(call: Break, moved: int | None) -> str:
    if call.is_question:
        return "where is the break?"
    if moved is None:
        return f"the break is now at {call.end or 0:#x}"
    if moved == 0:
        return "the kernel leaves the break where it is" + (": no room" if (call.end or 0) < call.asked else "")
    return f"the break moves {'up' if moved > 0 else 'down'} by {bytes_exactly(abs(moved))}"


def _map_words(call: Map) -> str:
    if "anonymous" not in call.flags:
        return f"{size(call.length)} of a file mapped"
    if call.reserves:
        return f"{bytes_exactly(call.length)} reserved, no access yet"
    return f"{bytes_exactly(call.length)} of new memory mapped"


def place_words(mapping: str | None) -> str:
    """Name a mapping in a sentence: `the heap`, `map#3`, `libc.so.6`, `the stack`."""
    if not mapping:
        return "memory"
    if mapping == "anonymous":
        return "anonymous memory"
    if mapping.startswith("["):
        return f"the {mapping.strip('[]')}"
    return mapping.rsplit("/", 1)[-1]


def page_of(fault: Fault) -> int | None:
    """Return the number of the page, counted from the start of its mapping where that is told."""
    return None if fault.offset is None else fault.offset // PAGE


def page_words(fault: Fault) -> str:
    """Name the page: `page 3 of the heap`."""
    page, place = page_of(fault), place_words(fault.mapping)
    return f"a page of {place}" if page is None else f"page {number(page)} of {place}"


def touch_words(fault: Fault) -> str:
    """Say who does what to a page: `the allocator writes`."""
    who = _TOUCHER.get(fault.toucher, f"the {fault.toucher}")
    return f"{who} {_VERB.get(fault.access or '', 'touches')}"


def _fault(event: Fault, _moved: int | None) -> str:
    text = f"page fault: {touch_words(event)} {page_words(event)}"
    if event.chunk is not None:
        text += f", in the {plural(event.chunk.size, 'byte')} of call {event.chunk.call}"
    if event.major:
        text += "; read from disk"
    return text + (f" (frame {event.frame:#x})" if event.frame and is_step_six(event) else "")


def _signal(event: Signal, _moved: int | None) -> str:
    ending = ": the process ends" if event.fatal else ""
    if event.exception is None:
        return f"signal {event.signal}{ending}"
    # General protection has no address; the kernel fills in zero.
    told = event.address is not None and event.exception != "#GP"
    address = f" at {event.address:#x}" if told and event.address is not None else ""
    return f"{exception_words(event)}; signal {event.signal} ({code_name(event)}){address}{ending}"


_PROCESS: Final[dict[str, Callable[[Process], str]]] = {
    "start": lambda event: f"the program starts: {event.path}",
    "exec": lambda event: f"the process becomes another program: {event.path}",
    "fork": lambda event: f"fork: a child process, {event.child}",
    "vfork": lambda event: f"vfork: a child process, {event.child}, in the same memory until it calls exec",
    "clone": lambda event: f"clone: a new thread, {event.child}",
    "exit": lambda event: f"exit with status {event.status}" if event.tid == event.pid else f"thread {event.tid} ends",
    "killed": lambda event: f"killed by signal {event.status}",
    "released": lambda _event: "the recording ends here; the process runs on unobserved",
    "joined": lambda event: f"the recording begins; the process is there already: {event.path}",
    "unfollowed": lambda event: f"the process runs free from here on, not followed: {event.path}",
    "stopped": lambda _event: "the observer ends the process here, as was asked for",
}


def _process(event: Process, _moved: int | None) -> str:
    teller = _PROCESS.get(event.what)
    return teller(event) if teller else event.what


def _library(event: Library, _moved: int | None) -> str:
    name = event.function.removeprefix("__vdso_")
    in_vdso = f"the vDSO cannot answer {name}" if event.crossings else f"{name} is answered in the vDSO"
    text = in_vdso if event.module == "[vdso]" else f"library call: {name}"
    if event.end_ns is None and event.crossings == 0:
        return text
    if event.crossings == 0:
        return f"{text}, no system call"
    return text if event.crossings is None else f"{text}, {plural(event.crossings, 'system call')}"


def _lost(event: Lost, _moved: int | None) -> str:
    return f"LOST: {plural(event.count, 'event')} that {event.instrument} could not record"


_TELL: Final[dict[type, Callable[..., str]]] = {
    Call: _call,
    Syscall: _syscall,
    Fault: _fault,
    Signal: _signal,
    Process: _process,
    Library: _library,
    Lost: _lost,
}
