"""What all arenas of one process share: every chunk in use, the break, the settings, the kernel, what is touched."""

from __future__ import annotations

from observer.glibc.chunks import round_down, round_up
from observer.glibc.parameters import Parameters
from observer.glibc.versions import Version
from observer.simulator.glibc.kernel import HUGEPAGE, Asked
from observer.simulator.glibc.touches import Touches

__all__ = ["State"]


class State:
    """`words` has the size word (flags included) of every chunk in use by address, `leads` the bytes that lie before a
    mapped chunk in its mapping; a chunk in a thread's cache or in a fast bin counts as in use. `served` says where the
    last chunk came from, `used` which arenas were used (by number; -1: one was chosen). `touches` is None if nobody
    asks. `has_forked`: pages are shared with another process, so that writes to memory touched long ago can be faults
    again. `has_break`: the break may be moved; that of a process is the first C library's, not that of further copies
    (dlmopen(3)).
    """

    __slots__ = (
        "break_end",
        "break_start",
        "has_break",
        "has_forked",
        "kernel",
        "leads",
        "page",
        "parameters",
        "served",
        "touches",
        "used",
        "version",
        "words",
    )

    def __init__(
        self, version: Version, parameters: Parameters, kernel: Asked, *, page: int, touches: Touches | None
    ) -> None:
        self.version = version
        self.parameters = parameters
        self.kernel = kernel
        self.page = page
        self.touches = touches
        self.words: dict[int, int] = {}
        self.leads: dict[int, int] = {}
        self.break_start = 0
        self.break_end: int | None = None
        self.served = ""
        self.used: set[int] = set()
        self.has_forked = False
        self.has_break = True

    def sbrk(self, increment: int) -> int | None:
        """Move the break as sbrk(2) does; return where it was, None if it could not.

        The library keeps the break, so that only the first use asks the kernel where it is.
        """
        if not self.has_break:
            return None
        if self.break_end is None:
            self.break_end = self.break_start = self.kernel.brk(0)
        old = self.break_end
        if increment:
            self.break_end = self.kernel.brk(old + increment)
            if self.break_end < old + increment:
                return None
        return old

    def advise_huge(self, start: int, size: int) -> None:
        """Ask for huge pages in a range that is large enough, where they are wanted."""
        huge = self.parameters.huge_page
        if huge and size >= huge and self.parameters.huge_advised:
            aligned = round_up(start, self.page) if self.version.huge_inside else round_down(start, self.page)
            self.kernel.madvise(aligned, start + size - aligned, HUGEPAGE)

    def facts(self) -> tuple[object, ...]:
        """Return what decides about later calls, to be compared."""
        return self.words, self.leads, self.break_end, self.parameters.facts()

    def twin(self, kernel: Asked) -> State:
        """Return a second one, equal to this."""
        touches = None if self.touches is None else Touches()
        twin = State(self.version, self.parameters.copy(), kernel, page=self.page, touches=touches)
        twin.words, twin.leads = dict(self.words), dict(self.leads)
        twin.break_start, twin.break_end, twin.has_break = self.break_start, self.break_end, self.has_break
        twin.has_forked = self.has_forked
        return twin

    def copy(self, kernel: Asked) -> State:
        """Return that of a forked child."""
        self.has_forked = True
        return self.twin(kernel)
