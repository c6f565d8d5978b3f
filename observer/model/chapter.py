"""The book chapter's concepts and its six steps, in one place."""

from __future__ import annotations

from typing import Final

from observer.model.operations import ALLOCATING

__all__ = ["CONCEPTS", "GROWING", "SECTIONS", "STEPS", "steps_of", "took_step"]

CONCEPTS: Final = {
    "rings": "privilege levels, 0 (kernel) to 3 (applications)",
    "modes": "kernel code may touch everything, user code may not",
    "portal": "the system call is the only portal into the kernel",
    "stdlib": "the standard library hides the differences between systems",
    "allocators": "malloc is part of the standard library, and there are many",
    "gap": "the spare room between heap and stack",
    "brk": "malloc asks the operating system by brk when it finds no free piece",
    "virtual": "malloc returns virtual memory only; physical memory comes at first use",
    "two-level": "allocation happens twice: pieces in user mode, frames in the kernel",
    "story": "the six steps from malloc to a page frame",
}
"""Concept ids of the chapter, used in events, stories and labs alike."""

SECTIONS: Final = {
    "rings": "3.5.1", "modes": "3.5.2", "portal": "3.5.3", "stdlib": "3.5.4", "allocators": "3.5.4", "gap": "3.5.5",
    "brk": "3.5.5 and 3.5.6", "virtual": "3.5.7", "two-level": "3.5.7", "story": "3.5.8",
}  # fmt: skip
"""The section of the chapter that each concept is explained in."""

STEPS: Final = {
    1: "malloc searches for a free piece",
    2: "none fits: malloc calls brk or the like",
    3: "kernel mode: the operating system extends the program's virtual memory",
    4: "the system call ends: back in malloc, in user mode",
    5: "malloc returns a fitting piece",
    6: "the code uses it: page fault, and physical memory is allocated",
}
"""The six steps of section 3.5.8."""

GROWING: Final = frozenset({"brk", "mmap", "mmap2", "mremap", "mprotect"})
"""System calls by which an allocator obtains memory; mprotect is how glibc opens a thread's arena bit by bit."""

_RETURNED: Final = {(False, False): "1-5", (True, False): "1-2-3-4-5", (False, True): "1", (True, True): "1-2-3-4"}


def steps_of(op: str, returned: bool, kernel_calls: int, *, failed: bool = False) -> str | None:
    """Return the steps that one allocator call took; None for an operation that allocates nothing.

    *kernel_calls* counts the system calls inside the call whose name is in GROWING. A call that never returned took
    its first steps only, and one that *failed* (returned NULL) lacks the fifth.

    >>> steps_of("malloc", True, 0), steps_of("malloc", True, 2), steps_of("free", True, 1)
    ('1-5', '1-2-3-4-5', None)
    >>> steps_of("malloc", False, 1), steps_of("malloc", True, 1, failed=True)
    ('1-2-3', '1-2-3-4')
    """
    if op not in ALLOCATING:
        return None
    if not returned:
        return "1-2-3" if kernel_calls else "1"
    return _RETURNED[kernel_calls > 0, failed]


def took_step(steps: str | None, step: int) -> bool:
    """Whether *step* is among *steps*, as `steps_of` writes them.

    >>> took_step("1-2-3-4-5", 2), took_step("1-5", 2), took_step(None, 2)
    (True, False, False)
    """
    return steps is not None and str(step) in steps
