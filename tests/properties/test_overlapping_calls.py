"""Threads whose system calls overlap: the replay of entries and returns ends where the kernel ends."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from observer.trace.process import ProcessState, apply_grant, apply_release
from tests.builders import MAP, PAGE
from tests.unit.seeded import seeded

PROTECTIONS = {1: "r--", 3: "rw-", 5: "r-x"}
ANONYMOUS, MAYMOVE = 0x22, 1


@dataclass
class Kernel:
    """Pages and their protection. A new mapping goes to the lowest place that is free, so places are used again at once."""

    pages: dict[int, str] = field(default_factory=dict)

    def place(self, count: int) -> int:
        first = 0
        while any(first + i in self.pages for i in range(count)):
            first += 1
        return first

    def mmap(self, count: int, bits: int) -> int:
        first = self.place(count)
        self.pages |= {first + i: PROTECTIONS[bits] for i in range(count)}
        return first

    def munmap(self, first: int, count: int) -> None:
        for page in range(first, first + count):
            del self.pages[page]

    def mremap(self, first: int, count: int, new: int) -> int:
        if new <= count:  # what does not grow stays where it is (mremap(2))
            self.munmap(first + new, count - new)
            return first
        protection = self.pages[first]
        self.munmap(first, count)
        target = self.place(new)
        self.pages |= {target + i: protection for i in range(new)}
        return target


@dataclass
class Thread:
    """A thread with mappings of its own, (first page, pages), and the call it is in."""

    own: list[tuple[int, int]] = field(default_factory=list)
    name: str = ""
    arguments: tuple[int, ...] = ()
    is_done: bool = False
    result: int = 0

    def choose(self, what: int, size: int) -> None:
        """Enter a call; one that needs a mapping takes it from those the thread has."""
        self.name = ("mmap", "munmap", "mremap", "mprotect")[what] if self.own else "mmap"
        self.is_done = False
        bits = (1, 3, 5)[size % 3]
        if self.name == "mmap":
            self.arguments = (0, size * PAGE, bits, ANONYMOUS, (1 << 64) - 1, 0)
            return
        first, count = self.own.pop(size % len(self.own))
        start, length = MAP + first * PAGE, count * PAGE
        rest = {"munmap": (), "mremap": (size * PAGE, MAYMOVE, 0), "mprotect": (bits,)}[self.name]
        self.arguments = (start, length, *rest)

    def work(self, kernel: Kernel) -> None:
        """The moment in the call at which the kernel does it."""
        arguments, self.is_done, self.result = self.arguments, True, 0
        first, count = (arguments[0] - MAP) // PAGE, arguments[1] // PAGE
        if self.name == "mmap":
            self._gain(kernel.mmap(count, arguments[2]), count)
        elif self.name == "munmap":
            kernel.munmap(first, count)
        elif self.name == "mremap":
            self._gain(kernel.mremap(first, count, arguments[2] // PAGE), arguments[2] // PAGE)
        else:
            kernel.pages |= {first + i: PROTECTIONS[arguments[2]] for i in range(count)}
            self.own.append((first, count))

    def _gain(self, first: int, count: int) -> None:
        self.own.append((first, count))
        self.result = MAP + first * PAGE


STEPS = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3), st.integers(1, 5)), max_size=120)


@seeded
@given(STEPS)
def test_taking_at_entries_and_giving_at_returns_is_what_the_kernel_did(steps: list[tuple[int, int, int]]) -> None:
    kernel, state, threads = Kernel(), ProcessState(), [Thread(), Thread(), Thread()]

    def advance(thread: Thread, what: int, size: int) -> None:
        if not thread.name:
            thread.choose(what, size)
            apply_release(state, thread.name, thread.arguments)
        elif not thread.is_done:
            thread.work(kernel)
        else:
            apply_grant(state, thread.name, thread.arguments, thread.result)
            thread.name = ""

    for which, what, size in steps:
        advance(threads[which], what, size)
    for thread in threads:
        while thread.name:
            advance(thread, 0, 1)
    found = {
        (address - MAP) // PAGE: protection
        for start, end, protection in state.space.intervals()
        for address in range(start, end, PAGE)
    }
    assert found == kernel.pages
