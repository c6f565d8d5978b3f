"""What the processor refused: exceptions that end in a signal, beside the page faults that the kernel resolves.

A resolved fault is step 6 of the chapter: the access was allowed, only the page was not there yet. What is told here
is the other kind, and why nothing that the kernel could bring would help.
"""

from __future__ import annotations

from typing import Final

import msgspec

from observer.arch.exceptions import EXCEPTIONS
from observer.model.addresses import PAGE
from observer.model.events import Event, Fault, Signal, Site
from observer.model.signals import CODES

__all__ = ["REASONS", "Refusal", "Refusals", "code_name", "exception_words"]

_SI_KERNEL: Final = 0x80

REASONS: Final = {
    "privileged instruction": (
        "may only run in ring 0",
        "No page is missing: the instruction itself is the kernel's. The processor compared the privilege level in CS "
        "with the one it demands, and did not begin.",
    ),
    "non-canonical address": (
        "names an address that x86-64 does not have",
        "No page table can hold an address whose upper bits differ from one another, so it never came to a page "
        "fault, and the kernel is told no address.",
    ),
    "misaligned vector": (
        "needs an address that is a multiple of 16",
        "The page may well be there: the instruction refuses the address itself.",
    ),
    "software interrupt": (
        "calls an interrupt that ring 3 may not call",
        "Of the 256 gates only a few are open to programs: int3, int 0x80 and the like. The way into the kernel is "
        "the one that the kernel opened.",
    ),
    "segment": (
        "loads a segment or a ring that it may not have",
        "No page is missing: the processor checked the privilege of the segment.",
    ),
    "reserved bits": (
        "loads bits that the processor reserves",
        "No page is missing: the address is good, and what it is told to load is not.",
    ),
    "kernel address": (
        "{does} an address of the kernel's half",
        "Even if a page is there, its entry in the page table is marked for ring 0 only. The kernel resolves faults "
        "of the program's own half; here it has nothing to bring.",
    ),
    "vsyscall page": (
        "{does} the vsyscall page, of which only three addresses may be called",
        "No page is there: the kernel answers the three old calls itself, when the jump to them has failed.",
    ),
    "null pointer": (
        "{does} page {page}, where nothing is ever mapped",
        "A fault is resolved when the address lies in a mapping that allows the access. The lowest pages "
        "(vm.mmap_min_addr) belong to no mapping, so that a null pointer is found out.",
    ),
    "nothing mapped": (
        "{does} an address where nothing is mapped",
        "A fault is resolved when the address lies in a mapping that allows the access. Here there is no mapping: "
        "neither brk nor mmap ever gave this page, or munmap took it back.",
    ),
    "stack overrun": (
        "{does} below the stack, which may not grow that far",
        "The stack grows by page faults only down to its limit (ulimit -s), and never into its guard gap: beyond "
        "it there is no mapping to give a page to.",
    ),
    "read-only": (
        "writes to {place}, which is mapped {protection}",
        "The page may be there and be read. The mapping forbids to write, so no copy and no new page would help; a "
        "first write to a writable mapping faults as well, and there the kernel brings a page.",
    ),
    "not executable": (
        "jumps into {place}, which is mapped {protection}",
        "The page is data: its entry in the page table carries the no-execute bit. A first execution of code "
        "faults as well, and there the kernel brings the page from the file.",
    ),
    "no access": (
        "{does} {place}, which is mapped {protection}",
        "The range is reserved and nothing else: mapped without any access, as the C library keeps guard pages and "
        "spare room, until mprotect opens it.",
    ),
    "not permitted": (
        "{does} {place}, which is mapped {protection}",
        "There is a mapping, and it forbids this access.",
    ),
    "protection key": (
        "{does} {place}, which a protection key closes",
        "The mapping allows the access; the thread's own key register (PKRU) does not.",
    ),
    "beyond the file": (
        "{does} a page of a mapping that lies beyond the end of the file",
        "The mapping allows the access, but the page would have to be read from where the file has no bytes.",
    ),
}  # fmt: skip
"""By reason: what is wrong with the access, and how it differs from a fault that the kernel resolves."""

