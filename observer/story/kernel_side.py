"""What the kernel did inside steps 3 and 6, added up over alike events: the page frames it allocated, and its time."""

from __future__ import annotations

from dataclasses import dataclass

from observer.model.events import Event, Fault, KernelWork, Syscall

__all__ = ["KernelSum", "work_of"]


@dataclass(slots=True)
class KernelSum:
    """What the kernel did for `count` faults or system calls, of which `first` is the first one.

    `ns` is its time, `least` and `most` that of a single one; `pages` and `others` count page frames as `KernelWork`;
    `handling` is the time in handle_mm_fault, 0 where that is not known.
    """

    first: KernelWork
    count: int
    ns: int
    least: int
    most: int
    pages: int
    others: int
    handling: int

    @classmethod
    def of(cls, work: KernelWork) -> KernelSum:
        """Return the sum of one."""
        return cls(work, 1, work.ns, work.ns, work.ns, work.pages, work.others, work.handling_ns or 0)

    def absorb(self, other: KernelSum) -> None:
        """Add what was done later."""
        self.count += other.count
        self.ns += other.ns
        self.least, self.most = min(self.least, other.least), max(self.most, other.most)
        self.pages += other.pages
        self.others += other.others
        self.handling += other.handling


def work_of(event: Event) -> KernelSum | None:
    """Return what the kernel did for *event*; None where that was not recorded."""
    work = event.kernel if isinstance(event, Fault | Syscall) else None
    return KernelSum.of(work) if work is not None else None