_BY_EXCEPTION: Final = {
    "#DE": ("divides by zero, or the quotient does not fit", "No memory is missing: the arithmetic has no result."),
    "#UD": ("is no instruction of this processor", "No memory is missing: the processor cannot decode what it read."),
    "#BP": ("is a breakpoint", "The processor did what it was told: int3 enters the kernel on purpose."),
    "#DB": ("ended in a debug trap", "The processor did what it was told: int1, or a single step."),
    "#AC": ("names an address that is not aligned", "The program asked for alignment checks (AC in EFLAGS)."),
    "#SS": ("names an address on the stack that x86-64 does not have", "No page table can hold such an address."),
    "#MF": ("computes what has no x87 result", "No memory is missing: the program unmasked this exception."),
    "#XM": ("computes what has no SSE result", "No memory is missing: the program unmasked this exception."),
    "#GP": ("is refused", "No page is missing: the processor refused the instruction itself."),
    "#BR": ("finds an index outside its bounds", "No memory is missing: the instruction is there to check this."),
    "#OF": ("reports an overflow", "No memory is missing: the instruction enters the kernel on purpose."),
    "#MC": ("touched memory that the hardware reports as broken", "The page is there, and its contents are lost."),
    "UNDEF": ("is no instruction for programs", "No memory is missing: it is undefined, or is so outside the kernel."),
    "BRK": ("is a breakpoint", "The processor did what it was told: brk enters the kernel on purpose."),
    "STEP": ("ended in a software step", "The processor did what it was told: a single step."),
    "WATCH": ("was waited for by a debugger", "The processor did what it was told."),
    "ALIGN": ("names an address that is not aligned", "The page may well be there: the address itself is refused."),
    "SEA": ("touched memory that the hardware reports as broken", "The page is there, and its contents are lost."),
    "FP": ("computes what has no result", "No memory is missing: the program unmasked this exception."),
    "FPAC": ("finds a pointer with a wrong signature", "No page is missing: the pointer was overwritten."),
    "#CP": ("returns to where no call came from", "The shadow stack and the stack disagree (control protection)."),
}  # fmt: skip
_DOES: Final = {"read": "reads", "write": "writes", "exec": "executes", None: "touches"}


class Refusal(msgspec.Struct, frozen=True):
    """`count` signals alike: raised at one place for one reason; `first` is one of them, `fatal` if one ended it.

    `title` names the reason, `sentence` says what happened, `differs` why it is no fault that the kernel resolves.
    """

    title: str
    first: Signal
    count: int
    fatal: bool
    sentence: str
    differs: str


def code_name(signal: Signal) -> str:
    """Return the name of si_code as sigaction(2) has it: `SEGV_MAPERR`, `SI_KERNEL`; the number where it has none."""
    if signal.code == _SI_KERNEL:
        return "SI_KERNEL"
    return CODES.get((signal.signal, signal.code), f"si_code {signal.code}")


def exception_words(event: Signal) -> str:
    """Say what was raised and why: "`cli` may only run in ring 0: general protection (#GP)"."""
    clause, _differs = _reason(event)
    subject = f"`{event.instruction}`" if event.instruction else "the processor"
    if event.reason == "not executable" or event.access == "exec":
        subject = "the program"
    name = EXCEPTIONS.get(event.exception or "", "exception")
    return f"{subject} {clause}: {name} ({event.exception})"


def _reason(event: Signal) -> tuple[str, str]:
    clause, differs = REASONS.get(event.reason or "") or _BY_EXCEPTION.get(event.exception or "") or ("failed", "")
    page = (event.address or 0) // PAGE
    place = event.where or event.mapping or hex(event.address or 0)
    words = {"does": _DOES[event.access], "page": page, "place": place, "protection": event.protection or "---"}
    return clause.format(**words), differs


def _title(event: Signal) -> str:
    return event.reason or EXCEPTIONS.get(event.exception or "", "exception")


class Refusals:
    """Collects exceptions that became signals, alike ones together: `add` every event, then ask for `result`.

    `resolved` counts the page faults of the same run that the kernel answered with a page.
    """

    def __init__(self) -> None:
        self._alike: dict[tuple[Site | None, str | None, str | None], Refusal] = {}
        self.resolved = 0

    def add(self, event: Event) -> None:
        """Take one event in."""
        if type(event) is Fault:
            self.resolved += 1
        if type(event) is not Signal or event.exception is None:
            return
        key = (event.site, event.exception, event.reason)
        known = self._alike.get(key)
        if known is None:
            self._alike[key] = Refusal(_title(event), event, 1, event.fatal, exception_words(event), _reason(event)[1])
        else:
            fatal = known.fatal or event.fatal
            self._alike[key] = msgspec.structs.replace(known, count=known.count + 1, fatal=fatal)

    def result(self) -> tuple[Refusal, ...]:
        """Return what was found so far."""
        return tuple(self._alike.values())
